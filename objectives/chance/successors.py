"""Flows of all that chance may do at visited states, and P_B from there to the agent's states."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.backward.origins import log_pb_of_origins, origins
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.evaluation.children import flows_of
from gflow.objectives.chance.environment_model import learned_law
from gflow.policies.base import Policy, backward_law
from gflow.state import batch_size, take
from gflow.trajectories import Trajectories


def log_mean_flow(
    env: Any,
    judge: Policy,
    trajectories: Trajectories[Any],
    model: nn.Module | None = None,
    backward: Policy | None = None,
) -> Tensor:
    """(N,) log of the mean of F over the moves of chance at N stored states; 0 at the agent's.

    Successors that are equal share one network pass, and finished ones need none.

    Args:
        env: The environment.
        judge: Gives log F of the successors.
        trajectories: B trajectories with N stored states.
        model: Gives the probabilities of the moves, without gradient; None for chance's own.
        backward: Gives the P_B that weighs flows in the form "dag"; None for the form "tree".
    """
    count = batch_size(trajectories.states)
    mover = env.mover(trajectories.states)
    at = (mover == CHANCE).nonzero().squeeze(1)
    if env.has_forced_terminals:
        at = at[~env.is_terminal(take(trajectories.states, at))]
    states = take(trajectories.states, at)
    given = trajectories.condition_of_states
    given = None if given is None else given[at]
    if not len(at):
        return torch.zeros(count, device=at.device)
    if model is None:
        law = env.chance_law(states)
    else:
        with torch.no_grad():
            law = learned_law(env, model, states, given)
    legal, prob = law.distinct, law.table()
    stop, moves = env.stop_action, legal
    if stop is not None:
        moves = legal.clone()
        moves[:, stop] = False
    rows, actions = moves.nonzero(as_tuple=True)
    children = env._step(take(states, rows), actions)
    value = flows_of(env, judge, children, None if given is None else given[rows])
    if backward is not None:
        value = value + _log_pb(env, backward, children, given, rows, take(states, rows))
    table = value.new_full(legal.shape, -torch.inf).index_put((rows, actions), value)
    if stop is not None:
        ends = legal[:, stop].nonzero().squeeze(1)
        reward = env.target_log_reward(take(states, ends), None if given is None else given[ends])
        table = table.index_put((ends, torch.full_like(ends, stop)), reward.to(table.dtype))
    mean = (table + prob.to(table.dtype).masked_fill(~legal, -torch.inf)).logsumexp(-1)
    found: Tensor = mean.new_zeros(count)
    return found.index_put((at,), mean)


def _log_pb(
    env: DiscreteEnvironment[Any],
    policy: Policy,
    states: Any,
    given: Tensor | None,
    rows: Tensor,
    before: Any,
) -> Tensor:
    """(M,) log P_B of the agent's state before M moves of chance; 0 where chance moves again."""
    learned = None
    if policy.backward == "learned":
        learned = policy.backward_logits(env, states, None if given is None else given[rows])
    law = backward_law(env, policy, states, learned)
    again = _chance(env, states)
    at = (~again).nonzero().squeeze(1)
    value = log_pb_of_origins(env, law.take(at), take(states, at), origins(env, take(before, at)))
    return value.new_zeros(len(again)).index_put((at,), value)


def log_pb_of_agent(
    env: Any, policy: Policy, trajectories: Trajectories[Any], chance: Tensor
) -> Tensor:
    """(B, T) log P_B of the last state of the agent's before each move, whatever it chose there.

    0 for stops, after the end, and for moves to a state of chance.

    Args:
        env: An environment with moves back.
        policy: Gives P_B.
        trajectories: B trajectories with N stored states.
        chance: (B, T + 1) bool where it is chance's turn.
    """
    moved = trajectories.moves & ~chance[:, 1:]
    index = trajectories.state_index
    before, after = index[:, :-1][moved], index[:, 1:][moved]
    states, given = trajectories.states, trajectories.condition_of_states
    learned = None
    if policy.backward == "learned":
        learned = policy.backward_logits(env, states, given)
    law = backward_law(env, policy, states, learned).take(after)
    origin = origins(env, take(states, before))
    value = log_pb_of_origins(env, law, take(states, after), origin)
    found: Tensor = value.new_zeros(moved.shape)
    return found.masked_scatter(moved, value)


def _chance(env: DiscreteEnvironment[Any], states: Any) -> Tensor:
    """(M,) bool: unfinished states at which it is chance's turn."""
    mover = env.mover(states)
    assert mover is not None  # some moves here are chance's
    chance = mover == CHANCE
    return chance & ~env.is_terminal(states) if env.has_forced_terminals else chance

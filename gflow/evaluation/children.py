"""Flows of all children of the states that trajectories leave, for expectations over them."""

from typing import Any

import torch
from torch import Tensor

from gflow.distinct import Distinct
from gflow.environment.categorical import Categorical
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.errors import IncompatibleError
from gflow.policies.base import Policy
from gflow.state import batch_size, device_of, take
from gflow.terms import Needs
from gflow.trajectories import Trajectories


def children(
    env: DiscreteEnvironment[Any],
    policy: Policy,
    trajectories: Trajectories[Any],
    law: Categorical,
    needs: Needs,
) -> dict[str, Tensor]:
    """`child_log_flow` and `child_log_prob` of `FlowTerms`, with gradients.

    Equal children share one network pass, and finished ones need none.

    Args:
        env: The environment.
        policy: Gives log F.
        trajectories: B trajectories with N stored states.
        law: Of the next move at these states, whoever makes it.
        needs: Says at which states, and whether each player has a flow.
    """
    states, index = trajectories.states, trajectories.state_index
    legal = law.distinct & _left(env, trajectories, needs)[:, None]
    prob = law.table().masked_fill(~legal, -torch.inf)
    stop, moves = env.stop_action, legal
    if stop is not None:
        moves = legal.clone()
        moves[:, stop] = False
    rows, actions = moves.nonzero(as_tuple=True)
    given = trajectories.condition_of_states
    at = None if given is None else given[rows]
    value = flows_of(env, policy, env._step(take(states, rows), actions), at, needs)
    flow = value.new_full((*legal.shape, *value.shape[1:]), -torch.inf)
    flow = flow.index_put((rows, actions), value)
    if stop is not None:
        ends = legal[:, stop].nonzero().squeeze(1)
        ended = _log_reward(env, take(states, ends), None if given is None else given[ends], needs)
        flow = flow.index_put((ends, torch.full_like(ends, stop)), ended.to(flow.dtype))
    here = index[:, :-1]
    return {"child_log_flow": flow[here], "child_log_prob": prob[here]}


def _left(env: DiscreteEnvironment[Any], trajectories: Trajectories[Any], needs: Needs) -> Tensor:
    """(N,) bool: the stored states whose children are asked for."""
    count = batch_size(trajectories.states)
    left = trajectories.state_index[:, :-1][trajectories.mask]
    wanted = torch.zeros(count, dtype=torch.bool, device=left.device)
    wanted[left] = True
    if needs.children == "chance":
        mover = env.mover(trajectories.states)
        wanted = wanted & (False if mover is None else mover == CHANCE)
    return wanted


def flows_of(
    env: DiscreteEnvironment[Any],
    policy: Policy,
    states: Any,
    given: Tensor | None,
    needs: Needs = Needs(log_flow=True),
) -> Tensor:
    """(M,) or (M, n) log F of M states: log R of finished ones, else what the policy says.

    Equal states share one network pass, and finished ones need none.

    Args:
        env: The environment.
        policy: Gives log F.
        states: M states.
        given: (M, C) the condition of each, or None.
        needs: Says whether each player has a flow.
    """
    group: Tensor | None = None
    if env.has_keys and given is None and batch_size(states):
        first, group = Distinct(env.num_keys)(env.key(states))
        states = take(states, first)
    done = torch.zeros(batch_size(states), dtype=torch.bool, device=device_of(states))
    if env.has_forced_terminals:
        done = env.is_terminal(states)
    ended, going = done.nonzero().squeeze(1), (~done).nonzero().squeeze(1)
    part = None if given is None else given[going]
    learned = policy(env, take(states, going), part).log_flow
    if learned is None:
        raise IncompatibleError(
            f"The objective needs log F(s), and {type(policy).__name__} was built without that "
            f"head. Build the policy with log_flow=True."
        )
    if needs.energy:
        learned = learned + env.partial_log_reward(take(states, going), part).to(learned.dtype)
    value: Tensor = learned.new_zeros(len(done), *learned.shape[1:])
    value = value.index_put((going,), learned)
    if len(ended):
        part = None if given is None else given[ended]
        reward = _log_reward(env, take(states, ended), part, needs)
        value = value.index_put((ended,), reward.to(value.dtype))
    return value if group is None else value[group]


def _log_reward(
    env: DiscreteEnvironment[Any], objects: Any, given: Tensor | None, needs: Needs
) -> Tensor:
    """(M,) or (M, n) what finished objects are worth."""
    if needs.flows(env) > 1:
        return env.player_log_reward(objects, given)
    return env.target_log_reward(objects, given)

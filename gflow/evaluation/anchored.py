"""What flow terms hold beside the policy's log-probabilities, for environments of every kind."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.movers import AGENT
from gflow.errors import IncompatibleError
from gflow.policies.base import Policy, PolicyOutput
from gflow.state import take
from gflow.trajectories import Trajectories


def times(index: Tensor) -> Tensor:
    """(T + 1,) int64 times of a (B, T + 1) table."""
    return torch.arange(index.shape[1], device=index.device)


def anchor(values: Tensor, trajectories: Trajectories[Any]) -> Tensor:
    """(B, T + 1) `values`, with log R in their place at the end of whole trajectories."""
    end = times(trajectories.state_index) == trajectories.length[:, None]
    if trajectories.complete is not None:
        end = end & trajectories.complete[:, None]
    return torch.where(end, trajectories.log_reward[:, None].to(values.dtype), values)


def anchor_source(log_flow: Tensor, known_log_z: Tensor, trajectories: Trajectories[Any]) -> Tensor:
    """(B, T + 1) log F, with (B,) log Z in its place at the source."""
    start = times(trajectories.state_index) == 0
    if trajectories.from_source is not None:
        start = start & trajectories.from_source[:, None]
    return torch.where(start, known_log_z[:, None].to(log_flow), log_flow)


def energies(env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor:
    """(B, T + 1) E(s_t); minus the target log-reward at the end of whole trajectories, 0 after."""
    index = trajectories.state_index
    value = env.partial_of_trajectories(trajectories)
    energy = anchor(value[index], trajectories).neg()
    return energy.where(times(index) <= trajectories.length[:, None], 0.0)


def log_flows(
    env: Environment[Any],
    policy: Policy,
    output: PolicyOutput,
    trajectories: Trajectories[Any],
    energy: Tensor | None,
    players: int = 1,
) -> Tensor:
    """(B, T + 1) log F(s_t): the head, less the energies if it looks forward; log R at the end.

    (B, T + 1, n) with a flow for each of n > 1 players.

    Raises:
        IncompatibleError: If the policy has no such head, or not one for each player.
    """
    if output.log_flow is None:
        raise IncompatibleError(
            f"The objective needs log F(s), and {type(policy).__name__} was built without that "
            f"head. Build the policy with log_flow=True."
        )
    index = trajectories.state_index
    learned = output.log_flow[index]
    if learned.shape[2:] != (() if players == 1 else (players,)):
        raise IncompatibleError(
            f"The objective needs {players} log-flow(s) at each state, and {type(policy).__name__} "
            f"gives {tuple(output.log_flow.shape)} for {len(output.log_flow)} states. Build the "
            f"policy with log_flow=objective.needs.flows(env)."
        )
    if players > 1:
        return _of_players(env, learned, trajectories)
    if energy is not None:  # the head is log F + E
        learned = learned - energy.to(learned.dtype)
    log_flow = anchor(learned, trajectories)
    return log_flow.where(times(index) <= trajectories.length[:, None], 0.0)


def _of_players(env: Environment[Any], learned: Tensor, trajectories: Trajectories[Any]) -> Tensor:
    """(B, T + 1, n) `learned`, with the log-rewards of all players at the end, and 0 after it."""
    time, end = times(trajectories.state_index), trajectories.length[:, None]
    ends = trajectories.complete
    rows = torch.arange(len(end), device=end.device) if ends is None else ends.nonzero().squeeze(1)
    last = trajectories.state_index.gather(1, end).squeeze(1)[rows]
    given = None if trajectories.condition is None else trajectories.condition[rows]
    reward = env.player_log_reward(take(trajectories.states, last), given).to(learned.dtype)
    value = learned.index_put((rows, end.squeeze(1)[rows]), reward)
    return value.where((time <= end)[:, :, None], 0.0)


def scores_of(
    env: Environment[Any], trajectories: Trajectories[Any]
) -> tuple[Tensor, Tensor | None]:
    """(B, K) raw objectives, the plain log-reward where there is one, and its correction."""
    scores, log_symmetry = trajectories.scores, _correction(env, trajectories)
    if scores is None:
        plain = trajectories.log_reward
        plain = plain if log_symmetry is None else plain + log_symmetry
        scores = plain[:, None]
    return scores, log_symmetry


def movers(env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor | None:
    """(B, T) whose each transition is, the agent's after the end; None if all are the agent's."""
    found = env.mover(trajectories.states)
    if found is None:
        return None
    return found[trajectories.state_index[:, :-1]].where(trajectories.mask, AGENT)


def plain_log_reward(env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor:
    """(B,) log R of the objects, without what corrects for how often they are counted."""
    correction = _correction(env, trajectories)
    value = trajectories.log_reward
    return value if correction is None else value + correction


def _correction(env: Environment[Any], trajectories: Trajectories[Any]) -> Tensor | None:
    """(B,) by how much the target log-reward is below log R of the objects; None for nothing."""
    kind = type(env)
    found = []
    if kind.log_symmetry is not Environment.log_symmetry:
        found.append(env.log_symmetry(trajectories.final_states))
    if kind.log_multiplicity is not Environment.log_multiplicity:
        found.append(env.log_multiplicity(trajectories.final_states))
    parts = [part.to(trajectories.log_reward.dtype) for part in found if part is not None]
    return torch.stack(parts).sum(0) if parts else None

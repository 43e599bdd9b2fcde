r"""Games solved exactly, each by one backward pass over the levels of a `StateGraph`.

`minimax` and `optimal_moves` tell what perfect play is worth. `adversarial_flows` and
`player_flows` are what adversarial flow networks converge to: every player chooses in proportion to
the expected, exponentiated reward.

Reference:
    Jiralerspong et al., Expected flow networks in stochastic environments and two-player zero-sum
    games, 2024, https://arxiv.org/abs/2310.02779
"""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.movers import CHANCE, player_index
from gflow.errors import IncompatibleError, ShapeError
from gflow.exact.graph import ExactFlows, StateGraph, group_logsumexp
from gflow.exact.moves import Moves
from gflow.state import take


def minimax(graph: StateGraph[Any], values: Tensor | None = None) -> Tensor:
    """(N,) float64 what each state is worth to player 1 if both play perfectly from there on.

    Player 1 (and the agent of an environment without players) picks the child that is worth most,
    player -1 the one that is worth least; chance takes the mean.

    Args:
        graph: All states.
        values: (N,) what finished objects are worth to player 1; by default the sign of their
            log-reward: 1 for a win, 0 for a draw, -1 for a loss.

    Raises:
        IncompatibleError: If more than two play.
        ShapeError: If `values` is not (N,).
    """
    sign, moves = _signs(graph, "minimax"), Moves(graph)
    found = moves.ends(_worth(graph, values))
    share = moves.log_chance().exp()
    for level in moves.levels():
        side = sign[level.parents]
        ahead = found[level.to] * side[level.group]
        best = ahead.new_full((len(side),), -torch.inf)
        best = best.scatter_reduce(0, level.group, ahead, "amax") * side
        weighted = found[level.to] * share[level.moves]
        mean = torch.zeros_like(best).index_add(0, level.group, weighted)
        found[level.parents] = mean.where(graph.movers[level.parents] == CHANCE, best)
    return found[: len(graph)]


def optimal_moves(graph: StateGraph[Any], values: Tensor) -> Tensor:
    """(E,) bool: transitions that keep the value of the state they leave; none is chance's.

    Args:
        graph: All states.
        values: (N,) value of each state, from `minimax`.
    """
    kept = _equal(values[graph.child], values[graph.parent])
    return kept & (graph.movers[graph.parent] != CHANCE)


def optimal_actions(graph: StateGraph[Any], values: Tensor, ends: Tensor | None = None) -> Tensor:
    """(N, A) bool: actions that keep the value of a state, stops and equivalent actions included.

    Args:
        graph: All states.
        values: (N,) value of each state, from `minimax`.
        ends: (N,) what finished objects are worth, if `minimax` was given it.
    """
    env = graph.env
    table = torch.zeros(len(graph), env.num_actions, dtype=torch.bool)
    table[graph.parent, graph.action] = optimal_moves(graph, values)
    if env.stop_action is not None:
        kept = _equal(_worth(graph, ends), values) & (graph.movers != CHANCE)
        table[:, env.stop_action] = kept & graph.can_end
    classes = env.forward_classes(graph.states)
    table = table if classes is None else table.gather(1, classes)
    return table & env.forward_mask(graph.states)


def adversarial_flows(graph: StateGraph[Any], condition: Tensor | None = None) -> ExactFlows:
    r"""The branch-adjusted solution of a two-player zero-sum game: one flow for both players.

    .. math:: F(s) = \operatorname{mean}_{s'} F(s') \text{ and } P(s' \mid s) \propto F(s')
              \text{ where player 1 moves,}
    .. math:: F(s) = \operatorname{harmonic\ mean}_{s'} F(s') \text{ and }
              P(s' \mid s) \propto 1 / F(s') \text{ where player } {-1} \text{ does}

    over distinct children, stops among them, with F(x) = R(x), the reward of player 1, at finished
    objects. It is the fixed point of `atb`, `adb` and `asubtb`. log F / lambda, where log R =
    lambda u, is within sum log b / lambda of minimax.

    Args:
        graph: All states.
        condition: (1, C) or None.

    Returns:
        `log_flow` is log F (N,), `log_z` that of the source; log P_B is that of no objective.

    Raises:
        IncompatibleError: If chance moves, or more than two play.
    """
    if bool((graph.movers == CHANCE).any()):
        raise IncompatibleError(
            f"adversarial_flows: {graph.env.name} has moves of chance, and one flow cannot serve "
            f"both players there: E[F] and 1 / E[1/F] differ. Use player_flows, which has a flow "
            f"for each."
        )
    sign, moves = _signs(graph, "adversarial_flows"), Moves(graph)
    flow = moves.ends(_log_rewards(graph, condition)[:, 0])
    log_prob = torch.zeros(len(moves.parent), dtype=torch.float64)
    log_count = moves.count.clamp(min=1).double().log()
    for level in moves.levels():
        side = sign[level.parents]
        ahead = flow[level.to] * side[level.group]
        total = group_logsumexp(ahead, level.group, len(side))
        log_prob[level.moves] = ahead - total[level.group]
        flow[level.parents] = (total - log_count[level.parents]) * side
    log_pf, log_stop = moves.split(log_prob)
    log_flow = flow[: len(graph)]
    return ExactFlows(log_flow, log_pf, _log_pb(graph), log_stop, float(log_flow[0]))


def player_flows(graph: StateGraph[Any], condition: Tensor | None = None) -> ExactFlows:
    r"""The general solution of a game of n players: a flow for each, who expects what others do.

    .. math:: F_i(s) = \sum_{s'} F_i(s') \text{ and } P_i(s' \mid s) \propto F_i(s')
              \text{ where player } i \text{ moves,}
    .. math:: F_i(s) = \sum_{s'} P_j(s' \mid s) F_i(s') \text{ where player } j
              \text{, or chance, does,}

    with F_i(x) = R_i(x) at finished objects. It is the fixed point of `aedb`. With one player it is
    the expected flow network of a tree.

    Args:
        graph: All states.
        condition: (1, C) or None.

    Returns:
        `log_flow` is log F_i (N, n), (N,) for one player; `log_z` is the first player's at the
        source; log P_B is that of no objective.
    """
    players, moves = graph.env.num_players, Moves(graph)
    flow = moves.ends(_log_rewards(graph, condition))
    log_prob = moves.log_chance()
    chances, turns = graph.movers == CHANCE, player_index(graph.movers).clamp(max=players - 1)
    for level in moves.levels():
        chance, turn, count = chances[level.parents], turns[level.parents], len(level.parents)
        ahead = flow[level.to]  # (K, n)
        mine = ahead.gather(1, turn[level.group, None]).squeeze(1)
        total = group_logsumexp(mine, level.group, count)
        by_chance = log_prob[level.moves]
        weight = torch.where(chance[level.group], by_chance, mine - total[level.group])
        log_prob[level.moves] = weight
        value = torch.stack(
            [group_logsumexp(weight + column, level.group, count) for column in ahead.T], 1
        )
        own = (torch.arange(players) == turn[:, None]) & ~chance[:, None]
        flow[level.parents] = torch.where(own, total[:, None], value)
    log_pf, log_stop = moves.split(log_prob)
    log_flow = flow[: len(graph)]
    first = float(log_flow[0, 0])
    log_flow = log_flow if players > 1 else log_flow.squeeze(1)
    return ExactFlows(log_flow, log_pf, _log_pb(graph), log_stop, first)


def _log_rewards(graph: StateGraph[Any], condition: Tensor | None) -> Tensor:
    """(N, n) float64 log-rewards of finished objects for each player, 0 for other states."""
    env, rows = graph.env, graph.objects
    condition = graph.condition if condition is None else condition
    given = None if condition is None else condition.expand(len(rows), -1)
    value = env.player_log_reward(take(graph.states, rows), given).double()
    return value.new_zeros(len(graph), env.num_players).index_put((rows,), value)


def _signs(graph: StateGraph[Any], who: str) -> Tensor:
    """(N,) float64 1 where player 1 or the agent moves, -1 where player -1 does, 1 for chance."""
    known = torch.tensor([1, -1, 0, CHANCE])
    if not bool(torch.isin(graph.movers, known).all()):
        found = sorted(set(graph.movers.tolist()) - {CHANCE})
        raise IncompatibleError(
            f"{who}: needs a game of two, +1 and -1, and the players of {graph.env.name} are "
            f"{found}. Use player_flows for more."
        )
    return torch.where(graph.movers == -1, -1.0, 1.0).double()


def _equal(one: Tensor, other: Tensor) -> Tensor:
    """Elementwise, up to what means over chance round off."""
    return torch.isclose(one, other, rtol=1e-12, atol=1e-12)


def _worth(graph: StateGraph[Any], values: Tensor | None) -> Tensor:
    """(N,) float64 what ends are worth to player 1, 0 for other states."""
    if values is None:
        reward = graph.log_reward()
        return reward.masked_fill(~graph.can_end, 0.0).sign()
    if tuple(values.shape) != (len(graph),):
        raise ShapeError(
            f"minimax: `values` must be one number per state, ({len(graph)},), got "
            f"{tuple(values.shape)}."
        )
    return values.double()


def _log_pb(graph: StateGraph[Any]) -> Tensor:
    """(E,) log P_B, even over parents if there are moves back; no objective of games reads it."""
    if graph.env.has_backward:
        return graph.uniform_log_pb()
    return torch.zeros(len(graph.parent), dtype=torch.float64)

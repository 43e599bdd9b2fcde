"""Exact flows where some moves are chance's: balanced on average over what chance may do."""

from typing import Any, Literal

import torch
from torch import Tensor

from gflow.environment.movers import AGENT, CHANCE
from gflow.errors import ConfigError, IncompatibleError
from gflow.exact.graph import ExactFlows, StateGraph, group_logsumexp
from gflow.state import take

Form = Literal["tree", "dag"]


def expected_flows(
    graph: StateGraph[Any],
    form: Form = "tree",
    log_pb: Tensor | None = None,
    condition: Tensor | None = None,
) -> ExactFlows:
    r"""The flows of expected detailed balance, by one backward pass over the levels.

    .. math:: F(x) = R(x), \quad F(s) = \sum_{s'} \rho(s \to s') F(s'), \quad
              F(e) = \sum_{s'} P_{env}(s' \mid e) \rho(e \to s') F(s')

    at objects, where the agent moves, and where chance does; a stop is a child with F = R(s). The
    policy is P(s' | s) = rho F(s') / F(s). The two forms differ in rho:

    ====  =======================================================================================
    tree  rho = 1: a node of the tree is a whole history, and histories that end in one state have
          the same flow, so it is kept by state. Without chance a policy reaches x in proportion to
          R(x) times the number of its trajectories.
    dag   rho = the probability P_B(s | s') that the last state of the agent's before s' was that
          before this move: over all moves of chance that lead from there to s', whatever was
          chosen. Without chance these are the ordinary flows, in proportion to the reward.
    ====  =======================================================================================

    On a tree both are the same. With chance neither samples in proportion to the reward: the flow
    of a choice is its *mean* over what chance makes of it. They exist for every kernel.

    Args:
        graph: All states.
        form: Row of the table.
        log_pb: (E,) log P_B of every transition; uniform over parents by default. Read by "dag".
        condition: (1, C) or None.

    Returns:
        Flows whose log P_F is that of chance itself where chance moves.

    Raises:
        ConfigError: An unknown form.
        IncompatibleError: If some moves are a player's; in the form "dag" also if there are no
            moves back, or a state of chance has several parents.

    References:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """
    if form not in ("tree", "dag"):
        raise ConfigError(f"expected_flows: form must be tree or dag, got {form!r}.")
    refuse_players(graph)
    if log_pb is None:
        nothing = torch.zeros(len(graph.parent))
        log_pb = graph.uniform_log_pb() if graph.env.has_backward else nothing
    log_pb = log_pb.double()
    log_chance, chance_stop = chance_moves(graph)
    weight = log_chance + log_origin(graph, log_pb) if form == "dag" else log_chance
    log_reward = graph.log_reward(condition)
    flow = log_reward + chance_stop
    for edges in reversed(graph.levels):
        parents, inverse = torch.unique(graph.parent[edges], return_inverse=True)
        out = group_logsumexp(flow[graph.child[edges]] + weight[edges], inverse, len(parents))
        flow[parents] = torch.logaddexp(flow[parents], out)
    chance = at_chance(graph)
    log_pf = flow[graph.child] + weight - flow[graph.parent]
    log_pf = log_pf.where(flow[graph.child] > -torch.inf, -torch.inf)
    log_pf = torch.where(chance[graph.parent], log_chance, log_pf)
    log_stop = torch.where(chance, chance_stop, log_reward - flow)
    log_stop = log_stop.where(log_reward > -torch.inf, -torch.inf)
    if graph.env.has_forced_terminals:  # chance may lead to objects without mass
        log_stop = log_stop.masked_fill(graph.env.is_terminal(graph.states), 0.0)
    return ExactFlows(flow, log_pf, log_pb, log_stop, float(flow[0]))


def refuse_players(graph: StateGraph[Any]) -> None:
    """Refuse games, whose flows are others.

    Raises:
        IncompatibleError: If some moves are neither the agent's nor chance's.
    """
    strange = (graph.movers != AGENT) & (graph.movers != CHANCE)
    if bool(strange.any()):
        raise IncompatibleError(
            f"{graph.env.name}: some of its moves are a player's, and expected flows know one "
            f"agent and chance. `gflow.exact.games` solves games."
        )


def at_chance(graph: StateGraph[Any]) -> Tensor:
    """(N,) bool: states where it is chance's turn."""
    chance = graph.movers == CHANCE
    if graph.env.has_forced_terminals:
        chance = chance & ~graph.env.is_terminal(graph.states)
    return chance


def chance_moves(graph: StateGraph[Any]) -> tuple[Tensor, Tensor]:
    """(E,) and (N,) float64 log-probabilities of moves and stops of chance; 0 for all others."""
    log_prob = torch.zeros(len(graph.parent), dtype=torch.float64)
    log_stop = torch.zeros(len(graph), dtype=torch.float64)
    rows = at_chance(graph).nonzero().squeeze(1)
    if not len(rows):
        return log_prob, log_stop
    states = take(graph.states, rows)
    nothing = torch.zeros(len(rows), graph.env.num_actions)
    table: Tensor = graph.env.law(states, nothing).table().double()
    place = torch.full((len(graph),), -1)
    place[rows] = torch.arange(len(rows))
    at = place[graph.parent]
    log_prob = torch.where(at >= 0, table[at, graph.action], log_prob)
    stop = graph.env.stop_action
    if stop is not None:
        legal = graph.env.forward_mask(states)[:, stop]
        log_stop[rows] = table[:, stop].masked_fill(~legal, -torch.inf)
    return log_prob, log_stop


def origins(graph: StateGraph[Any]) -> Tensor:
    """(N,) int64 the last state of the agent's on the way to each state, itself included.

    Where chance begins, its first state stands for that.

    Raises:
        IncompatibleError: If a state of chance has several parents, between which nothing chooses.
    """
    chance = at_chance(graph)
    parents = torch.bincount(graph.child, minlength=len(graph))
    several = (chance & (parents > 1)).nonzero().squeeze(1)
    if len(several):
        row = int(several[0])
        raise IncompatibleError(
            f"{graph.env.name}: chance moves at {graph.env.shown(graph.states, row)}, which has "
            f"{int(parents[row])} parents, so that nobody can say which state of the agent's the "
            f"move came from. Keep that state in it, or use the form 'tree'."
        )
    origin = torch.arange(len(graph))
    for edges in graph.levels_by_child:
        into = edges[chance[graph.child[edges]]]
        origin[graph.child[into]] = origin[graph.parent[into]]
    return origin


def log_origin(graph: StateGraph[Any], log_pb: Tensor) -> Tensor:
    """(E,) float64 log rho of the form "dag": log P_B summed over moves with the same origin.

    Args:
        graph: All states.
        log_pb: (E,) log P_B of every transition.

    Raises:
        IncompatibleError: See `origins`; also if the environment has no moves back.
    """
    if not graph.env.has_backward:
        graph.uniform_log_pb()  # refuses
    pair = origins(graph)[graph.parent] * len(graph) + graph.child
    _, group = torch.unique(pair, return_inverse=True)
    total = group_logsumexp(log_pb.double(), group, len(graph.parent))[group]
    return total.masked_fill(at_chance(graph)[graph.child], 0.0)

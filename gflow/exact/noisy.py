"""Exact solutions of GFlowNets that know of noise less, or otherwise, than expected flows do."""

from typing import Any

import torch
from torch import Tensor

from gflow.errors import IncompatibleError
from gflow.exact.expected import at_chance, chance_moves, log_origin, origins, refuse_players
from gflow.exact.graph import ExactFlows, StateGraph, group_logsumexp

SHORT = 1e-9
"""Probabilities below zero by no more than this count as zero, and missing ones as there."""


def realised_flows(graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
    """The ordinary GFlowNet of an environment without its noise, carried out with it.

    What the agent would reach without noise is what chance reaches by the action of the same
    number. Of these moves the flows are the ordinary ones, and sampling in proportion to the reward
    would follow from them; in fact every choice goes through chance.

    Args:
        graph: All states of an environment in which chance may move once after each of the agent's.
        log_pb: (E,) log P_B of every transition; uniform over parents by default. It counts what
            was chosen apart, and enters summed over that.

    Returns:
        The flows; those of states of chance are what their intention is worth, and log P_F of
        moves of chance is chance's own. `StateGraph.terminal_log_prob` says what is built.

    Raises:
        IncompatibleError: If chance begins, moves twice in a row, or cannot carry out an intention.
    """
    log_pb, log_chance = _start(graph, log_pb)
    chance, weight = at_chance(graph), log_origin(graph, log_pb)
    into = chance[graph.child]
    size = graph.env.num_actions
    places, order = torch.sort(graph.parent * size + graph.action)
    wanted = graph.child * size + graph.action  # chance's move with the number of the agent's
    place = order[torch.searchsorted(places, wanted).clamp(max=max(len(order) - 1, 0))]
    found = graph.parent[place] * size + graph.action[place] == wanted
    lacking = (into & ~found).nonzero().squeeze(1)
    if len(lacking):
        row = int(graph.child[lacking[0]])
        raise IncompatibleError(
            f"{graph.env.name}: at {graph.env.shown(graph.states, row)} chance has no move of the "
            f"number {int(graph.action[lacking[0]])}, which the agent chose, so that nothing says "
            f"what would follow without noise. Use expected_flows."
        )
    to = torch.where(into, graph.child[place.where(into, 0)], graph.child)
    weight = torch.where(into, weight[place.where(into, 0)], weight)
    log_reward = graph.log_reward()
    flow, value = log_reward.clone(), torch.full_like(weight, -torch.inf)
    for edges in reversed(graph.levels):
        edges = edges[~chance[graph.parent[edges]]]
        parents, group = torch.unique(graph.parent[edges], return_inverse=True)
        value[edges] = flow[to[edges]] + weight[edges]
        out = group_logsumexp(value[edges], group, len(parents))
        flow[parents] = torch.logaddexp(flow[parents], out)
    meant = into.nonzero().squeeze(1)
    flow[graph.child[meant]] = value[meant]
    log_pf = (value - flow[graph.parent]).where(value > -torch.inf, -torch.inf)
    log_pf = torch.where(chance[graph.parent], log_chance, log_pf)
    return ExactFlows(flow, log_pf, log_pb, _stops(graph, flow, log_reward), float(flow[0]))


def stochastic_flows(graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
    r"""The solution of a stochastic GFlowNet, which samples in proportion to the reward.

    .. math:: \sum_a P(a \mid s) P_{env}(s' \mid s, a) = F(s') P_B(s \mid s') / F(s)

    must hold for all s' that may follow s, where F are the flows of the states of the agent's as
    if it could choose among all s'. If the equations have a solution with P >= 0 at every s it is
    found here. On a tree whose moves are replaced by one of V uniform ones with probability alpha
    it exists if and only if every child has at least alpha / V of its parent's flow.

    Args:
        graph: All states of an environment in which chance may move once after each of the agent's.
        log_pb: (E,) log P_B of every transition, of which only the sum over what was chosen is
            read; uniform over parents by default.

    Returns:
        The flows, with the P_B over parents and choices at which all residuals vanish.

    Raises:
        IncompatibleError: If chance begins or moves twice in a row, or there is no solution, with a
            state at which there is none.

    References:
        Pan et al., Stochastic Generative Flow Networks, 2023, https://arxiv.org/abs/2302.09465
    """
    log_pb, log_chance = _start(graph, log_pb)
    size, chance = len(graph), at_chance(graph)
    leads = ~chance[graph.child]  # to a state of the agent's
    source = origins(graph)[graph.parent]
    pair, pairs = torch.unique((source * size + graph.child)[leads], return_inverse=True)
    weight = torch.zeros(len(pair), dtype=torch.float64)
    weight[pairs] = log_origin(graph, log_pb)[leads]
    before, after = pair // size, pair % size
    log_reward = graph.log_reward()
    flow, value = log_reward.clone(), torch.full_like(weight, -torch.inf)
    at = graph.depth[before]
    for depth in at.unique().flip(0).tolist():
        edges = (at == depth).nonzero().squeeze(1)
        parents, group = torch.unique(before[edges], return_inverse=True)
        value[edges] = flow[after[edges]] + weight[edges]
        out = group_logsumexp(value[edges], group, len(parents))
        flow[parents] = torch.logaddexp(flow[parents], out)

    # one system per state: rows of choices, columns of what may follow
    start = torch.searchsorted(before, torch.arange(size))
    column = torch.arange(len(pair)) - start[before]
    choice = ~chance[graph.parent]
    rank = _ranks(graph.parent, choice)
    states, row_of = torch.unique(before, return_inverse=True)
    place = torch.full((size,), -1)
    place[states] = torch.arange(len(states))
    kernel = torch.zeros(
        len(states), int(rank.max()) + 1, int(column.max()) + 1, dtype=torch.float64
    )
    chosen = torch.full((size,), -1)  # the choice that leads to each state of chance
    meant = (choice & chance[graph.child]).nonzero().squeeze(1)
    chosen[graph.child[meant]] = rank[meant]
    which = torch.where(choice, rank, chosen[graph.parent])[leads]
    mass = torch.where(choice, 0.0, log_chance)[leads].exp()
    kernel.index_put_((place[source[leads]], which, column[pairs]), mass, accumulate=True)
    wanted = torch.zeros(len(states), kernel.shape[2], dtype=torch.float64)
    wanted[row_of, column] = (value - flow[before]).exp()
    p = torch.linalg.lstsq(kernel.mT, wanted[:, :, None], driver="gelsd").solution.squeeze(-1)
    missing = (torch.einsum("sa,sac->sc", p, kernel) - wanted).abs().amax(1)
    bad = ((p.amin(1) < -SHORT) | (missing > SHORT)).nonzero().squeeze(1)
    if len(bad):
        row = int(states[bad[0]])
        raise IncompatibleError(
            f"{graph.env.name}: a stochastic GFlowNet has no solution here. At "
            f"{len(bad)} of {len(states)} states no policy makes chance spread the flow as it "
            f"should, the first being {graph.env.shown(graph.states, row)}, where it would take "
            f"probabilities of {[round(v, 6) for v in p[bad[0]].tolist()]}. Use expected_flows, "
            f"which exist for all."
        )
    log_pf = p.clamp(min=0).log()[place[graph.parent].clamp(min=0), rank]
    log_pf = torch.where(choice, log_pf, log_chance)
    flow[graph.child[meant]] = (flow[graph.parent] + log_pf)[meant]
    back = flow[graph.parent] + log_pf - flow[graph.child]
    back = back.where(log_pf > -torch.inf, -1e4)
    return ExactFlows(flow, log_pf, back, _stops(graph, flow, log_reward), float(flow[0]))


def _start(graph: StateGraph[Any], log_pb: Tensor | None) -> tuple[Tensor, Tensor]:
    """(E,) log P_B and log-probabilities of chance, where chance moves once between the agent's."""
    refuse_players(graph)
    chance = at_chance(graph)
    twice = (chance[graph.parent] & chance[graph.child]).nonzero().squeeze(1)
    if bool(chance[0]) or len(twice):
        row = int(graph.child[twice[0]]) if len(twice) else 0
        raise IncompatibleError(
            f"{graph.env.name}: chance moves at {graph.env.shown(graph.states, row)}, not after a "
            f"move of the agent's, so that nobody meant it. Use expected_flows."
        )
    log_pb = graph.uniform_log_pb() if log_pb is None else log_pb.double()
    return log_pb, chance_moves(graph)[0]


def _stops(graph: StateGraph[Any], flow: Tensor, log_reward: Tensor) -> Tensor:
    """(N,) log-probability of ending at each state, once there."""
    log_stop = (log_reward - flow).where(log_reward > -torch.inf, -torch.inf)
    if graph.env.has_forced_terminals:
        log_stop = log_stop.masked_fill(graph.env.is_terminal(graph.states), 0.0)
    return log_stop.masked_fill(at_chance(graph), -torch.inf)


def _ranks(parent: Tensor, chosen: Tensor) -> Tensor:
    """(E,) int64 how many earlier transitions among `chosen` leave the same state."""
    rows = chosen.nonzero().squeeze(1)
    order = rows[torch.argsort(parent[rows], stable=True)]
    _, count = torch.unique_consecutive(parent[order], return_counts=True)
    first = torch.repeat_interleave(count.cumsum(0) - count, count)
    rank = torch.zeros_like(parent)
    rank[order] = torch.arange(len(order)) - first
    return rank

"""Conversion at all states of a list at once, from the pairs that moves connect."""

from typing import Any

import torch
from torch import Tensor

from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.exact.tabular import TabularPolicy
from gflow.outcomes.conversion import Outcomes, Sums
from gflow.outcomes.flows import OutcomeFlows
from gflow.state import batch_size, take


@torch.no_grad()
def tabulated(
    graph: StateGraph[Any], flows: OutcomeFlows, outcomes: Outcomes, pairs: int = 1 << 16
) -> TabularPolicy:
    """What `Converted` says at all listed states, as tables.

    Which outcomes a state leads to is read off the list, whether or not the environment can tell,
    and each such pair is asked about once. So this is the cheapest and the most exact conversion
    where states can be listed; sampling from it costs no network pass.

    Args:
        graph: All states.
        flows: The frozen outcome-conditioned policy.
        outcomes: What to sum over.
        pairs: At most so many pairs of a state and an outcome are asked about at a time.

    Raises:
        IncompatibleError: If none of the outcomes is that of a listed object.
    """
    policy = TabularPolicy(graph, backward=flows.policy.backward)
    sums = Sums(flows, len(graph), back=True)
    rows, which = reachable_pairs(graph, flows, outcomes)
    useful = outcomes.log_weight[which] > -torch.inf
    rows, which = rows[useful], which[useful]
    device = next((p.device for p in flows.policy.parameters()), torch.device("cpu"))
    for at, y in zip(rows.split(pairs), which.split(pairs), strict=True):
        states = take(graph.states, at)
        sums.add(states, at, outcomes.conditions[y], outcomes.log_weight[y])
    said = sums.output(device)
    policy.forward_table.copy_(said.forward_logits)
    assert said.log_flow is not None
    policy.flow_table.copy_(said.log_flow)
    if said.backward_logits is not None:
        policy.backward_table.copy_(said.backward_logits)
    return policy


def reachable_pairs(
    graph: StateGraph[Any], flows: OutcomeFlows, outcomes: Outcomes
) -> tuple[Tensor, Tensor]:
    """(P,) rows of states and (P,) numbers of the outcomes that moves lead from there to.

    Raises:
        IncompatibleError: If there are none.
    """
    count, size = len(outcomes), len(graph)
    own = _own_outcomes(graph, flows, outcomes)
    begin = torch.zeros(size, dtype=torch.int64)
    number = torch.zeros(size, dtype=torch.int64)
    leaves = torch.ones(size, dtype=torch.bool)
    leaves[graph.parent] = False
    store = torch.zeros(0, dtype=torch.int64)
    found: list[Tensor] = []

    def keep(codes: Tensor) -> None:
        """Codes of pairs, sorted, of states that have none yet."""
        nonlocal store
        states, numbers = torch.unique_consecutive(codes // count, return_counts=True)
        begin[states] = len(store) + numbers.cumsum(0) - numbers
        number[states] = numbers
        store = torch.cat([store, codes % count])
        found.append(codes)

    def of_their_own(states: Tensor) -> Tensor:
        states = states[own[states] >= 0]
        return states * count + own[states]

    keep(of_their_own(leaves.nonzero().squeeze(1)))
    for edges in reversed(graph.levels):
        parents, children = graph.parent[edges], graph.child[edges]
        numbers = number[children]
        at = torch.arange(len(edges)).repeat_interleave(numbers)
        offset = torch.arange(len(at)) - (numbers.cumsum(0) - numbers)[at]
        below = parents[at] * count + store[begin[children[at]] + offset]
        keep(torch.cat([below, of_their_own(parents.unique())]).unique())
    codes = torch.cat(found)
    if not len(codes):
        raise IncompatibleError(
            f"{graph.env.name}: none of the {count} outcomes is that of one of the "
            f"{len(graph.objects)} objects listed. Outcomes must come from the same environment."
        )
    return codes // count, codes % count


def _own_outcomes(graph: StateGraph[Any], flows: OutcomeFlows, outcomes: Outcomes) -> Tensor:
    """(N,) number of the outcome that each state achieves if it ends there; -1 for none."""
    objects = take(graph.states, graph.objects)
    achieved = flows.reward.outcomes(objects)
    both = torch.cat([outcomes.conditions.to(achieved), achieved])
    groups: Tensor = torch.unique(both, dim=0, return_inverse=True)[1]
    place = torch.full((len(both),), -1)
    place[groups[: len(outcomes)]] = torch.arange(len(outcomes))
    own = torch.full((batch_size(graph.states),), -1)
    own[graph.objects] = place[groups[len(outcomes) :]]
    return own

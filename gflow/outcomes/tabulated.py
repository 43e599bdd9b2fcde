"""Conversion at all states of a list at once, from the pairs that moves connect."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.exact.tabular import TabularPolicy
from gflow.outcomes.conversion import Outcomes, Sums
from gflow.outcomes.flows import NEAR, OutcomeFlows, PairFlows
from gflow.policies.base import backward_law
from gflow.state import batch_size, take


class PairTable:
    """The flows of all pairs of a listed state and an outcome that moves connect, asked for once.

    Which outcomes a state leads to is read off the list, whether or not the environment can tell.
    So this is the cheapest and the most exact conversion where states can be listed: one pass over
    the pairs serves any number of rewards, and sampling costs no pass of a network.

    What a move from s to s' carries to y is said twice, by F(s | y) P_F(s' | s, y) and by
    F(s' | y) P_B(s | s', y). For exact flows they are the same. For learned ones their geometric
    mean (with weights 1 - NEAR and NEAR) has less of the error of either, and moves to states from
    which y cannot be reached carry nothing.

    Args:
        graph: All states.
        flows: The frozen outcome-conditioned policy.
        objects: All objects, or some that stand for the outcomes that are wanted.
        pairs: At most so many pairs are asked about at a time.
        both_ends: Whether to take that mean; False takes what the state that a move leaves says.
            Never where actions are equivalent.

    Raises:
        IncompatibleError: If none of the outcomes is that of a listed object.
    """

    @torch.no_grad()
    def __init__(
        self,
        graph: StateGraph[Any],
        flows: OutcomeFlows,
        objects: Any,
        pairs: int = 1 << 16,
        both_ends: bool = True,
    ) -> None:
        self.graph, self.flows, self.objects, self.pairs = graph, flows, objects, pairs
        self.conditions = flows.reward.outcomes(objects).unique(dim=0)
        self.rows, self.which = reachable_pairs(graph, flows, self.conditions)
        found = [
            flows(take(graph.states, at), self.conditions[y], back=True)
            for at, y in zip(self.rows.split(pairs), self.which.split(pairs), strict=True)
        ]
        backs = [part.log_pb for part in found if part.log_pb is not None]
        self.found = PairFlows(
            torch.cat([part.log_flow for part in found]),
            torch.cat([part.log_pf for part in found]),
            torch.cat(backs) if backs else None,
        )
        if both_ends and flows.has_both_ends(take(graph.states, graph.objects[:1])):
            self.found = replace(self.found, log_pf=self._of_both_ends())

    def _of_both_ends(self) -> Tensor:
        """(P, A) log of the mean of what both ends of a move say, less log F of its first."""
        graph, found, count = self.graph, self.found, len(self.conditions)
        codes, order = (self.rows * count + self.which).sort()
        child = torch.full((len(graph), graph.env.num_actions), -1)
        undo = torch.zeros_like(child)
        child[graph.parent, graph.action] = graph.child
        undo[graph.parent, graph.action] = graph.backward_action
        fixed = None
        if found.log_pb is None:
            policy = self.flows.policy
            fixed = backward_law(graph.env, policy, graph.states, None).table()
        log_pf = found.log_pf.clone()
        for action in range(graph.env.num_actions):
            if action == graph.env.stop_action:
                continue
            rows = child[self.rows, action]
            wanted = rows * count + self.which
            place = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
            leads = (rows >= 0) & (codes[place] == wanted)
            pair, back = order[place], undo[self.rows, action]
            log_pb = fixed[rows, back] if fixed is not None else found.log_pb[pair, back]  # type: ignore[index]
            theirs = found.log_flow[pair] + log_pb - found.log_flow
            both = (1 - NEAR) * log_pf[:, action] + NEAR * theirs.to(log_pf.dtype)
            log_pf[:, action] = both.where(leads, -torch.inf)
        return log_pf

    @torch.no_grad()
    def policy(self, target: DiscreteEnvironment[Any]) -> TabularPolicy:
        """What `Converted` says at all listed states for the reward of an environment.

        Args:
            target: The environment whose reward is wanted, with the same states.
        """
        outcomes = Outcomes.of(target, self.flows.env, self.objects)
        place = _places(self.conditions, outcomes.conditions)
        log_weight = torch.full((len(self.conditions),), -torch.inf, dtype=torch.float64)
        log_weight[place] = outcomes.log_weight
        sums = Sums(self.flows, len(self.graph), back=True)
        weight = log_weight[self.which]
        for chosen in (weight > -torch.inf).nonzero().squeeze(1).split(self.pairs):
            back = self.found.log_pb
            part = PairFlows(
                self.found.log_flow[chosen],
                self.found.log_pf[chosen],
                None if back is None else back[chosen],
            )
            sums.add_flows(part, self.rows[chosen], weight[chosen])
        said = sums.output(self.graph.depth.device)
        policy = TabularPolicy(self.graph, backward=self.flows.policy.backward)
        policy.forward_table.copy_(said.forward_logits)
        assert said.log_flow is not None
        policy.flow_table.copy_(said.log_flow)
        if said.backward_logits is not None:
            policy.backward_table.copy_(said.backward_logits)
        return policy


def reachable_pairs(
    graph: StateGraph[Any], flows: OutcomeFlows, conditions: Tensor
) -> tuple[Tensor, Tensor]:
    """(P,) rows of states and (P,) numbers of the outcomes that moves lead from there to.

    Args:
        graph: All states.
        flows: Knows the outcomes of objects.
        conditions: (K, C) different outcomes.

    Raises:
        IncompatibleError: If there are none.
    """
    count, size = len(conditions), len(graph)
    own = torch.full((batch_size(graph.states),), -1)
    achieved = flows.reward.outcomes(take(graph.states, graph.objects))
    own[graph.objects] = _places(conditions, achieved)
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


def _places(conditions: Tensor, wanted: Tensor) -> Tensor:
    """(M,) rows of wanted outcomes among (K, C) different ones; -1 for those that are not there."""
    both = torch.cat([conditions.to(wanted), wanted])
    groups: Tensor = torch.unique(both, dim=0, return_inverse=True)[1]
    place = torch.full((len(both),), -1)
    place[groups[: len(conditions)]] = torch.arange(len(conditions))
    return place[groups[len(conditions) :]]

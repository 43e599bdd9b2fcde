"""Tables for every listed outcome: exact outcome-conditioned samplers, and what tests train."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError, ShapeError
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.exact.tabular import TabularPolicy
from gflow.policies.base import Backward, Policy, PolicyOutput, check_backward


class OutcomeTables(Policy):
    """A `TabularPolicy` for each of K conditions: one free number per condition, state and head.

    Args:
        graph: All states, from `enumerate_states`.
        outcomes: (K, C) the conditions; any other is refused.
        backward: As of `TabularPolicy`.

    Attributes:
        forward_table: (K, N, A) forward logits.
        backward_table: (K, N, P) backward logits, if they are learned.
        flow_table: (K, N) log F.
    """

    has_log_flow = True
    outcomes: Tensor

    def __init__(
        self, graph: StateGraph[Any], outcomes: Tensor, backward: Backward = "learned"
    ) -> None:
        super().__init__()
        if outcomes.dim() != 2 or not len(outcomes):
            raise ShapeError(
                f"OutcomeTables: outcomes must be (K, C) with rows, got {tuple(outcomes.shape)}."
            )
        check_backward(graph.env, backward)
        self.graph, self.backward = graph, backward
        self.register_buffer("outcomes", outcomes)
        size, env = (len(outcomes), len(graph)), graph.env
        self.forward_table = nn.Parameter(torch.zeros(*size, env.num_actions))
        self.flow_table = nn.Parameter(torch.zeros(size))
        if backward == "learned":
            self.backward_table = nn.Parameter(torch.zeros(*size, env.num_backward_actions))

    def places(self, condition: Tensor | None) -> Tensor:
        """(N,) rows of (N, C) conditions among the outcomes.

        Raises:
            IncompatibleError: If one is not listed, or there are none.
        """
        if condition is None:
            raise IncompatibleError("OutcomeTables: no outcome was asked for.")
        both = torch.cat([self.outcomes, condition.to(self.outcomes)])
        groups: Tensor = torch.unique(both, dim=0, return_inverse=True)[1]
        count = len(self.outcomes)
        place = torch.full((len(both),), -1, device=groups.device)
        place[groups[:count]] = torch.arange(count, device=groups.device)
        found = place[groups[count:]]
        if bool((found < 0).any()):
            row = int((found < 0).nonzero()[0])
            raise IncompatibleError(
                f"OutcomeTables: the outcome {condition[row].tolist()} is not among the {count} "
                f"that have tables."
            )
        return found

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Rows of the tables."""
        at = self.places(condition), self.graph.rows(states)
        back = self.backward_table[at] if self.backward == "learned" else None
        return PolicyOutput(self.forward_table[at], back, self.flow_table[at])

    @classmethod
    def solved(
        cls, graph: StateGraph[Any], outcomes: Tensor, log_pb: Tensor | None = None
    ) -> "OutcomeTables":
        """The exact flows of every outcome written into tables.

        Where an outcome cannot be reached log F is about -1e4.

        Args:
            graph: All states of an outcome-conditioned environment.
            outcomes: (K, C) the conditions.
            log_pb: (K, E) log P_B of every transition for each; uniform over parents by default.
        """
        tables = cls(graph, outcomes)
        with torch.no_grad():
            for row, flows in enumerate(solved_flows(graph, outcomes, log_pb)):
                log_flow = flows.log_flow.clamp(min=-1e4)
                kept = ExactFlows(log_flow, flows.log_pf, flows.log_pb, flows.log_stop, flows.log_z)
                one = TabularPolicy.solved(graph, kept)
                tables.forward_table[row] = one.forward_table
                tables.backward_table[row] = one.backward_table
                tables.flow_table[row] = one.flow_table
        return tables


def solved_flows(
    graph: StateGraph[Any], outcomes: Tensor, log_pb: Tensor | None = None
) -> list[ExactFlows]:
    """The exact flows of each of K outcomes.

    Args:
        graph: All states of an outcome-conditioned environment.
        outcomes: (K, C).
        log_pb: (K, E) or None for even parents.
    """
    return [
        graph.exact_flows(None if log_pb is None else log_pb[row], outcome[None])
        for row, outcome in enumerate(outcomes)
    ]

"""Exact conditional solutions: a table for each of several conditions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.exact.tabular import TabularPolicy
from gflow.policies.base import Policy, PolicyOutput
from gflow.state import take
from gflow.terms import Needs

PLAIN = Needs()


class TabularFamily(Policy):
    """Tabular policies side by side, each of which answers for its condition.

    Args:
        policies: Of lists of states that have a condition each (`StateGraph.told`).

    Raises:
        IncompatibleError: One of them has none.
    """

    conditions: Tensor

    def __init__(self, policies: Sequence[TabularPolicy]) -> None:
        super().__init__()
        told = [policy.graph.condition for policy in policies]
        if any(one is None for one in told):
            raise IncompatibleError(
                "TabularFamily: a table is of a list of states without a condition. List them for "
                "one: graph.told(condition)."
            )
        self.policies = nn.ModuleList(policies)
        self.register_buffer("conditions", torch.cat([one for one in told if one is not None]))
        self.backward, self.has_log_flow = policies[0].backward, True

    @classmethod
    def solved(
        cls,
        graph: StateGraph[Any],
        conditions: Tensor,
        flows: Callable[[StateGraph[Any]], ExactFlows] = StateGraph.exact_flows,
        needs: Needs = PLAIN,
    ) -> "TabularFamily":
        """The exact solution for each of (E, C) conditions, so that every residual vanishes.

        Args:
            graph: All states.
            conditions: (E, C).
            flows: Gives the flows for one condition, as `Objective.exact_flows` does.
            needs: What is read of log-flows and logits (see `TabularPolicy.solved`).
        """
        told = [graph.told(condition) for condition in conditions]
        return cls([TabularPolicy.solved(g, flows(g), needs.edge_flow, needs.energy) for g in told])

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Rows of the tables of the conditions.

        Raises:
            IncompatibleError: A condition that has no table, or none at all.
        """
        same = None
        if condition is not None:
            same = (condition[:, None].to(self.conditions) == self.conditions).all(-1)
        if same is None or not bool(same.any(1).all()):
            raise IncompatibleError(
                f"TabularFamily: there are tables for the conditions {self.conditions.tolist()} "
                f"alone, and others were asked for."
            )
        parts: list[PolicyOutput] = []
        rows = []
        for number, policy in enumerate(self.policies):
            mine = (same & (same.long().cumsum(1) == 1))[:, number].nonzero().squeeze(1)
            rows.append(mine)
            parts.append(policy(env, take(states, mine)))
        place = torch.cat(rows).argsort()

        def joined(name: str) -> Tensor | None:
            found = [getattr(part, name) for part in parts]
            return None if found[0] is None else torch.cat(found)[place]

        ahead = joined("forward_logits")
        assert ahead is not None
        return PolicyOutput(ahead, joined("backward_logits"), joined("log_flow"))

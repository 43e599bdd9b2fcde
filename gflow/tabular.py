"""Tabular policies: one free number per state and head, for exactness."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.env import Environment
from gflow.exact import ExactFlows, StateGraph
from gflow.policy import Backward, Policy, PolicyOutput, check_backward


class TabularPolicy(Policy):
    """Tables of logits and log-flows over all states of an enumerable environment.

    Args:
        graph: All states, from `enumerate_states`.
        backward: "learned", "uniform" or "maxent".

    Attributes:
        forward_table: (N, A) forward logits.
        backward_table: (N, P) backward logits.
        flow_table: (N,) log F.
    """

    has_log_flow = True

    def __init__(self, graph: StateGraph[Any], backward: Backward = "learned") -> None:
        super().__init__()
        check_backward(graph.env, backward)
        self.graph, self.backward = graph, backward
        size, env = len(graph), graph.env
        self.forward_table = nn.Parameter(torch.zeros(size, env.num_actions))
        self.flow_table = nn.Parameter(torch.zeros(size))
        if backward == "learned":
            self.backward_table = nn.Parameter(torch.zeros(size, env.num_backward_actions))

    def encode(self, env: Environment[Any], states: Any) -> Tensor:
        """(B,) rows of the states."""
        return self.graph.rows(states)

    def forward(self, inputs: Any, condition: Tensor | None = None) -> PolicyOutput:
        """Rows of the tables."""
        back = self.backward_table[inputs] if self.backward == "learned" else None
        return PolicyOutput(self.forward_table[inputs], back, self.flow_table[inputs])

    @classmethod
    def solved(
        cls, graph: StateGraph[Any], flows: ExactFlows, edge_flows: bool = False
    ) -> "TabularPolicy":
        """The exact solution written into tables, so that every residual vanishes.

        Args:
            graph: All states.
            flows: The solution, from `StateGraph.exact_flows`.
            edge_flows: Write log edge flows as forward logits (flow matching) instead of log P_F.
        """
        policy = cls(graph)
        forward = torch.full_like(policy.forward_table, -1e4)
        backward = torch.full_like(policy.backward_table, -1e4)
        with torch.no_grad():
            forward[graph.parent, graph.action] = flows.log_pf.to(forward.dtype)
            backward[graph.child, graph.backward_action] = flows.log_pb.to(forward.dtype)
            if graph.env.stop_action is not None:
                stops = graph.env.forward_mask(graph.states)[:, graph.env.stop_action]
                forward[stops, graph.env.stop_action] = flows.log_stop[stops].to(forward.dtype)
            if edge_flows:
                forward += flows.log_flow[:, None].to(forward.dtype)
            policy.forward_table.copy_(forward)
            policy.backward_table.copy_(backward)
            policy.flow_table.copy_(flows.log_flow.to(forward.dtype))
        return policy

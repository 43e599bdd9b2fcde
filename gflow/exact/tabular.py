"""Tabular policies: one free number per state and head, for exactness."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.masking import representatives
from gflow.policies.base import Backward, Policy, PolicyOutput, check_backward
from gflow.state import take


class TabularPolicy(Policy):
    """Tables of logits and log-flows over all states of an enumerable environment.

    Args:
        graph: All states, from `enumerate_states`.
        backward: "learned", "uniform" or "maxent"; always uniform where there are no moves back.
        flows: Log-flows at each state: `Needs.flows`.

    Attributes:
        forward_table: (N, A) forward logits.
        backward_table: (N, P) backward logits.
        flow_table: (N,) log F, or (N, n) of n > 1 players.
    """

    has_log_flow = True

    def __init__(
        self, graph: StateGraph[Any], backward: Backward = "learned", flows: int = 1
    ) -> None:
        super().__init__()
        backward = backward if graph.env.has_backward else "uniform"
        check_backward(graph.env, backward)
        self.graph, self.backward = graph, backward
        size, env = len(graph), graph.env
        self.forward_table = nn.Parameter(torch.zeros(size, env.num_actions))
        self.flow_table = nn.Parameter(torch.zeros((size, flows) if flows > 1 else size))
        if backward == "learned":
            self.backward_table = nn.Parameter(torch.zeros(size, env.num_backward_actions))

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Rows of the tables.

        Raises:
            IncompatibleError: They are asked for another condition than that of the list of states.
        """
        if condition is not None and self.graph.env.condition_dim:
            mine = self.graph.condition
            if mine is None or not bool((condition == mine.to(condition)).all()):
                has = "none" if mine is None else str(mine[0].tolist())
                raise IncompatibleError(
                    f"TabularPolicy: a table answers for one condition, that of its list of states "
                    f"({has}), and others were asked for. List the states for it, "
                    f"graph.told(condition), or use TabularFamily."
                )
        rows = self.graph.rows(states)
        back = self.backward_table[rows] if self.backward == "learned" else None
        return PolicyOutput(self.forward_table[rows], back, self.flow_table[rows])

    @classmethod
    def solved(
        cls,
        graph: StateGraph[Any],
        flows: ExactFlows,
        edge_flows: bool = False,
        forward_looking: bool = False,
    ) -> "TabularPolicy":
        """The exact solution written into tables, so that every residual vanishes.

        Args:
            graph: All states.
            flows: The solution, from `StateGraph.exact_flows`.
            edge_flows: Write log edge flows as forward logits (flow matching) instead of log P_F.
            forward_looking: Write log F + E as log-flows (`Needs.energy`) instead of log F.
        """
        policy = cls(graph, flows=flows.log_flow[0].numel())
        forward = torch.full_like(policy.forward_table, -1e4)
        with torch.no_grad():
            forward[graph.parent, graph.action] = flows.log_pf.clamp(min=-1e4).to(forward.dtype)
            if policy.backward == "learned":
                children, undo, log_pb = _every_move_back(graph, flows.log_pb)
                backward = torch.full_like(policy.backward_table, -1e4)
                backward[children, undo] = log_pb.to(forward.dtype)
                policy.backward_table.copy_(backward)
            if graph.env.stop_action is not None:
                stops = graph.env.forward_mask(graph.states)[:, graph.env.stop_action]
                log_stop = flows.log_stop[stops].clamp(min=-1e4)
                forward[stops, graph.env.stop_action] = log_stop.to(forward.dtype)
            if edge_flows:
                forward += flows.log_flow[:, None].to(forward.dtype)
            policy.forward_table.copy_(forward)
            log_flow = flows.log_flow
            if forward_looking:
                given = graph.condition
                given = None if given is None else given.expand(len(graph), -1)
                log_flow = log_flow - graph.env.partial_log_reward(graph.states, given).double()
            policy.flow_table.copy_(log_flow.to(forward.dtype))
        return policy


def _every_move_back(graph: StateGraph[Any], log_pb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, backward actions and log P_B of all legal backward actions (one per declared class).

    The transitions of the graph need not name all of them: where states are classes of labelled
    representations, several backward actions may lead to one parent, and each has the
    probability of the transitions between the two.
    """
    env, size = graph.env, len(graph)
    mask, classes = env.backward_mask(graph.states), env.backward_classes(graph.states)
    if classes is not None:
        mask = representatives(mask, classes)
    rows, undo = mask.nonzero(as_tuple=True)
    parents = graph.rows(env._backstep(take(graph.states, rows), undo))
    pairs, order = torch.sort(graph.parent * size + graph.child)
    place = torch.searchsorted(pairs, parents * size + rows)
    return rows, undo, log_pb[order[place]]

"""The exact solution that an objective names, for an environment that can be listed."""

from typing import Any

import torch

from gflow.exact.games import adversarial_flows, player_flows
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.objective import Objective, Solution


def solution_of(
    graph: StateGraph[Any], objective: Objective, generator: torch.Generator
) -> ExactFlows:
    """Flows at which residuals must vanish.

    Args:
        graph: All states.
        objective: Names its solution.
        generator: For the backward policy, where one is free.
    """
    match objective.solution:
        case Solution.ADVERSARIAL:
            return adversarial_flows(graph)
        case Solution.EQUILIBRIUM:
            return player_flows(graph)
    # A random backward policy: under the uniform one many mistakes cancel.
    edge = torch.randn(len(graph.parent), generator=generator)
    total = torch.zeros(len(graph)).index_add(0, graph.child, edge.exp()).log()
    return objective.exact_flows(graph, edge - total[graph.child])

"""How far what is trained under noise is from exact expected flows."""

from torch import Tensor

from gflow.metrics import total_variation
from gflow.objective import Solution
from gflow.tasks.task import Context


def expected_metrics(context: Context) -> dict[str, float]:
    """How far a policy is from expected flows and from R / Z, if all states are known.

    Total variations between exact distributions of objects: `tv_expected` to `expected_law`,
    `tv_reward` to the one in proportion to the reward, whatever the objective means.
    """
    graph = context.graph
    if graph is None or context.policy is None:
        return {}
    learned = graph.terminal_distribution(context.policy)
    return {
        "tv_expected": float(total_variation(learned, expected_law(context))),
        "tv_reward": float(total_variation(learned, graph.log_target())),
    }


def expected_law(context: Context) -> Tensor:
    """(X,) float64 log-probability of each object by expected flows.

    In the form that the objective has, for the policy's own P_B where that is read; "tree" where
    the objective is about something else.
    """
    graph, objective = context.graph, context.trainer.objective
    assert graph is not None
    assert context.policy is not None
    if objective.solution is Solution.EXPECTED:
        reads = objective.needs.log_pb
        log_pb = graph.log_pb(context.policy) if reads else None
        flows = objective.exact_flows(graph, log_pb)
    else:
        flows = graph.expected_flows("tree")
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop)

"""Exact answers about environments with noise: what trained policies are measured against."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.movers import CHANCE
from gflow.envs.noise.env import WithNoise
from gflow.exact.expected import expected_flows
from gflow.exact.graph import ExactFlows, StateGraph, enumerate_states
from gflow.metrics import log_z_error, total_variation
from gflow.objective import Solution
from gflow.tasks.task import Context


def executed_law(graph: StateGraph[Any]) -> Tensor:
    """(X,) float64 log-probability of each object where an ordinary GFlowNet meets noise.

    Its policy is the one that without noise samples in proportion to the reward, with a uniform
    P_B. It announces by that, and chance disturbs it: what `naive_realised` converges to.

    Args:
        graph: All states of a `WithNoise`.
    """
    env = graph.env
    assert isinstance(env, WithNoise)
    plain = enumerate_states(env.inner, limit=len(graph))
    flows = plain.exact_flows()
    table = torch.full((len(plain), env.num_actions), -torch.inf, dtype=torch.float64)
    table[plain.parent, plain.action] = flows.log_pf
    rows = plain.rows(graph.states.inner)
    chance = graph.movers == CHANCE
    outputs = torch.zeros(len(graph), env.num_actions, dtype=torch.float64)
    law = env.law(graph.states, outputs).table().double()
    log_pf = torch.where(chance[:, None], law, table[rows])[graph.parent, graph.action]
    log_stop = flows.log_stop[rows].masked_fill(chance, -torch.inf)
    return graph.terminal_log_prob(log_pf, log_stop)


def expected_metrics(context: Context) -> dict[str, float]:
    """How far a policy is from expected flows; nothing if the states are too many to be known.

    `tv_expected` is the total variation between the exact distributions of the policy's objects and
    of those of expected flows (see `expected_law`); `log_z_error` is about the log Z of these where
    the objective means them.
    """
    if context.graph is None:
        return {}
    objective, policy = context.trainer.objective, context.trainer.evaluated_policy
    flows = _flows(context)
    exact = context.graph.terminal_log_prob(flows.log_pf, flows.log_stop)
    learned = context.graph.terminal_distribution(policy)
    numbers = {"tv_expected": float(total_variation(learned, exact))}
    if objective.solution is Solution.EXPECTED:
        log_flow = policy(context.env, context.env.initial(1, context.trainer.device)).log_flow
        assert log_flow is not None
        numbers["log_z_error"] = float(log_z_error(log_flow.double().cpu(), flows.log_z))
    return numbers


def expected_law(context: Context) -> Tensor:
    """(X,) float64 log-probability of each object by expected flows.

    In the form that the objective has ("tree" where it has none), for the policy's own P_B.
    """
    assert context.graph is not None
    flows = _flows(context)
    return context.graph.terminal_log_prob(flows.log_pf, flows.log_stop)


def _flows(context: Context) -> ExactFlows:
    graph: StateGraph[Any] | None = context.graph
    assert graph is not None
    if getattr(context.trainer.objective, "graph", "tree") == "tree":
        return expected_flows(graph, "tree")
    return expected_flows(graph, "dag", graph.log_pb(context.trainer.evaluated_policy))

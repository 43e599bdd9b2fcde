"""Exact answers about environments with noise: what trained policies are measured against."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.movers import CHANCE
from gflow.envs.noise.env import WithNoise
from gflow.exact.graph import StateGraph, enumerate_states
from gflow.metrics import total_variation
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
    """How far a policy is from expected flows and from R / Z, if all states are known.

    Total variations between exact distributions of objects: `tv_expected` to `expected_law`,
    `tv_reward` to the one in proportion to the reward, whatever the objective means.
    """
    graph = context.graph
    if graph is None:
        return {}
    learned = graph.terminal_distribution(context.trainer.evaluated_policy)
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
    if objective.solution is Solution.EXPECTED:
        reads = objective.needs.log_pb
        log_pb = graph.log_pb(context.trainer.evaluated_policy) if reads else None
        flows = objective.exact_flows(graph, log_pb)
    else:
        flows = graph.expected_flows("tree")
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop)

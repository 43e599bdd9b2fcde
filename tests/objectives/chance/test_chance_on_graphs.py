"""Objectives for chance on random graphs with noise, and under conditions."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import Policy, PolicyOutput, Sampler, TabularPolicy, enumerate_states
from gflow.envs.noise.env import WithNoise
from gflow.envs.noise.kernels import TokenNoise
from gflow.errors import IncompatibleError
from gflow.exact import stochastic_flows
from gflow.exact.graph import StateGraph
from gflow.objectives import ExpectedDetailedBalance, NaiveRealised, Objective, StochasticFlow
from gflow.rewards import LogReward
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.slipping import SlippingGrid
from gflow.testing.strategies import random_dags

graphs = random_dags(max_states=6, duplicates=False)
alphas = st.sampled_from([0.1, 0.5, 1.0])


def random_log_pb(graph: StateGraph[Any], seed: int) -> Tensor:
    edge = torch.randn(len(graph.parent), generator=torch.Generator().manual_seed(seed))
    total = torch.zeros(len(graph)).index_add(0, graph.child, edge.exp()).log()
    return edge - total[graph.child]


def worst(objective: Objective, env: Any, policy: Policy, batch: Any) -> float:
    terms = objective.evaluate(env, policy, batch)
    return float(objective.residual(terms).detach().abs().max())


@pytest.mark.slow
@settings(max_examples=15)
@given(env=graphs, alpha=alphas, seed=st.integers(0, 99))
def test_expected_flows_balance(env: TableEnvironment, alpha: float, seed: int) -> None:
    noisy = WithNoise(env, TokenNoise(alpha))
    graph, batch = enumerate_states(noisy), all_trajectories(noisy, 20_000)
    log_pb = random_log_pb(graph, seed)
    for form in ("tree", "dag"):
        objective = ExpectedDetailedBalance(graph=form)
        policy = TabularPolicy.solved(graph, objective.exact_flows(graph, log_pb))
        assert worst(objective, noisy, policy, batch) < 1e-9


@pytest.mark.slow
@settings(max_examples=15)
@given(env=graphs, seed=st.integers(0, 99))
def test_forms_agree_with_the_environment_without_noise(env: TableEnvironment, seed: int) -> None:
    """T1.3: at alpha = 0 the form of graphs is the ordinary GFlowNet of the environment inside."""
    noisy = WithNoise(env, TokenNoise(0.0))
    graph, plain = enumerate_states(noisy), enumerate_states(env)
    log_pb = random_log_pb(graph, seed)
    flows = graph.expected_flows("dag", log_pb)
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
    place = plain.rows(graph.states.inner)[graph.objects]
    wanted = plain.log_reward().log_softmax(0)[place]
    torch.testing.assert_close(law, wanted, rtol=0, atol=1e-9)
    assert flows.log_z == pytest.approx(float(plain.log_reward().logsumexp(0)))


@settings(max_examples=15)
@given(env=graphs, alpha=alphas, seed=st.integers(0, 99))
def test_naive_flows_are_those_without_noise(
    env: TableEnvironment, alpha: float, seed: int
) -> None:
    noisy = WithNoise(env, TokenNoise(alpha))
    graph, objective = enumerate_states(noisy), NaiveRealised()
    flows = objective.exact_flows(graph, random_log_pb(graph, seed))
    assert flows.log_z == pytest.approx(float(graph.log_reward().logsumexp(0)))
    policy = TabularPolicy.solved(graph, flows)
    assert worst(objective, noisy, policy, all_trajectories(noisy, 20_000)) < 1e-9


@settings(max_examples=15)
@given(env=graphs, seed=st.integers(0, 99))
def test_stochastic_flows_where_there_are_any_sample_the_reward(
    env: TableEnvironment, seed: int
) -> None:
    """T1.7 on graphs: in proportion to R, or refused with a state at which it takes P < 0."""
    noisy = WithNoise(env, TokenNoise(0.1))
    graph = enumerate_states(noisy)
    try:
        flows = stochastic_flows(graph, random_log_pb(graph, seed))
    except IncompatibleError as error:
        assert "-0." in str(error) or "-1." in str(error)  # noqa: PT017
        return
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
    torch.testing.assert_close(law, graph.log_target(), rtol=0, atol=1e-8)
    policy = TabularPolicy.solved(graph, flows)
    assert worst(StochasticFlow(), noisy, policy, all_trajectories(noisy, 20_000)) < 1e-8


# ---------------------------------------------------------------------- conditions


class ByCondition(Policy):
    """One policy for each of two conditions."""

    has_log_flow = True

    def __init__(self, policies: list[TabularPolicy]) -> None:
        super().__init__()
        self.policies = torch.nn.ModuleList(policies)

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        assert condition is not None
        a, b = (policy(env, states) for policy in self.policies)
        at = condition[:, :1] > 1
        assert a.backward_logits is not None
        return PolicyOutput(
            torch.where(at, b.forward_logits, a.forward_logits),
            torch.where(at, b.backward_logits, a.backward_logits),
            torch.where(at[:, 0], b.log_flow, a.log_flow),
        )


class Warm(LogReward[Tensor]):
    """Height to the power of the condition."""

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return condition[:, 0] * states[:, :-1].sum(-1)


class WarmGrid(SlippingGrid):
    """A grid on ice whose reward reads a condition."""

    condition_dim = 1


@pytest.mark.parametrize("form", ["one_step", "two_step"])
@pytest.mark.parametrize("graph", ["tree", "dag"])
def test_successors_are_judged_under_the_condition_of_their_trajectory(
    form: Any, graph: Any
) -> None:
    env, given_values = WarmGrid(2, 3, 0.3, Warm()), torch.tensor([[0.5], [2.0]])
    states = enumerate_states(env)
    log_pb = random_log_pb(states, 0)
    policy = ByCondition(
        [
            TabularPolicy.solved(states, states.expected_flows(graph, log_pb, condition=one[None]))
            for one in given_values
        ]
    )
    condition = given_values.repeat(20, 1)
    batch = Sampler(env).forward(
        policy, 40, condition=condition, generator=torch.Generator().manual_seed(0)
    )
    objective = ExpectedDetailedBalance(form=form, graph=graph)
    assert worst(objective, env, policy, batch) < 1e-9
    turned = ByCondition(list(reversed(list(policy.policies))))  # type: ignore[arg-type]
    assert worst(objective, env, turned, batch) > 0.1

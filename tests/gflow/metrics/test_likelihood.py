from typing import Any

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import Sampler, TabularPolicy, enumerate_states
from gflow.envs import HyperGrid
from gflow.errors import ConfigError
from gflow.exact.graph import StateGraph
from gflow.metrics import (
    average_ranks,
    log_likelihood,
    log_reward_correlation,
    pearson,
    spearman,
)
from gflow.policies.base import Backward
from gflow.testing import TableEnvironment
from gflow.testing.strategies import random_dags


def random_policy(
    graph: StateGraph[Any], seed: int, backward: Backward = "learned"
) -> TabularPolicy:
    policy = TabularPolicy(graph, backward)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


@given(env=random_dags(max_states=8), seed=st.integers(0, 99), merged=st.booleans())
def test_agrees_with_the_exact_distribution(env: TableEnvironment, seed: int, merged: bool) -> None:
    graph = enumerate_states(env)
    policy = random_policy(graph, seed)
    generator = torch.Generator().manual_seed(seed)
    objects = graph.states[graph.objects]
    found = log_likelihood(env, policy, objects, 1000, generator=generator)
    exact = graph.terminal_distribution(policy)
    # The ratio is bounded here, so that its mean is nearly normal: five standard errors.
    assert bool(((found.log_prob - exact).abs() <= 6 * found.standard_error + 0.02).all())


@pytest.mark.parametrize("backward", ["learned", "uniform", "maxent"])
def test_mean_of_ratios_is_unbiased_on_the_grid(backward: Backward) -> None:
    env = HyperGrid(2, 4)
    graph = enumerate_states(env)
    policy = random_policy(graph, 1, backward)
    objects = graph.states[graph.objects]
    found = log_likelihood(env, policy, objects, 4000, generator=torch.Generator().manual_seed(0))
    exact = graph.terminal_distribution(policy)
    z = (found.log_ratio.exp().mean(1) - exact.exp()) / (
        found.log_ratio.exp().std(1) / 4000**0.5
    ).clamp(min=1e-12)
    assert float(z.abs().max()) < 4.5


@pytest.mark.parametrize(
    "backward",
    [
        "learned",
        "maxent",
        "uniform",
    ],
)
def test_equal_backward_actions(backward: Backward) -> None:
    """Three backward actions lead to one parent and one to the other."""
    env = TableEnvironment([[1, 2], [3, 3, 3], [3], []], [0.0] * 4, merge_parents=False)
    graph = enumerate_states(env)
    policy = random_policy(graph, 0, backward)
    generator = torch.Generator().manual_seed(0)
    found = log_likelihood(env, policy, torch.tensor([3]), 4000, generator=generator)
    assert float((found.log_prob / found.standard_error).abs()) < 5  # p = 1: the only object


def test_exact_on_trees() -> None:
    env = TableEnvironment([[1, 2], [3, 4], [5], [], [], []], [0.0] * 6)
    graph = enumerate_states(env)
    policy = random_policy(graph, 0)
    objects = graph.states[graph.objects]
    for k in (1, 3):
        found = log_likelihood(env, policy, objects, k)
        torch.testing.assert_close(found.log_prob, graph.terminal_distribution(policy))
        error = torch.full((3,), torch.inf) if k == 1 else torch.zeros(3)
        torch.testing.assert_close(found.standard_error, error, atol=1e-12, rtol=0)


@pytest.mark.parametrize("cell", [(2, 2), (1, 1), (3, 1)])
def test_intervals_cover(cell: tuple[int, int]) -> None:
    """A 90 % interval covers about 90 % of the time, over 400 repetitions (5 sd = 7.5 %)."""
    env = HyperGrid(2, 4)
    graph = enumerate_states(env)
    policy = random_policy(graph, 5)
    cells = torch.tensor([cell]).expand(400, 2)
    exact = graph.terminal_distribution(policy)[graph.rows(cells[:1])][0]
    found = log_likelihood(env, policy, cells, 1000, generator=torch.Generator().manual_seed(0))
    low, high = found.interval(0.9)
    covered = float(((low <= exact) & (exact <= high)).double().mean())
    assert 0.825 < covered < 0.975


def test_distinguished_actions_count_together() -> None:
    class Labelled(TableEnvironment):
        """Two labelled moves to state 1 and one back: corrected by a symmetry, not merged."""

        def forward_classes(self, states: Tensor) -> Tensor | None:
            return None

        def log_symmetry(self, states: Tensor) -> Tensor:
            return torch.where(states == 1, 2.0, 1.0).log()

    env = Labelled([[1, 1, 2], [], []], [0.0, 0.3, 0.1])
    graph = enumerate_states(env)
    policy = random_policy(graph, 0)
    with torch.no_grad():  # equivalent actions are treated alike
        policy.forward_table[0, 1] = policy.forward_table[0, 0]
    exact = graph.terminal_distribution(policy)
    torch.testing.assert_close(exact.exp().sum(), torch.tensor(1.0))
    found = log_likelihood(env, policy, graph.states[graph.objects], 2)
    torch.testing.assert_close(found.log_prob, exact)


def test_chunks_change_nothing_but_memory() -> None:
    env = HyperGrid(2, 3)
    graph = enumerate_states(env)
    policy = random_policy(graph, 0)
    objects = graph.states[graph.objects]
    found = log_likelihood(env, policy, objects, 3, chunk=5)
    assert found.log_ratio.shape == (9, 3)
    assert found.log_prob[0] == found.log_ratio[0, 0]  # the origin: stop at once


def test_nonsense_is_refused() -> None:
    env = HyperGrid(2, 3)
    policy = TabularPolicy(enumerate_states(env))
    with pytest.raises(ConfigError, match="num_trajectories must be at least 1, got 0"):
        log_likelihood(env, policy, env.initial(1), 0)
    with pytest.raises(ConfigError, match=r"interval: level must lie in \(0, 1\), got 1"):
        log_likelihood(env, policy, env.initial(1), 2).interval(1.0)


values = st.lists(st.integers(-5, 5), min_size=2, max_size=20)


@given(data=st.data(), a=values)
def test_correlations_agree_with_scipy(data: st.DataObject, a: list[int]) -> None:
    b = data.draw(st.lists(st.integers(-5, 5), min_size=len(a), max_size=len(a)))
    x, y = torch.tensor(a).double(), torch.tensor(b).double()
    torch.testing.assert_close(average_ranks(x), torch.tensor(scipy.stats.rankdata(a)))
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert float(spearman(x, y)) == pytest.approx(scipy.stats.spearmanr(a, b)[0], abs=1e-12)
        assert float(pearson(x, y)) == pytest.approx(scipy.stats.pearsonr(a, b)[0], abs=1e-12)
    else:
        assert bool(spearman(x, y).isnan())
        assert bool(pearson(x, y).isnan())


def test_perfect_samplers_correlate_perfectly() -> None:
    env = HyperGrid(2, 8)
    graph = enumerate_states(env)
    policy = TabularPolicy.solved(graph, graph.exact_flows())
    objects = graph.states[graph.objects]
    found = log_likelihood(env, policy, objects, 2)
    # Rewards take few values: round, or rounding errors would break their ties.
    scores = log_reward_correlation(found.log_prob.round(decimals=9), env.log_reward(objects))
    assert scores.pearson == pytest.approx(1)
    assert scores.spearman == pytest.approx(1)
    assert len(Sampler(env).backward(policy, objects)) == 64

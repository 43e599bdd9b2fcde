"""Exact expected flows under noise: what they do not depend on, and published figures."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import enumerate_states
from gflow.environment.movers import CHANCE
from gflow.envs.noise import StochasticGrid, TableKernel, TokenNoise, WithNoise
from gflow.envs.noise.tfbind import noisy_tf_binding
from gflow.envs.sequences.env import Autoregressive
from gflow.envs.sequences.motif_scores import motif_scores
from gflow.envs.sequences.rewards import TableReward
from gflow.exact.expected import expected_flows
from gflow.exact.games import minimax
from gflow.exact.graph import StateGraph
from gflow.exact.noisy import realised_flows


def strings(length: int, symbols: int, seed: int, scale: float = 2.0) -> Autoregressive:
    """Random rewards of all strings."""
    generator = torch.Generator().manual_seed(seed)
    value = scale * torch.randn(symbols**length, generator=generator, dtype=torch.float64)
    return Autoregressive("abcd"[:symbols], length, TableReward(value, symbols, length))


def law(graph: StateGraph[Any]) -> Tensor:
    """(X,) probabilities of objects by expected flows."""
    flows = expected_flows(graph)
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()


def executed_law(graph: StateGraph[Any]) -> Tensor:
    """(X,) probabilities of objects where the noise-free policy is carried out with noise."""
    flows = realised_flows(graph)
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()


def realised(graph: StateGraph[Any]) -> Tensor:
    """(N, V) probability of each symbol to be executed next, by expected flows."""
    flows, symbols = expected_flows(graph), graph.env.num_actions
    table = torch.zeros(len(graph), symbols, dtype=torch.float64)
    table[graph.parent, graph.action] = flows.log_pf.exp()
    child = torch.zeros(len(graph), symbols, dtype=torch.int64)
    child[graph.parent, graph.action] = graph.child
    return (table[:, :, None] * table[child]).sum(1)


@settings(max_examples=30)
@given(
    length=st.integers(1, 4),
    symbols=st.integers(2, 4),
    alpha=st.floats(0.01, 1),
    seed=st.integers(0, 1000),
)
def test_flows_do_not_depend_on_token_noise(
    length: int, symbols: int, alpha: float, seed: int
) -> None:
    """T1.5: prefix flows are those without noise, and what is executed is known in closed form."""
    inner = strings(length, symbols, seed)
    plain = enumerate_states(inner)
    graph = enumerate_states(WithNoise(inner, TokenNoise(alpha)))
    without, flows = plain.exact_flows(), expected_flows(graph)
    agent = (graph.movers != CHANCE).nonzero().squeeze(1)
    rows = plain.rows(graph.states.inner[agent])
    torch.testing.assert_close(flows.log_flow[agent], without.log_flow[rows])
    assert flows.log_z == pytest.approx(float(plain.log_reward().logsumexp(0)))
    share = torch.zeros(len(plain), symbols, dtype=torch.float64)
    share[plain.parent, plain.action] = without.log_pf.exp()
    open_ = agent[~graph.env.is_terminal(graph.states)[agent]]
    rho = share[plain.rows(graph.states.inner[open_])]
    chosen = torch.zeros(len(graph), symbols, dtype=torch.float64)
    chosen[graph.parent, graph.action] = flows.log_pf.exp()
    torch.testing.assert_close(chosen[open_], (1 - alpha) * rho + alpha / symbols)
    wanted = (1 - alpha) ** 2 * rho + (1 - (1 - alpha) ** 2) / symbols
    torch.testing.assert_close(realised(graph)[open_], wanted)


@settings(max_examples=20)
@given(alpha=st.floats(0.05, 0.9), seed=st.integers(0, 1000))
def test_it_is_an_ordinary_gflownet_under_more_noise(alpha: float, seed: int) -> None:
    """Expected flows at noise alpha have the law of the noise-free policy at 1 - (1 - alpha)^2."""
    inner = strings(3, 4, seed)
    graph = enumerate_states(WithNoise(inner, TokenNoise(alpha)))
    more = enumerate_states(WithNoise(inner, TokenNoise(1 - (1 - alpha) ** 2)))
    torch.testing.assert_close(law(graph), executed_law(more))
    assert float((law(graph) - executed_law(graph)).abs().sum()) > 1e-4


def test_what_noise_does_to_an_ordinary_gflownet_by_hand() -> None:
    """Two letters with shares 0.9 and 0.1, and every second letter replaced."""
    value = torch.tensor([0.9, 0.1], dtype=torch.float64).log()
    inner = Autoregressive("ab", 1, TableReward(value, 2, 1))
    graph = enumerate_states(WithNoise(inner, TokenNoise(0.5)))
    order = graph.states.inner[graph.objects, 0]
    got = torch.zeros(2, dtype=torch.float64).index_put((order,), executed_law(graph))
    torch.testing.assert_close(got, torch.tensor([0.7, 0.3], dtype=torch.float64))
    got = torch.zeros(2, dtype=torch.float64).index_put((order,), law(graph))
    torch.testing.assert_close(got, torch.tensor([0.6, 0.4], dtype=torch.float64))


def test_stops_are_not_disturbed() -> None:
    """By hand on a 2 x 2 grid: expected flows where cells may stop and one move is forced."""
    env = StochasticGrid(2, 2, stick=0.5)
    graph = enumerate_states(env)
    rewards = graph.log_reward()[graph.objects].exp()
    flows = expected_flows(graph)
    cells = map(tuple, graph.states.inner[graph.objects].tolist())
    place = dict(zip(cells, rewards.tolist(), strict=True))
    edge = [place[cell] + place[1, 1] for cell in ((1, 0), (0, 1))]
    mean = [0.75 * edge[0] + 0.25 * edge[1], 0.25 * edge[0] + 0.75 * edge[1]]
    assert torch.tensor(flows.log_z).exp() == pytest.approx(place[0, 0] + sum(mean))


def best_mean(graph: StateGraph[Any], values: Tensor) -> float:
    """The largest mean of (X,) values of objects that any policy reaches."""
    worth = torch.full((len(graph),), -torch.inf, dtype=torch.float64)
    return float(minimax(graph, worth.index_put((graph.objects,), values.double()))[0])


def test_best_mean_by_hand() -> None:
    """One letter: the better of two means; two letters: what comes after a slip counts too."""
    table = torch.tensor([[0.6, 0.4], [0.1, 0.9]], dtype=torch.float64)
    inner = Autoregressive("ab", 1, TableReward(torch.zeros(2), 2, 1))
    graph = enumerate_states(WithNoise(inner, TableKernel(table)))
    values = torch.tensor([3.0, 1.0])[graph.states.inner[graph.objects, 0]]
    assert best_mean(graph, values) == pytest.approx(0.6 * 3 + 0.4)
    longer = strings(2, 2, 0)
    graph = enumerate_states(WithNoise(longer, TokenNoise(0.2)))
    values = longer.reward(graph.states.inner[graph.objects])
    v = longer.reward(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])).view(2, 2).tolist()
    first = [max(0.9 * a + 0.1 * b, 0.1 * a + 0.9 * b) for a, b in v]
    best = max(0.9 * first[0] + 0.1 * first[1], 0.1 * first[0] + 0.9 * first[1])
    assert best_mean(graph, values) == pytest.approx(best)


GOLDEN = {  # beta: log Z, E[y] by alpha, entropy at alpha 0 and 0.25
    1.0: (10.12006, (0.43326, 0.42290, 0.40943, 0.39247, 0.38234), (11.0202, 11.0675)),
    3.0: (8.56472, (0.54062, 0.50871, 0.46775, 0.41749, 0.38844), (10.5591, 10.9145)),
    10.0: (5.75296, (0.80893, 0.71709, 0.59976, 0.46610, 0.39876), (8.0145, 10.1011)),
    30.0: (3.54223, (0.93335, 0.81120, 0.65214, 0.47914, 0.40040), (5.6337, 9.3910)),
}
BEST = (1.0, 0.92175, 0.81849, 0.65852, 0.50935)


@pytest.mark.slow
def test_golden_table_of_noisy_binding() -> None:
    """log Z, mean scores, entropies and expectimax of the closed-form landscape of 8-mers."""
    values = motif_scores()
    for place, alpha in enumerate((0.0, 0.1, 0.25, 0.5, 0.75)):
        graph = enumerate_states(noisy_tf_binding(values, alpha))
        reward = graph.env.inner.reward  # type: ignore[attr-defined]
        score = values[reward.index(graph.states.inner[graph.objects])]
        assert best_mean(graph, score) == pytest.approx(BEST[place], abs=5.1e-6)
        for beta, (log_z, means, entropies) in GOLDEN.items():
            other = replace(graph, env=noisy_tf_binding(values, alpha, beta))
            flows = expected_flows(other)
            log_prob = other.terminal_log_prob(flows.log_pf, flows.log_stop)
            assert flows.log_z == pytest.approx(log_z, abs=5.1e-6)
            assert float((log_prob.exp() * score).sum()) == pytest.approx(means[place], abs=5.1e-6)
            if alpha in (0.0, 0.25):
                entropy = -float((log_prob.exp() * log_prob).sum())
                assert entropy == pytest.approx(entropies[alpha > 0], abs=5.1e-5)

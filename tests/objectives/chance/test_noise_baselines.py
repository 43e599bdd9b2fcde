"""Stochastic and naive GFlowNets in noise: what each converges to, and where it cannot."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import MLPPolicy, Objective, TabularPolicy, TrainConfig, Trainer, enumerate_states
from gflow.environment.movers import CHANCE
from gflow.errors import IncompatibleError
from gflow.exact import realised_flows, stochastic_flows
from gflow.exact.graph import StateGraph
from gflow.objectives import NaiveIntended, NaiveRealised, StochasticFlow
from gflow.source import Source
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.noisy_tree import noisy_tree
from gflow.testing.slipping import SlippingGrid
from gflow.testing.solve import minimise

C = CHANCE


def values(count: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(count, generator=torch.Generator().manual_seed(seed))


def random_log_pb(graph: StateGraph[Any], seed: int = 0, scale: float = 1.0) -> Tensor:
    edge = values(len(graph.parent), seed, scale)
    total = torch.zeros(len(graph)).index_add(0, graph.child, edge.exp()).log()
    return edge - total[graph.child]


def worst(objective: Objective, env: Any, policy: TabularPolicy) -> float:
    terms = objective.evaluate(env, policy, all_trajectories(env))
    return float(objective.residual(terms).detach().abs().max())


def left(objective: Objective, env: Any, policy: TabularPolicy) -> float:
    every = all_trajectories(env)
    return minimise(
        lambda: objective(objective.evaluate(env, policy, every)), policy.parameters(), 400
    )


def shares(value: Tensor, tokens: int, length: int) -> list[Tensor]:
    """Noise-free shares of the children of the prefixes of each length."""
    sums = [value.view(-1, tokens ** (length - d)).logsumexp(1) for d in range(length + 1)]
    return [(sums[d + 1].view(-1, tokens) - sums[d][:, None]).exp() for d in range(length)]


def built(rows: list[Tensor]) -> Tensor:
    """Distribution of strings from that of the next token after each prefix."""
    law = torch.ones(1)
    for row in rows:
        law = (law[:, None] * row).flatten()
    return law


# ---------------------------------------------------------------------- stochastic GFlowNets


@pytest.mark.parametrize(("tokens", "length"), [(2, 3), (3, 2), (4, 2)])
@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_it_is_solvable_where_every_child_has_its_share(
    tokens: int, length: int, alpha: float, scale: float
) -> None:
    """T1.7: solvable if and only if all rho_b >= alpha / V, and then p is in proportion to R."""
    value = values(tokens**length, tokens + length, scale)
    graph = enumerate_states(noisy_tree(tokens, length, alpha, value))
    rho = shares(value, tokens, length)
    able = all(bool((row >= alpha / tokens).all()) for row in rho)
    if not able:
        with pytest.raises(IncompatibleError, match="no solution here"):
            stochastic_flows(graph)
        return
    flows = stochastic_flows(graph)
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
    torch.testing.assert_close(law, value.log_softmax(0), rtol=0, atol=1e-9)
    at = graph.parent == 0
    wanted = (rho[0][0] - alpha / tokens) / (1 - alpha)
    torch.testing.assert_close(flows.log_pf[at].exp(), wanted)
    policy = TabularPolicy.solved(graph, flows)
    objective = StochasticFlow()
    assert worst(objective, graph.env, policy) < 1e-9
    assert objective.exact_flows(graph).log_z == flows.log_z == pytest.approx(value.logsumexp(0))
    with torch.no_grad():
        policy.flow_table[graph.rows(torch.tensor([0]))] += 0.1
    assert worst(objective, graph.env, policy) > 1e-2


def test_both_kinds_of_cases_are_there() -> None:
    able = set()
    for scale in (0.2, 1.0):
        rho = shares(values(8, 5, scale), 2, 3)
        able |= {all(bool((r >= a / 2).all()) for r in rho) for a in (0.1, 0.3, 0.6)}
    assert able == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "solvable"), [(0.5, True), (3.0, False)])
def test_the_least_loss_is_zero_where_it_is_solvable(spread: float, solvable: bool) -> None:
    """T1.7: the loss of tables goes to zero, or stays above it."""
    alpha = 0.5
    value = torch.tensor([0.0, spread])
    env = noisy_tree(2, 1, alpha, value)
    graph, policy = enumerate_states(env), TabularPolicy(enumerate_states(env))
    assert bool((value.softmax(0) >= alpha / 2).all()) is solvable
    loss = left(StochasticFlow(), env, policy)
    assert (loss < 1e-12) is solvable
    assert solvable or loss > 1e-3
    if solvable:
        law = graph.terminal_distribution(policy)
        torch.testing.assert_close(law.exp(), value.softmax(0), rtol=0, atol=1e-5)


def test_the_example_of_expected_flows_has_none() -> None:
    """1.3: impossible for both states of chance of the micro-example."""
    env = TableEnvironment(
        [[1, 2], [3, 4], [5, 6], [], [], [], []],
        [0.0, 0.0, 0.0, *(math.log(r) for r in (2, 3, 1, 4))],
        movers=[0, C, C, 0, 0, 0, 0],
        chance=[[], [0.5, 0.5], [0.9, 0.1], [], [], [], []],
    )
    with pytest.raises(IncompatibleError, match=r"probabilities of \["):
        stochastic_flows(enumerate_states(env))


def test_a_lopsided_kernel_is_undone() -> None:
    """P_1 0.8 + P_2 0.3 = rho_1 has one solution; with rho_1 of 0.2 it would be negative."""
    for log_odds, solvable in ((0.4, True), (-1.4, False)):
        env = TableEnvironment(
            [[1, 2], [3, 4], [3, 4], [], []], [0.0, 0.0, 0.0, log_odds, 0.0],
            movers=[0, C, C, 0, 0], chance=[[], [0.8, 0.2], [0.3, 0.7], [], []],
        )  # fmt: skip
        graph = enumerate_states(env)
        rho = 1 / (1 + math.exp(-log_odds))
        if not solvable:
            assert rho < 0.3
            with pytest.raises(IncompatibleError, match="no solution here"):
                stochastic_flows(graph)
            continue
        flows = stochastic_flows(graph)
        assert float(flows.log_pf[0].exp()) == pytest.approx((rho - 0.3) / 0.5)
        law = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
        torch.testing.assert_close(law, torch.tensor([rho, 1 - rho]))


@given(seed=st.integers(0, 30), rise=st.floats(0.05, 0.3))
def test_on_ice_too(seed: int, rise: float) -> None:
    """On a graph, for a backward policy over cells: objects in proportion to R."""
    graph = enumerate_states(SlippingGrid(2, 3, rise))
    flows = stochastic_flows(graph, random_log_pb(graph, seed, 0.2))
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
    torch.testing.assert_close(law, graph.log_target(), rtol=0, atol=1e-8)
    assert worst(StochasticFlow(), graph.env, TabularPolicy.solved(graph, flows)) < 1e-8


# ---------------------------------------------------------------------- naive ones


@pytest.mark.parametrize(("tokens", "length"), [(2, 4), (3, 2), (4, 2)])
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_realised_is_the_noise_free_one_carried_out_with_noise(
    tokens: int, length: int, alpha: float
) -> None:
    """1.3: P(a|s) = rho_a, and the next token is b with (1 - alpha) rho_b + alpha / V."""
    value = values(tokens**length, tokens)
    graph = enumerate_states(noisy_tree(tokens, length, alpha, value))
    flows = realised_flows(graph)
    assert flows.log_z == pytest.approx(float(value.logsumexp(0)))
    rho = shares(value, tokens, length)
    torch.testing.assert_close(flows.log_pf[graph.parent == 0].exp(), rho[0][0])
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    torch.testing.assert_close(law, built([(1 - alpha) * r + alpha / tokens for r in rho]))
    policy = TabularPolicy.solved(graph, flows)
    assert worst(NaiveRealised(), graph.env, policy) < 1e-9
    # 1.3: an expected flow at alpha builds what this one does at 1 - (1 - alpha)^2
    twice = enumerate_states(noisy_tree(tokens, length, 1 - (1 - alpha) ** 2, value))
    other = realised_flows(twice)
    expected = graph.expected_flows()
    torch.testing.assert_close(
        graph.terminal_log_prob(expected.log_pf, expected.log_stop),
        twice.terminal_log_prob(other.log_pf, other.log_stop),
    )


@pytest.mark.parametrize("env", [SlippingGrid(2, 3), SlippingGrid(3, 2, 0.4)], ids=["2", "3"])
def test_realised_on_ice_is_the_ordinary_grid(env: SlippingGrid) -> None:
    """Residuals vanish at the flows of the grid without ice, under a P_B summed over choices."""
    graph = enumerate_states(env)
    log_pb = random_log_pb(graph)
    flows = NaiveRealised().exact_flows(graph, log_pb)
    policy = TabularPolicy.solved(graph, flows)
    assert worst(NaiveRealised(), env, policy) < 1e-9
    firm = enumerate_states(SlippingGrid(env.dim, env.side, 1e-13))
    law = firm.terminal_log_prob(flows.log_pf, flows.log_stop)
    assert flows.log_z == pytest.approx(float(graph.log_reward().logsumexp(0)))
    with torch.no_grad():
        policy.forward_table[0, 0] += 0.5
    assert worst(NaiveRealised(), env, policy) > 1e-2
    assert law.exp().sum() == pytest.approx(1.0)


def test_realised_is_found_by_descent() -> None:
    value = values(9, 2)
    env = noisy_tree(3, 2, 0.4, value)
    graph, policy = enumerate_states(env), TabularPolicy(enumerate_states(env))
    assert left(NaiveRealised(), env, policy) < 1e-12
    flows = realised_flows(graph)
    log_pf, _ = graph.log_pf(policy)
    torch.testing.assert_close(log_pf.exp(), flows.log_pf.exp(), rtol=0, atol=1e-5)


def test_intended_finds_a_geometric_mean() -> None:
    """1.3, T1.6: a compromise between logarithms, which is no solution."""
    env = TableEnvironment(
        [[1, 2], [3, 4], [5, 6], [], [], [], []],
        [0.0, 0.0, 0.0, *(math.log(r) for r in (2, 3, 1, 4))],
        movers=[0, C, C, 0, 0, 0, 0],
        chance=[[], [0.5, 0.5], [0.9, 0.1], [], [], [], []],
    )
    graph, policy = enumerate_states(env), TabularPolicy(enumerate_states(env))
    every = all_trajectories(env)
    often = every.select(torch.repeat_interleave(torch.arange(4), torch.tensor([5, 5, 9, 1])))
    objective = NaiveIntended()
    loss = minimise(
        lambda: objective(objective.evaluate(env, policy, often)), policy.parameters(), 400
    )
    assert loss > 0.05
    worth = torch.tensor([math.sqrt(6), 4**0.1])
    log_pf, _ = graph.log_pf(policy)
    found = log_pf[:2].exp() * policy.flow_table.detach()[0].exp()
    torch.testing.assert_close(found, worth, rtol=0, atol=1e-5)
    with pytest.raises(IncompatibleError):
        objective.exact_flows(graph)


# ---------------------------------------------------------------------- parts, models, refusals


def test_moves_whose_outcome_is_not_there_teach_nothing() -> None:
    env = noisy_tree(2, 2, 0.5, values(4, 1))
    policy = TabularPolicy(enumerate_states(env))
    with torch.no_grad():
        for seed, table in enumerate(policy.parameters()):
            table.copy_(values(table.numel(), seed).view_as(table))
    every = all_trajectories(env)
    one = torch.ones_like(every.length)
    for objective in (StochasticFlow(), NaiveIntended(), NaiveRealised()):
        for begin, end, count in ((0, 1, 0), (1, 2, 0), (0, 2, 1), (1, 4, 1), (0, 4, 2), (2, 4, 1)):
            part = every.part(begin * one, end * one)
            terms = objective.evaluate(env, policy, part)
            weight = objective.weight(terms)
            assert int((weight > 0).sum()) == count * len(every), (objective.name, begin, end)
            residual = objective.residual(terms).detach()
            assert bool(((residual != 0) == (weight > 0)).all())
    whole = StochasticFlow().evaluate(env, policy, every)
    late = StochasticFlow().evaluate(env, policy, every.part(2 * one, 4 * one))
    torch.testing.assert_close(
        StochasticFlow().residual(whole)[:, 2:], StochasticFlow().residual(late)
    )


@pytest.mark.slow
def test_a_stochastic_flow_learns_chance_unless_told() -> None:
    env = SlippingGrid(2, 3)
    learned, known = StochasticFlow.build(env), StochasticFlow.build(env, kernel="known")
    assert isinstance(learned, StochasticFlow)
    assert learned.model is not None
    assert known.learners(env) == []
    assert learned.learns_from == Source.OWN | Source.EXPLORED | Source.REPLAYED
    policy = MLPPolicy(env, 16, 1, log_flow=True)
    trainer = Trainer(env, policy, learned, TrainConfig(steps=60, batch_size=16, lr=1e-2))
    first, last = trainer.train(1), trainer.train(59)
    assert last["model_loss"] < first["model_loss"] - 0.05


def test_the_model_stands_for_chance_in_the_residual() -> None:
    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = torch.nn.Parameter(torch.tensor([0.3, -0.4]))

        def forward(self, env: Any, states: Tensor, condition: Any = None) -> Tensor:
            return self.bias.expand(len(states), 2)

    env = noisy_tree(2, 1, 0.5, values(2, 3))
    policy, every = TabularPolicy(enumerate_states(env)), all_trajectories(env)
    model = Flat()
    known, learned = StochasticFlow(), StochasticFlow(model=model)
    a = known.residual(known.evaluate(env, policy, every))
    b = learned.residual(learned.evaluate(env, policy, every))
    shift = (
        model.bias.log_softmax(0)[every.actions[:, 1]]
        - known.evaluate(env, policy, every).log_pf[:, 1]
    )
    torch.testing.assert_close((b - a)[:, 0].detach(), shift.detach())
    learned(learned.evaluate(env, policy, every)).backward()
    assert model.bias.grad is None


def test_refusals() -> None:
    twice = TableEnvironment(
        [[1], [2, 3], [4, 5], [], [], []], [0.0] * 6, movers=[0, C, C, 0, 0, 0]
    )
    graph = enumerate_states(twice)
    policy, every = TabularPolicy(graph), all_trajectories(twice)
    with pytest.raises(IncompatibleError, match="chance moves twice in a row"):
        NaiveRealised().evaluate(twice, policy, every)
    for solve in (realised_flows, stochastic_flows):
        with pytest.raises(IncompatibleError, match="not after a move of the agent's"):
            solve(graph)
    terms = StochasticFlow().evaluate(twice, policy, every)  # both moves enter
    residual = StochasticFlow().residual(terms).detach()
    assert bool(((residual != 0).sum(1) == 1).all())
    odd = TableEnvironment(
        [[1, 2], [3, 4], [3, 4], [], []], [0.0] * 5, movers=[0, C, C, 0, 0],
        chance=[[], [0.5, 0.5], [0.5, 0.5], [], []],
    )  # fmt: skip
    assert realised_flows(enumerate_states(odd)).log_z == pytest.approx(math.log(2))
    short = TableEnvironment([[1, 2], [3], [3], []], [0.0] * 4, movers=[0, C, C, 0])
    with pytest.raises(IncompatibleError, match="no move of the number 1"):
        realised_flows(enumerate_states(short))
    game = TableEnvironment([[1, 2], [], []], [0.0, 1.0, -1.0], movers=[1, 0, 0])
    for cls in (StochasticFlow, NaiveRealised, NaiveIntended):
        assert cls.refusal(game) is not None

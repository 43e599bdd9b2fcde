import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from gflow.envs.dags.env import Dags, all_dags
from gflow.envs.dags.local_scores import DeterminantScore, subset_log_det
from gflow.envs.dags.scores import BIC, BGe, LinearGaussian, erdos_renyi_prior, fair_prior
from gflow.errors import ConfigError

SCORES: list[Any] = [BGe, BIC, LinearGaussian]


def observations(d: int, rows: int = 12, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator)
    return torch.randn(rows, d, generator=generator) @ mixing + 0.3


def local(score: DeterminantScore, node: int, parents: tuple[int, ...]) -> float:
    chosen = torch.zeros(1, score.variables, dtype=torch.bool)
    chosen[0, list(parents)] = True
    return float(score.local(torch.tensor([node]), chosen))


def families(d: int) -> list[tuple[int, tuple[int, ...]]]:
    return [
        (node, parents)
        for node in range(d)
        for size in range(d)
        for parents in itertools.combinations([i for i in range(d) if i != node], size)
    ]


# ---------------------------------------------------------------------- against other computations


def log_predictive(
    x: np.ndarray, members: list[int], d: int, alpha: float, degrees: float
) -> float:
    """Normal-Wishart marginal likelihood of some columns as a product of Student-t predictions."""
    size = len(members)
    if not size:
        return 0.0
    own = degrees - d + size  # degrees of freedom of the margin
    scale = np.eye(size) * alpha * (degrees - d - 1) / (alpha + 1)
    mean, weight, total = np.zeros(size), alpha, 0.0
    for row in x[:, members]:
        free = own - size + 1
        shape = scale * (weight + 1) / (weight * free)
        total += float(stats.multivariate_t(mean, shape, free).logpdf(row))
        off = row - mean
        scale = scale + np.outer(off, off) * weight / (weight + 1)
        mean, weight, own = mean + off / (weight + 1), weight + 1, own + 1
    return total


@pytest.mark.parametrize(("alpha", "degrees"), [(1.0, None), (0.7, 7.5)])
def test_bge_is_a_product_of_predictions(alpha: float, degrees: float | None) -> None:
    d, data = 3, observations(3)
    score = BGe(data, alpha_mean=alpha, alpha_scatter=degrees)
    for node, parents in families(d):
        with_it, without = (
            log_predictive(data.numpy(), list(group), d, alpha, degrees or d + 2)
            for group in ((*parents, node), parents)
        )
        assert local(score, node, parents) == pytest.approx(with_it - without, abs=1e-9)


def test_bge_of_one_variable_is_a_sequence_of_student_t() -> None:
    data = observations(1, rows=6)
    total, mean, kappa, free, spread = 0.0, 0.0, 1.0, 3.0, 1 * (3 - 1 - 1) / 2
    for value in data[:, 0].tolist():
        width = math.sqrt(spread * (kappa + 1) / (kappa * free))
        total += float(stats.t(free, mean, width).logpdf(value))
        spread += kappa / (kappa + 1) * (value - mean) ** 2
        mean, kappa, free = mean + (value - mean) / (kappa + 1), kappa + 1, free + 1
    assert BGe(data).empty == pytest.approx(total, abs=1e-12)


def test_linear_gaussian_is_a_dense_normal() -> None:
    data = observations(4, rows=7)
    score = LinearGaussian(data, noise_variance=0.3, weight_variance=1.7)
    for node, parents in families(4):
        x = data[:, list(parents)].numpy()
        covariance = 0.3 * np.eye(7) + 1.7 * x @ x.T
        wanted = float(stats.multivariate_normal(np.zeros(7), covariance).logpdf(data[:, node]))
        assert local(score, node, parents) == pytest.approx(wanted, abs=1e-9)


def test_bic_is_a_penalised_regression() -> None:
    rows = 12
    data = observations(4, rows)
    score = BIC(data)
    for node, parents in families(4):
        design = np.column_stack([np.ones(rows), data[:, list(parents)].numpy()])
        weights = np.linalg.lstsq(design, data[:, node].numpy(), rcond=None)[0]
        residual = data[:, node].numpy() - design @ weights
        fit = stats.norm(0, residual.std()).logpdf(residual).sum()
        wanted = float(fit) - (len(parents) + 2) / 2 * math.log(rows)
        assert local(score, node, parents) == pytest.approx(wanted, abs=1e-9)


@given(d=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_subset_log_det_is_that_of_submatrices(d: int, seed: int) -> None:
    x = observations(d, d + 3, seed)
    matrix = x.T @ x
    got = subset_log_det(matrix)
    assert len(got) == 2**d
    for mask in range(2**d):
        members = [i for i in range(d) if mask >> i & 1]
        wanted = torch.linalg.slogdet(matrix[members][:, members])[1] if members else 0.0
        assert float(got[mask]) == pytest.approx(float(wanted), abs=1e-8)


# ---------------------------------------------------------------------- whole graphs


@pytest.mark.parametrize("cls", SCORES)
@pytest.mark.parametrize("seed", range(3))
def test_table_memory_and_sum_of_local_scores_agree(cls: Any, seed: int) -> None:
    data, prior = observations(4, seed=seed), erdos_renyi_prior(4, 2.5)
    with_table, without = cls(data, prior), cls(data, prior, table=False)
    states = Dags(4).states(all_dags(4)[torch.randperm(543)[:40]])
    by_hand = []
    for graph in states.adjacency:
        parts = [
            local(with_table, j, tuple(graph[:, j].nonzero().flatten().tolist())) for j in range(4)
        ]
        by_hand.append(sum(parts) - with_table.empty)
    wanted = torch.tensor(by_hand)
    for score in (with_table, without, without):  # the second time from memory
        torch.testing.assert_close(score(states), wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(with_table.delta(states), without.delta(states), rtol=0, atol=1e-9)
    torch.testing.assert_close(without.table(), with_table.table())


def test_memory_may_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gflow.envs.dags.families.LOOK_UP", 8 * 20)
    score, table = BGe(observations(4), table=False), BGe(observations(4))
    for part in all_dags(4).split(60):
        states = Dags(4).states(part)
        torch.testing.assert_close(score(states), table(states))


@pytest.mark.parametrize("cls", SCORES)
def test_gains_add_up_along_any_order(cls: Any) -> None:
    env, score = Dags(5), cls(observations(5))
    edges = [(0, 1), (0, 2), (1, 2), (3, 2), (4, 3), (0, 4)]
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        states, total = env.initial(1), 0.0
        for place in torch.randperm(len(edges), generator=generator).tolist():
            i, j = edges[place]
            gain = float(score.delta(states)[0, i, j])
            before = float(score(states))
            states = env.step(states, torch.tensor([5 * i + j]))
            assert float(score(states)) - before == pytest.approx(gain, abs=1e-9)
            assert float(score.delta(states)[0, i, j]) == 0  # the edge is there
            total += gain
        assert float(score(states)) == pytest.approx(total, abs=1e-9)
    assert float(score(env.initial(1))) == 0


def equivalence_classes(graphs: Tensor) -> dict[tuple[Any, ...], list[int]]:
    """Graphs by skeleton and by parents of unjoined pairs (v-structures): Verma and Pearl, 1990."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for row, graph in enumerate(graphs):
        skeleton = graph | graph.T
        immoral = graph[:, None, :] & graph[None] & ~skeleton[:, :, None]
        immoral &= ~torch.eye(len(graph), dtype=torch.bool)[:, :, None]
        sign = (*skeleton.flatten().tolist(), *immoral.flatten().tolist())
        found.setdefault(sign, []).append(row)
    return found


@pytest.mark.parametrize(("d", "classes"), [(3, 11), (4, 185)])
@pytest.mark.parametrize("cls", [BGe, BIC])
def test_equivalent_graphs_have_equal_scores(cls: Any, d: int, classes: int) -> None:
    graphs = all_dags(d)
    groups = equivalence_classes(graphs)
    assert len(groups) == classes
    value = cls(observations(d, 30))(Dags(d).states(graphs))
    for rows in groups.values():
        assert float(value[rows].max() - value[rows].min()) < 1e-9
    tops = torch.tensor([float(value[rows[0]]) for rows in groups.values()])
    assert len(tops.round(decimals=6).unique()) == classes  # and others have others


def test_known_noise_tells_equivalent_graphs_apart() -> None:
    score, env = LinearGaussian(observations(2)), Dags(2)
    both = env.states(torch.tensor([[[0, 1], [0, 0]], [[0, 0], [1, 0]]]))
    assert abs(float(score(both).diff())) > 1e-3


@pytest.mark.parametrize("cls", SCORES)
def test_many_variables_and_single_precision(cls: Any) -> None:
    torch.set_default_dtype(torch.float32)
    score, env = cls(observations(20, 60)), Dags(20)
    states = env.states(torch.ones(3, 20, 20).triu(12))
    value = score(states)
    assert value.dtype == torch.float32
    wanted = float(score.local(torch.arange(20), states.adjacency[0].T).sum()) - score.empty
    assert float(value[0]) == pytest.approx(wanted, rel=1e-5)


# ---------------------------------------------------------------------- priors


def test_priors() -> None:
    p = 2.5 / 6
    wanted = [count * math.log(p) + (3 - count) * math.log(1 - p) for count in range(4)]
    torch.testing.assert_close(erdos_renyi_prior(4, 2.5), torch.tensor(wanted))
    torch.testing.assert_close(fair_prior(4).exp(), torch.tensor([1, 1 / 3, 1 / 3, 1]))
    data, env = observations(4), Dags(4)
    states = env.states(all_dags(4))
    difference = BGe(data, fair_prior(4))(states) - BGe(data)(states)
    count = states.adjacency.sum(1)
    torch.testing.assert_close(difference, fair_prior(4)[count].sum(-1))


# ---------------------------------------------------------------------- complaints


def test_complaints() -> None:
    data = observations(3)
    with pytest.raises(ConfigError, match=r"BGe: data must be \(rows, variables\).*got \(3,\)"):
        BGe(data[0])
    with pytest.raises(ConfigError, match=r"BIC: data\[2, 1\] is nan \(1 entries"):
        BIC(data.index_put((torch.tensor(2), torch.tensor(1)), torch.tensor(torch.nan)))
    with pytest.raises(ConfigError, match="alpha_scatter > d \\+ 1 = 4, got 1.0 and 4"):
        BGe(data, alpha_scatter=4)
    with pytest.raises(ConfigError, match="3 rows fit 3 variables without residual"):
        BIC(data[:3])
    with pytest.raises(ConfigError, match="constant or linear functions of others"):
        BIC(torch.cat([data, data[:, :1]], 1))
    with pytest.raises(ConfigError, match="constant or linear functions of others"):
        BIC(data.index_fill(1, torch.tensor([1]), 7.0))
    with pytest.raises(ConfigError, match="variances must be positive, got noise_variance=0"):
        LinearGaussian(data, noise_variance=0)
    with pytest.raises(ConfigError, match=r"log_prior must be \(3,\) finite numbers"):
        BGe(data, torch.zeros(4))
    with pytest.raises(ConfigError, match="between 0 and the number of pairs 3, got 3"):
        erdos_renyi_prior(3, 3)


def test_bit_masks_of_many_parents_are_exact() -> None:
    score, env = BGe(observations(16, 60)), Dags(16)
    states = env.states(torch.ones(1, 16, 16).triu(1))
    assert score._parents(states)[0].tolist() == [2**node - 1 for node in range(16)]

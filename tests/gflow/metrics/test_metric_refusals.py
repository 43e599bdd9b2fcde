"""No metric makes a number of what is none: NaN, infinities, empty sets, absurd arguments."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gflow.metrics as room
from gflow import FlowTerms, TabularPolicy, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, ShapeError
from gflow.memory.pareto import non_dominated

NAN, INF = math.nan, math.inf
GRID = HyperGrid(2, 3)
GRAPH = enumerate_states(GRID)
POINTS = torch.tensor([[0.1, 0.2], [0.7, 0.4], [0.3, 0.9]])
FRONT = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
AXES = [torch.linspace(0, 1, 5)] * 2
LAW = torch.tensor([0.5, 0.25, 0.25]).log()
KEYS = torch.tensor([4, 5, 4])
CELLS = torch.full((2, 2), 0.25)
ROWS = torch.tensor([3.0, 1.0, 2.0])


def terms(log_reward: Tensor) -> FlowTerms:
    """Trajectories of one transition with these log-weights."""
    zero = torch.zeros(len(log_reward), 1)
    one = torch.ones(len(log_reward), dtype=torch.int64)
    return FlowTerms(zero, zero, log_reward, one, one == 1)


TENSORS: dict[str, list[tuple[Callable[[Tensor], Any], Tensor]]] = {
    "average_ranks": [(room.average_ranks, ROWS)],
    "averaged_hausdorff": [
        (lambda x: room.averaged_hausdorff(x, FRONT), POINTS),
        (lambda x: room.averaged_hausdorff(POINTS, x), FRONT),
    ],
    "diversity": [(room.diversity, torch.full((3, 3), 0.5))],
    "effective_sample_size": [(lambda x: room.effective_sample_size(terms(x)), ROWS)],
    "elbo": [(lambda x: room.elbo(terms(x)), ROWS)],
    "entropy": [(room.entropy, LAW)],
    "eubo": [(lambda x: room.eubo(terms(x)), ROWS)],
    "expected_reward": [
        (lambda x: room.expected_reward(x, ROWS), LAW),
        (lambda x: room.expected_reward(LAW, x), ROWS),
    ],
    "focus_accuracy": [
        (lambda x: room.focus_accuracy(x, POINTS), POINTS),
        (lambda x: room.focus_accuracy(POINTS, x), POINTS),
        (lambda x: room.focus_accuracy(POINTS, x), FRONT[0]),
    ],
    "forward_ess": [(lambda x: room.forward_ess(terms(x)), ROWS)],
    "gd_plus": [
        (lambda x: room.gd_plus(x, FRONT), POINTS),
        (lambda x: room.gd_plus(POINTS, x), FRONT),
    ],
    "greedy_modes": [
        (lambda x: room.greedy_modes(x, 0.5, torch.eye(3)), ROWS),
        (lambda x: room.greedy_modes(ROWS, 0.5, x), torch.eye(3)),
        (lambda x: room.greedy_modes(ROWS, 0.5, lambda row, others: x[: len(others)]), 0 * ROWS),
    ],
    "grid_density": [
        (lambda x: room.grid_density(x, AXES), POINTS),
        (lambda x: room.grid_density(POINTS, [x, AXES[1]]), AXES[0]),
    ],
    "hamming_distances": [(room.hamming_distances, POINTS)],
    "hausdorff": [
        (lambda x: room.hausdorff(x, FRONT), POINTS),
        (lambda x: room.hausdorff(POINTS, x), FRONT),
    ],
    "histogram_jsd": [
        (lambda x: room.histogram_jsd(x, CELLS, 0, 1), POINTS),
        (lambda x: room.histogram_jsd(POINTS, x, 0, 1), CELLS),
        (lambda x: room.histogram_jsd(POINTS, CELLS, x.tolist(), 9), FRONT[0]),
        (lambda x: room.histogram_jsd(POINTS, CELLS, -9, x.tolist()), FRONT[0]),
    ],
    "hypervolume": [
        (room.hypervolume, POINTS),
        (lambda x: room.hypervolume(POINTS, x), POINTS[0]),
    ],
    "igd_plus": [
        (lambda x: room.igd_plus(x, FRONT), POINTS),
        (lambda x: room.igd_plus(POINTS, x), FRONT),
    ],
    "importance_log_z": [(lambda x: room.importance_log_z(terms(x)), ROWS)],
    "jsd": [(lambda x: room.jsd(x, LAW), LAW), (lambda x: room.jsd(LAW, x), LAW)],
    "kde_jsd": [
        (lambda x: room.kde_jsd(x, POINTS, AXES), POINTS),
        (lambda x: room.kde_jsd(POINTS, x, AXES), POINTS),
    ],
    "kl": [(lambda x: room.kl(x, LAW), LAW), (lambda x: room.kl(LAW, x), LAW)],
    "l1": [(lambda x: room.l1(x, LAW), LAW), (lambda x: room.l1(LAW, x), LAW)],
    "log_reward_correlation": [
        (lambda x: room.log_reward_correlation(x, ROWS), ROWS),
        (lambda x: room.log_reward_correlation(ROWS, x), ROWS),
    ],
    "log_z_error": [
        (lambda x: room.log_z_error(x, 1.0), ROWS),
        (lambda x: room.log_z_error(1.0, x[0]), ROWS[:1]),
    ],
    "many_well_coverage": [(room.many_well_coverage, POINTS)],
    "mean_l1": [(lambda x: room.mean_l1(x, LAW), LAW)],
    "mean_pairwise_distance": [(room.mean_pairwise_distance, torch.ones(3, 3))],
    "mean_reward_accuracy": [
        (lambda x: room.mean_reward_accuracy(x[0], 1.0), ROWS[:1]),
        (lambda x: room.mean_reward_accuracy(1.0, x[0]), ROWS[:1]),
    ],
    "mmd": [(lambda x: room.mmd(x, FRONT), POINTS), (lambda x: room.mmd(POINTS, x), FRONT)],
    "mode_coverage": [
        (lambda x: room.mode_coverage(x, FRONT, 1.0), POINTS),
        (lambda x: room.mode_coverage(POINTS, x, 1.0), FRONT),
        (lambda x: room.mode_coverage(POINTS, FRONT, 1.0, x), FRONT[0]),
    ],
    "non_dominated": [(non_dominated, POINTS)],
    "pc_entropy": [
        (lambda x: room.pc_entropy(x, FRONT), POINTS),
        (lambda x: room.pc_entropy(POINTS, x), FRONT),
    ],
    "pearson": [(lambda x: room.pearson(x, ROWS), ROWS), (lambda x: room.pearson(ROWS, x), ROWS)],
    "r2_indicator": [
        (room.r2_indicator, POINTS),
        (lambda x: room.r2_indicator(POINTS, x), FRONT[0]),
        (lambda x: room.r2_indicator(POINTS, weights=x), FRONT),
    ],
    "relative_mean_error": [
        (lambda x: room.relative_mean_error(x[0], 1.0), ROWS[:1]),
        (lambda x: room.relative_mean_error(1.0, x[0]), ROWS[:1]),
    ],
    "sinkhorn": [
        (lambda x: room.sinkhorn(x, FRONT), POINTS),
        (lambda x: room.sinkhorn(POINTS, x), FRONT),
    ],
    "spearman": [
        (lambda x: room.spearman(x, ROWS), ROWS),
        (lambda x: room.spearman(ROWS, x), ROWS),
    ],
    "top_k": [(lambda x: room.top_k(x, 2), ROWS)],
    "top_k_mean": [
        (lambda x: room.top_k_mean(x, KEYS), ROWS),
        (lambda x: room.top_k_mean(ROWS, x), KEYS.double()),
    ],
    "total_variation": [(lambda x: room.total_variation(x, LAW), LAW)],
    "unique_fraction": [(room.unique_fraction, KEYS.double())],
    "w1_sorted": [
        (lambda x: room.w1_sorted(x, POINTS), POINTS),
        (lambda x: room.w1_sorted(POINTS, x), POINTS),
    ],
    "w2": [(lambda x: room.w2(x, POINTS), POINTS), (lambda x: room.w2(POINTS, x), POINTS)],
}
"""Every metric with every tensor that it reads, and a good one."""

ORDERED = {"average_ranks", "spearman", "non_dominated"}
"""An infinity has a place in an order."""
ZEROES = {  # log 0 and the least of all scores mean something
    *ORDERED, "greedy_modes", "top_k", "top_k_mean", "effective_sample_size", "elbo", "entropy",
    "eubo", "expected_reward", "importance_log_z", "jsd", "kl", "l1", "log_reward_correlation",
    "mean_l1", "total_variation", "forward_ess",
}  # fmt: skip
NO_TENSOR = {  # of floating point: states, records, words, or objects of a graph
    "bleu", "gleu",
    "Correlation", "Likelihood", "ManyWellCoverage", "ModeCounter", "ModeCoverage", "NoiseFloor",
    "corner_regions", "draw_objects", "empirical_distribution", "log_likelihood", "unit_faces",
    "w2_floor",
}  # fmt: skip
CASES = [
    pytest.param(name, place, id=f"{name}-{place}")
    for name, calls in TENSORS.items()
    for place in range(len(calls))
]


def spoiled(name: str, place: int, value: float) -> tuple[Callable[[Tensor], Any], Tensor]:
    """The call, and its argument with one bad number, off the diagonal of a table."""
    call, good = TENSORS[name][place]
    bad = good.clone()
    bad.view(-1)[1 if bad.numel() > 1 else 0] = value
    return call, bad


def test_every_metric_is_here() -> None:
    assert set(TENSORS) - {"non_dominated"} | NO_TENSOR == set(room.__all__)


@pytest.mark.parametrize(("name", "place"), CASES)
def test_nan_is_refused_by_name_and_with_a_remedy(name: str, place: int) -> None:
    call, good = TENSORS[name][place]
    call(good)
    call, bad = spoiled(name, place, NAN)
    with pytest.raises(ConfigError) as refused:
        call(bad)
    message = str(refused.value)
    assert message.split(":")[0] in {*room.__all__, "non_dominated"}
    assert "nan" in message
    assert "must " in message


@pytest.mark.parametrize(("name", "place"), CASES)
def test_infinity_is_refused_where_it_has_no_place(name: str, place: int) -> None:
    call, bad = spoiled(name, place, INF)
    if name in ORDERED:
        torch.testing.assert_close(call(bad), call(bad.where(bad < INF, 1e6)))
        return
    with pytest.raises(ConfigError, match="inf"):
        call(bad)


@pytest.mark.parametrize(("name", "place"), [c for c in CASES if c.values[0] not in ZEROES])
def test_minus_infinity_is_refused_where_it_has_no_place(name: str, place: int) -> None:
    call, bad = spoiled(name, place, -INF)
    with pytest.raises(ConfigError, match="inf"):
        call(bad)


NUMBERS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "chunk": (lambda v: likelihood(chunk=v), [0, -1, 1.5]),
    "corner_regions": (lambda v: room.corner_regions(KEYS[:, None], v), [0, -1, 2.5]),
    "cosine": (lambda v: room.focus_accuracy(POINTS, POINTS, v), [1.1, -1.1]),
    "count of draw_objects": (lambda v: room.draw_objects(GRAPH, v), [0, -1, 2.5]),
    "count of w2_floor": (lambda v: room.w2_floor(Exact(), v), [0, -1, 2.5]),
    "cutoff": (lambda v: room.greedy_modes(ROWS, 0.5, torch.eye(3), v), []),
    "due": (lambda v: room.mode_coverage(POINTS, FRONT, 1.0, due=v), [-0.1, 1.1]),
    "bandwidth of a grid": (lambda v: room.grid_density(POINTS, AXES, v), [0, -1]),
    "bandwidth of two": (lambda v: room.kde_jsd(POINTS, POINTS, AXES, v), [0, -1]),
    "bandwidth of mmd": (lambda v: room.mmd(POINTS, FRONT, v), [0, -1]),
    "blur": (lambda v: room.sinkhorn(POINTS, FRONT, v), [0, -1]),
    "k of top_k": (lambda v: room.top_k(ROWS, v), [0, -1, 1.5, 4]),
    "k of top_k_mean": (lambda v: room.top_k_mean(ROWS, KEYS, v), [0, -1, 1.5]),
    "kernel": (lambda v: room.grid_density(POINTS, AXES, kernel=v), ["box", 3]),
    "level": (lambda v: likelihood().interval(v), [0, 1, -1]),
    "max_iterations": (lambda v: room.sinkhorn(POINTS, FRONT, max_iterations=v), [0, -1, 1.5]),
    "minor_probability": (lambda v: room.many_well_coverage(POINTS, 1, v), [-0.1, 1.1]),
    "num_scores": (lambda v: room.unit_faces(v), [0, -1, 1.5, 8, 10**6]),
    "num_trajectories": (lambda v: likelihood(v), [0, -1, 1.5]),
    "per_dim": (lambda v: room.unit_faces(2, v), [1, 0, -1, 2.5, 10**6]),
    "radius": (lambda v: room.mode_coverage(POINTS, FRONT, v), [0, -1]),
    "repeats": (lambda v: room.w2_floor(Exact(), 3, v), [1, 0, 2.5]),
    "threshold": (lambda v: room.greedy_modes(ROWS, v, torch.eye(3)), []),
    "tolerance": (lambda v: room.sinkhorn(POINTS, FRONT, tolerance=v), [0, -1]),
    "wells": (lambda v: room.many_well_coverage(POINTS, v), [0, -1, 63, 1.5]),
}
"""Every number that a metric takes, and values out of its range."""


class Exact:
    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, 2, generator=generator)


def likelihood(count: Any = 2, **settings: Any) -> room.Likelihood:
    policy, objects = TabularPolicy(GRAPH), GRID.initial(2)
    return room.log_likelihood(GRID, policy, objects, count, **settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}={value}")
        for name, (_, values) in NUMBERS.items()
        for value in [NAN, INF, *values]
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match="must|more than"):
        NUMBERS[name][0](value)


def test_no_threshold_is_a_threshold() -> None:
    scores = torch.tensor([-INF, 1.0, 2.0])
    assert room.greedy_modes(scores, -INF, torch.eye(3)) == [2, 1, 0]
    assert room.greedy_modes(scores, 0.5, torch.eye(3)) == [2, 1]


NOTHING: dict[str, Callable[[], Any]] = {
    "average_ranks": lambda: room.average_ranks(ROWS[:0]),
    "elbo": lambda: room.elbo(terms(ROWS[:0])),
    "empirical_distribution": lambda: room.empirical_distribution(GRAPH, GRID.initial(0)),
    "focus_accuracy": lambda: room.focus_accuracy(POINTS[:0], FRONT[0]),
    "grid_density": lambda: room.grid_density(POINTS[:0], AXES),
    "axes": lambda: room.grid_density(POINTS, [AXES[0], AXES[0][:0]]),
    "histogram_jsd": lambda: room.histogram_jsd(POINTS[:0], CELLS, 0, 1),
    "igd_plus": lambda: room.igd_plus(POINTS[:0], FRONT),
    "front": lambda: room.igd_plus(POINTS, FRONT[:0]),
    "kl": lambda: room.kl(LAW[:0], LAW[:0]),
    "log_likelihood": lambda: room.log_likelihood(GRID, TabularPolicy(GRAPH), GRID.initial(0)),
    "log_z_error": lambda: room.log_z_error(ROWS[:0], 1.0),
    "many_well_coverage": lambda: room.many_well_coverage(POINTS[:0]),
    "mean_pairwise_distance": lambda: room.mean_pairwise_distance(torch.ones(0, 0)),
    "mmd": lambda: room.mmd(POINTS[:0], FRONT),
    "mode_coverage": lambda: room.mode_coverage(POINTS[:0], FRONT, 1.0),
    "modes": lambda: room.mode_coverage(POINTS, FRONT[:0], 1.0),
    "pc_entropy": lambda: room.pc_entropy(POINTS[:0], FRONT),
    "r2_indicator": lambda: room.r2_indicator(POINTS[:0]),
    "weights": lambda: room.r2_indicator(POINTS, weights=FRONT[:0]),
    "sinkhorn": lambda: room.sinkhorn(POINTS[:0], FRONT),
    "top_k": lambda: room.top_k(ROWS[:0], 1),
    "top_k_mean": lambda: room.top_k_mean(ROWS[:0], KEYS[:0]),
    "unique_fraction": lambda: room.unique_fraction(KEYS[:0]),
    "w1_sorted": lambda: room.w1_sorted(POINTS[:0], POINTS[:0]),
    "w2": lambda: room.w2(POINTS[:0], POINTS[:0]),
}


@pytest.mark.parametrize("name", sorted(set(NOTHING) - {"average_ranks"}))
def test_nothing_is_refused_in_words(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^[a-z0-9_]+: "):
        NOTHING[name]()


def test_nothing_and_one_where_they_mean_something() -> None:
    assert NOTHING["average_ranks"]().shape == (0,)
    assert float(room.hypervolume(POINTS[:0])) == 0
    assert room.greedy_modes(ROWS[:0], 0.0, torch.ones(0, 0)) == []
    assert math.isnan(float(room.pearson(ROWS[:1], ROWS[:1])))
    assert math.isnan(float(room.spearman(ROWS[:0], ROWS[:0])))
    assert float(room.unique_fraction(KEYS[:1])) == 1
    assert float(room.w2(POINTS[:1], FRONT[:1])) == pytest.approx(
        float((POINTS[0] - FRONT[0]).norm())
    )
    assert float(room.effective_sample_size(terms(ROWS[:1]))) == pytest.approx(1)


def test_an_object_without_reward_has_a_rank_and_no_linear_correlation() -> None:
    found = room.log_reward_correlation(
        torch.tensor([-INF, -2.0, -1.0]), torch.tensor([-INF, 0, 5])
    )
    assert found.spearman == pytest.approx(1)
    assert math.isnan(found.pearson)


def test_weights_that_are_all_zero_have_no_size() -> None:
    with pytest.raises(ConfigError, match="all weights are zero"):
        room.effective_sample_size(terms(torch.full((3,), -INF)))
    assert float(room.importance_log_z(terms(torch.tensor([-INF, 0.0])))) == pytest.approx(
        -math.log(2)
    )


def test_what_is_measured_with_the_wrong_scale_or_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1\], got .* `mean_pairwise_distance`"):
        room.diversity(torch.full((2, 2), 3.0))
    with pytest.raises(ConfigError, match="not negative, got -3.*not their logarithms"):
        room.mean_reward_accuracy(-3.0, 1.0)
    with pytest.raises(ConfigError, match="no sample reaches any point"):
        room.grid_density(POINTS + 1e3, AXES)
    with pytest.raises(ConfigError, match="`weights` are masses"):
        room.mode_coverage(POINTS, FRONT, 1.0, torch.tensor([1.0, -1.0]))
    with pytest.raises(ConfigError, match="without negative entries"):
        room.r2_indicator(POINTS, weights=torch.tensor([[1.5, -0.5]]))
    with pytest.raises(ConfigError, match="orthants of 63 dimensions"):
        room.corner_regions(torch.zeros(1, 63, dtype=torch.int64), 3)
    for call in (
        lambda: room.hypervolume(POINTS, torch.zeros(3)),
        lambda: room.r2_indicator(POINTS, torch.zeros(3)),
        lambda: room.focus_accuracy(POINTS, torch.ones(3)),
        lambda: room.focus_accuracy(POINTS, torch.ones(2, 2)),
        lambda: room.greedy_modes(ROWS, 0.0, lambda row, others: torch.zeros(7)),
        lambda: room.diversity(torch.zeros(2, 3)),
    ):
        with pytest.raises(ShapeError, match=r"must have shape"):
            call()


def test_no_sample_in_a_mode_leaves_numbers() -> None:
    found = room.mode_coverage(POINTS + 100, FRONT, 1.0)
    assert found.hit == 0
    assert found.kl == INF
    assert found.histogram.tolist() == [0, 0]

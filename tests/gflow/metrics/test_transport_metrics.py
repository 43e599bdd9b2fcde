import itertools
import math
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.envs.targets import Gaussian, ManyWell, gmm25
from gflow.errors import ConfigError, MissingExtraError, ShapeError
from gflow.metrics import mmd, sinkhorn, w1_sorted, w2, w2_floor


def draw(seed: int, count: int, dim: int) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 10**6), count=st.integers(1, 6), dim=st.integers(1, 3))
def test_w2_is_the_best_of_all_pairings(seed: int, count: int, dim: int) -> None:
    x, y = draw(seed, count, dim), draw(seed + 1, count, dim) + 3
    costs = [
        float((x - y[list(order)]).square().sum(-1).mean())
        for order in itertools.permutations(range(count))
    ]
    assert float(w2(x, y)) == pytest.approx(min(costs) ** 0.5)
    assert float(w2(y, x)) == pytest.approx(float(w2(x, y)))
    assert float(w2(x, x[torch.randperm(count)])) == pytest.approx(0, abs=1e-7)


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 4), scale=st.floats(0.1, 10))
def test_w2_of_a_moved_and_stretched_sample_is_known(seed: int, dim: int, scale: float) -> None:
    """The map x -> a x + b is optimal: a gradient of a convex function."""
    x, shift = draw(seed, 40, dim), draw(seed + 1, 1, dim) * 5
    y = scale * x + shift
    assert float(w2(x, y)) == pytest.approx(float((x - y).square().sum(-1).mean().sqrt()))


@given(seed=st.integers(0, 10**6))
def test_w1_by_sorting_is_the_area_between_distribution_functions(seed: int) -> None:
    x, y = draw(seed, 30, 2), 2 * draw(seed + 1, 30, 2) + 1
    for i, value in enumerate(w1_sorted(x, y)):
        points = torch.cat([x[:, i], y[:, i]]).sort().values
        below = [(s[:, i] <= points[:-1, None]).double().mean(1) for s in (x, y)]
        area = ((below[0] - below[1]).abs() * points.diff()).sum()
        assert float(value) == pytest.approx(float(area))
    one = w2(x[:, :1], y[:, :1])
    gap = x[:, 0].sort().values - y[:, 0].sort().values
    assert float(one) == pytest.approx(float(gap.square().mean().sqrt()))


def test_floors_are_what_they_are_known_to_be() -> None:
    """Independent values for 2000 points: 1.22 +- 0.16 on 25GMM, 5.425 +- 0.005 on Manywell."""
    generator = torch.Generator().manual_seed(0)
    floor = w2_floor(gmm25(), 1000, repeats=3, generator=generator)
    assert 1.0 < floor.mean < 2.5
    assert floor.values.shape == (3,)
    assert floor.mean == pytest.approx(float(floor.values.mean()))
    far = gmm25().sample(1000, generator)
    assert float(w2(far, far + 5)) > floor.mean + 3 * floor.std
    with pytest.raises(ConfigError, match="repeats must be at least 2"):
        w2_floor(gmm25(), 10, repeats=1)


@pytest.mark.slow
def test_floor_of_many_wells_is_the_published_one() -> None:
    floor = w2_floor(ManyWell(32), 2000, repeats=2, generator=torch.Generator().manual_seed(1))
    assert floor.mean == pytest.approx(5.425, abs=0.03)


def test_w2_of_samples_far_apart_is_that_of_near_ones_and_the_distance() -> None:
    """What the means are apart is taken out first, and must be put back exactly."""
    x = draw(0, 600, 2)
    y = draw(1, 600, 2) + 100
    near = float(w2(x, y - 100)) ** 2
    shift = (x.mean(0) - y.mean(0)).square().sum() - (x.mean(0) - y.mean(0) + 100).square().sum()
    assert float(w2(x, y)) ** 2 == pytest.approx(near + float(shift), rel=1e-9)


@given(seed=st.integers(0, 10**6), blur=st.floats(0.5, 2))
def test_sinkhorn_of_a_moved_sample_is_the_square_of_the_move(seed: int, blur: float) -> None:
    """Exactly, whatever the blur: the entropy cancels."""
    x, shift = draw(seed, 25, 2), draw(seed + 1, 1, 2)
    value = sinkhorn(x, x + shift, blur=blur, tolerance=1e-6)
    assert float(value) == pytest.approx(float(shift.square().sum()), rel=1e-4, abs=1e-4)
    assert float(sinkhorn(x, x.clone(), blur=blur)) == pytest.approx(0, abs=1e-3)


def two_by_two(x: torch.Tensor, y: torch.Tensor, epsilon: float) -> float:
    """Cost and entropy of the best plan between two points and two, which is one number.

    The plan (p, 1/2 - p; 1/2 - p, p) is best at p = 1/2 s(gap / 2 epsilon), s the logistic.
    """
    cost = (x[:, None] - y).square().sum(-1)
    gap = float(cost[0, 1] + cost[1, 0] - cost[0, 0] - cost[1, 1])
    p = 1 / (1 + math.exp(-gap / (2 * epsilon))) / 2
    plan = torch.tensor([[p, 0.5 - p], [0.5 - p, p]], dtype=torch.float64)
    return float((plan * cost).sum() + epsilon * torch.xlogy(plan, 4 * plan).sum())


@given(seed=st.integers(0, 10**6), blur=st.floats(0.3, 2))
def test_sinkhorn_of_two_points_and_two_is_the_formula(seed: int, blur: float) -> None:
    x, y = draw(seed, 2, 3).double(), 1.5 * draw(seed + 1, 2, 3).double() + 0.5
    epsilon = 2 * blur**2
    exact = two_by_two(x, y, epsilon)
    exact -= two_by_two(x, x, epsilon) / 2 + two_by_two(y, y, epsilon) / 2
    value = float(sinkhorn(x, y, blur=blur, tolerance=1e-9))
    assert value == pytest.approx(exact, rel=1e-6, abs=1e-6)
    shift = float((x.mean(0) - y.mean(0)).square().sum())
    assert value > shift - 1e-6  # what the means are apart is only a part of it


def test_sinkhorn_goes_from_the_means_to_w2() -> None:
    x, y = draw(0, 60, 2), draw(1, 50, 2) * 0.5 + 1
    means = float((x.mean(0) - y.mean(0)).square().sum())
    assert float(sinkhorn(x, y, blur=100.0)) == pytest.approx(means, rel=1e-2)
    y = draw(1, 60, 2) * 0.5 + 1
    exact = float(w2(x, y)) ** 2
    gaps = [abs(float(sinkhorn(x, y, blur=blur)) - exact) for blur in (1.0, 0.3, 0.1)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.01 * exact
    with pytest.raises(ConfigError, match="still rises after 3 rounds"):
        sinkhorn(x, y, blur=0.01, max_iterations=3)
    with pytest.raises(ConfigError, match="must be positive"):
        sinkhorn(x, y, blur=0.0)


def test_mmd_is_unbiased_in_closed_form() -> None:
    """Between N(0, 1) and N(m, 1): 2 h (1 - exp(-m^2 / (4 + 2 h^2))) / sqrt(h^2 + 2)."""
    for shift in (0.0, 0.7):
        values = torch.stack(
            [
                mmd(draw(seed, 20, 1), draw(seed + 1000, 15, 1) + shift, bandwidth=1.5)
                for seed in range(600)
            ]
        )
        h2 = 1.5**2
        exact = 2 * (h2 / (h2 + 2)) ** 0.5 * (1 - math.exp(-(shift**2) / (2 * (h2 + 2))))
        error = float(values.std()) / 600**0.5
        assert float(values.mean()) == pytest.approx(exact, abs=4 * error)
        assert error < 0.005
    assert float(values.min()) < exact


def test_the_bandwidth_is_the_median_distance_within_y() -> None:
    """Of all pairs of different points of `y`, and of nothing else."""
    x, y = draw(0, 12, 2), 3 * draw(1, 9, 2)
    median = float(torch.nn.functional.pdist(y.double()).median())
    torch.testing.assert_close(mmd(x, y), mmd(x, y, bandwidth=median))
    by_hand = (
        sum(math.exp(-float((a - b).square().sum()) / (2 * median**2)) for a in x for b in x) - 12
    ) / (12 * 11)
    by_hand += (
        sum(math.exp(-float((a - b).square().sum()) / (2 * median**2)) for a in y for b in y) - 9
    ) / (9 * 8)
    by_hand -= (
        2 * sum(math.exp(-float((a - b).square().sum()) / (2 * median**2)) for a in x for b in y)
    ) / (12 * 9)
    assert float(mmd(x, y)) == pytest.approx(by_hand)
    assert abs(float(mmd(x, y)) - float(mmd(y[:8], x))) > 1e-3


def test_mmd_does_not_read_the_order() -> None:
    x, y = draw(0, 30, 2), draw(1, 40, 2)
    sorted_y = y[y[:, 0].argsort()]
    torch.testing.assert_close(mmd(x, y), mmd(x, sorted_y))
    assert float(mmd(x, y + 1)) > 0.05
    with pytest.raises(ConfigError, match="two points of each"):
        mmd(x[:1], y)
    with pytest.raises(ConfigError, match="half of the points"):
        mmd(x, torch.zeros(5, 2))


def test_what_cannot_be_compared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(0, 5, 2)
    with pytest.raises(ConfigError, match="as many points of each, got 5 and 4"):
        w2(x, x[:4])
    with pytest.raises(ShapeError, match="`y` must have shape"):
        w2(x, x[:, :1])
    bad = x.clone()
    bad[3, 1] = math.nan
    with pytest.raises(ConfigError, match="`x` holds nan in row 3"):
        w2(bad, x)
    with pytest.raises(ConfigError, match="as many points"):
        w1_sorted(x[:0], x[:0])
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match="pip install .*'scipy"):
        w2(x, x)


def test_distances_do_not_change_with_precision() -> None:
    x, y = draw(0, 30, 3), draw(1, 30, 3)
    target = Gaussian([0.0])
    assert target.sample(3).dtype == torch.float64
    for distance in (w2, mmd, w1_sorted):
        low = distance(x.float(), y.float())
        assert low.dtype == torch.float64
        torch.testing.assert_close(low, distance(x, y), rtol=1e-5, atol=1e-6)

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import FlowTerms
from gflow.envs.targets import ManyWell, Target, gmm25
from gflow.errors import ConfigError
from gflow.metrics import (
    effective_sample_size,
    forward_ess,
    grid_density,
    histogram_jsd,
    kde_jsd,
    many_well_coverage,
    mode_coverage,
)
from gflow.metrics.continuous import Kernel, ModeCoverage


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coverage(target: Target, samples: Tensor, **settings: Any) -> ModeCoverage:
    assert target.modes is not None
    assert target.mode_radius is not None
    return mode_coverage(samples, target.modes, target.mode_radius, **settings)


def test_exact_draws_cover_the_modes_as_they_should() -> None:
    target = gmm25()
    found = coverage(target, target.sample(20_000, seeded()))
    assert found.hit == 25
    inside = 1 - math.exp(-4.5)
    assert found.inside == pytest.approx(inside, abs=4 * (inside * 0.0111 / 20_000) ** 0.5)
    # twice n times the divergence is chi-square with 24 degrees of freedom
    assert 24 - 4 * 48**0.5 < 2 * 20_000 * found.inside * found.kl < 24 + 4 * 48**0.5
    assert float(found.histogram.sum()) == pytest.approx(1)


def test_lost_modes_are_counted_and_cost_their_logarithm() -> None:
    target = gmm25()
    drawn = target.sample(20_000, seeded(1))
    kept = drawn[drawn[:, 0] < 2.5]  # three of five columns
    found = coverage(target, kept)
    assert found.hit == 15
    assert found.kl == pytest.approx(math.log(25 / 15), abs=0.01)
    # one more sample in a lost mode is a hit, but not at a fifth of its due
    more = torch.cat([kept, torch.tensor([[10.0, 10.0]])])
    assert coverage(target, more).hit == 16
    assert coverage(target, more, due=0.2).hit == 15


def test_mode_coverage_by_hand() -> None:
    modes = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    samples = torch.tensor([[0.0, 1.0], [3.5, 0.0], [4.5, 0.0], [0.0, 2.1], [50.0, 0.0]])
    found = mode_coverage(samples, modes, 1.0, weights=torch.tensor([1.0, 1.0, 2.0]))
    assert found.hit == 2
    assert found.inside == pytest.approx(0.6)
    assert found.histogram.tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    exact = math.log((1 / 3) / 0.25) / 3 + 2 * math.log((2 / 3) / 0.25) / 3
    assert found.kl == pytest.approx(exact)
    none = mode_coverage(samples + 100, modes, 1.0)
    assert (none.hit, none.inside, none.kl) == (0, 0.0, math.inf)
    with pytest.raises(ConfigError, match="radius must be positive, got 0"):
        mode_coverage(samples, modes, 0)
    with pytest.raises(ConfigError, match="n=0"):
        mode_coverage(samples[:0], modes, 1.0)


def test_exact_draws_of_many_wells_show_as_many_patterns_as_expected() -> None:
    target = ManyWell(32)
    runs = [many_well_coverage(target.sample(2000, seeded(seed))) for seed in range(30)]
    patterns = torch.tensor([float(run.patterns) for run in runs])
    error = float(patterns.std()) / 30**0.5
    assert float(patterns.mean()) == pytest.approx(runs[0].expected_patterns, abs=4 * error)
    assert 100 < runs[0].expected_patterns < 256
    minor = torch.stack([run.minor_frequency for run in runs]).mean()
    assert float(minor) == pytest.approx(target.minor_probability, abs=4 * 0.363 / 960_000**0.5)
    assert runs[0].minor_frequency.shape == (16,)


def test_many_well_coverage_by_hand() -> None:
    sides = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
    samples = torch.stack([sides, -sides], -1).flatten(1)
    found = many_well_coverage(samples, minor_probability=0.25)
    assert found.minor_frequency.tolist() == [0.75, 0.25]
    assert found.patterns == 3
    exact = sum(1 - (1 - p) ** 4 for p in (0.75**2, 0.25 * 0.75, 0.25 * 0.75, 0.25**2))
    assert found.expected_patterns == pytest.approx(exact)
    assert many_well_coverage(samples, wells=1).patterns == 2
    with pytest.raises(ConfigError, match="even dimension"):
        many_well_coverage(samples[:, :3])


def terms_of(log_weight: torch.Tensor) -> FlowTerms:
    none = torch.zeros(len(log_weight), 1)
    length = torch.ones(len(log_weight), dtype=torch.int64)
    return FlowTerms(none, none, log_weight, length, none > 0)


@given(log_weights=st.lists(st.floats(-5, 5), min_size=2, max_size=20), shift=st.floats(-500, 500))
def test_forward_ess_is_at_most_the_number_and_does_not_read_z(
    log_weights: list[float], shift: float
) -> None:
    weights = torch.tensor(log_weights)
    value = float(forward_ess(terms_of(weights)))
    assert value <= len(weights) + 1e-9
    assert float(forward_ess(terms_of(weights + shift))) == pytest.approx(value, rel=1e-6)
    exact = len(weights) / (weights.exp().mean() * (-weights).exp().mean())
    assert value == pytest.approx(float(exact))


def test_both_effective_sizes_estimate_one_share() -> None:
    """Target N(0, 1), sampler N(0.5, 1): exp(-0.25) seen from either side."""
    noise = torch.randn(200_000, generator=seeded())

    def log_weight(x: torch.Tensor) -> torch.Tensor:
        return (-x.square() + (x - 0.5).square()) / 2

    forward = forward_ess(terms_of(log_weight(noise))) / 200_000
    reverse = effective_sample_size(terms_of(log_weight(noise + 0.5))) / 200_000
    assert float(forward) == pytest.approx(math.exp(-0.25), abs=0.01)
    assert float(reverse) == pytest.approx(math.exp(-0.25), abs=0.01)


def test_forward_ess_sees_the_mode_that_is_missed() -> None:
    """Half of the target's mass lies where the sampler never goes."""
    seen = torch.zeros(100)
    assert float(effective_sample_size(terms_of(seen))) == pytest.approx(100)
    missed = torch.cat([torch.zeros(50), torch.full((50,), 20.0)])
    assert float(forward_ess(terms_of(missed))) < 1e-6


def test_histogram_jsd_of_known_cells() -> None:
    uniform = torch.full((2, 3), 1 / 6)
    corners = torch.tensor([[0.1, 0.1], [0.9, 0.9], [1.0, 1.0], [0.0, 0.0]])
    # mass 1/2 in two cells of six
    half = 2 * (0.5 * math.log(0.5 / (1 / 3)) + (1 / 6) * math.log((1 / 6) / (1 / 3)))
    rest = 4 * (1 / 6) * math.log(2)
    exact = (half + rest) / 2
    assert float(histogram_jsd(corners, uniform, 0, 1)) == pytest.approx(exact)
    wide = corners * torch.tensor([2.0, 4.0]) - 1
    assert float(histogram_jsd(wide, uniform, -1, [1.0, 3.0])) == pytest.approx(exact)
    skew = torch.tensor([[0.5, 0, 0], [0, 0, 0.5]])
    assert float(histogram_jsd(corners, skew, 0, 1)) == pytest.approx(0, abs=1e-12)
    assert float(histogram_jsd(corners, skew.flip(1), 0, 1)) == pytest.approx(math.log(2))
    strided = skew.T.contiguous().T
    assert float(histogram_jsd(corners, strided, 0, 1)) == pytest.approx(0, abs=1e-12)


def test_histogram_jsd_counts_what_lies_outside() -> None:
    masses = torch.tensor([0.25, 0.25])
    samples = torch.tensor([[0.2], [0.8], [-3.0], [7.0]])
    assert float(histogram_jsd(samples, masses, 0, 1)) == pytest.approx(0, abs=1e-12)
    assert float(histogram_jsd(samples, 2 * masses, 0, 1)) > 0.1
    beside = torch.tensor([[0.2, 1.4], [0.2, -0.4], [1.4, 0.2], [0.7, 0.7]])  # one axis is inside
    quarter = torch.tensor([[0.0, 0.0], [0.0, 0.25]])
    assert float(histogram_jsd(beside, quarter, 0, 1)) == pytest.approx(0, abs=1e-12)
    for bad in (masses - 0.3, 3 * masses, masses[None]):
        with pytest.raises(ConfigError, match="sum to at most 1"):
            histogram_jsd(samples, bad, 0, 1)
    with pytest.raises(ConfigError, match="`low` must be below"):
        histogram_jsd(samples, masses, 1, 1)


@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "von_mises"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_grid_density_is_the_sum_of_kernels(kernel: Kernel, dim: int) -> None:
    samples = torch.rand(20, dim, generator=seeded()) * 6
    axes = [torch.linspace(0, 6, 5 + i) for i in range(dim)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    gap = grid[..., None, :] - samples
    if kernel == "gaussian":
        each = (-gap.square().sum(-1) / (2 * 0.3**2)).exp()
    elif kernel == "exponential":
        each = (-gap.norm(dim=-1) / 0.3).exp()
    else:
        each = ((gap.cos() - 1).sum(-1) / 0.3**2).exp()
    exact = each.sum(-1)
    found = grid_density(samples, axes, 0.3, kernel)
    torch.testing.assert_close(found, exact / exact.sum())


def test_only_the_wrapped_kernel_closes_the_circle() -> None:
    """The same angles written as -0.1 ... and as 2 pi - 0.1 ...."""
    axes = [torch.linspace(0, 2 * math.pi, 64)[:-1]] * 2
    angles = 0.2 * torch.randn(500, 2, generator=seeded())
    other = angles % (2 * math.pi)
    assert float(kde_jsd(angles, other, axes, kernel="von_mises")) == pytest.approx(0, abs=1e-9)
    assert float(kde_jsd(angles, other, axes, kernel="gaussian")) > 0.1
    table = grid_density(other, axes, 0.3, "von_mises")
    torch.testing.assert_close(table[1].sum(), table[-1].sum(), rtol=0.1, atol=0)


def test_kernel_jsd_tells_distributions_apart() -> None:
    axis = torch.linspace(0.001, 1, 40)
    uniform, again = torch.rand(2, 3000, 2, generator=seeded())
    skew = uniform.square()
    for kernel in ("exponential", "gaussian"):
        same = float(kde_jsd(uniform, again, [axis, axis], kernel=kernel))
        apart = float(kde_jsd(uniform, skew, [axis, axis], kernel=kernel))
        assert 0 <= same < 0.003
        assert apart > 0.03
        assert apart < math.log(2)
    with pytest.raises(ConfigError, match="kernel must be one of .*, got 'box'"):
        kde_jsd(uniform, skew, [axis, axis], kernel="box")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="for each of 2 dimensions"):
        kde_jsd(uniform, skew, [axis])

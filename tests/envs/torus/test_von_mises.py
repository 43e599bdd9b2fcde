"""Laws on the circle: density, draws and mixtures against quadrature and SciPy."""

import math

import pytest
import torch

from gflow.envs.torus.von_mises import (
    VonMisesMixture,
    sample_von_mises,
    von_mises_log_prob,
    wrap,
)

CONCENTRATIONS = [0.0, 1e-6, 0.3, 4.0, 37.0, 300.0]


def circle(count: int = 512) -> torch.Tensor:
    return torch.arange(count) * (2 * math.pi / count)


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_the_density_integrates_to_one(concentration: float) -> None:
    """T1: the trapezoidal rule on 512 points is exact up to rounding."""
    kappa = torch.tensor(concentration)
    density = von_mises_log_prob(circle(), torch.tensor(0.7), kappa).exp()
    assert float(density.mean() * 2 * math.pi) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("turns", [-3, 1, 40])
def test_whole_turns_change_nothing(turns: int) -> None:
    x, mean = circle(), torch.tensor(-2.0)
    for kappa in CONCENTRATIONS:
        there = von_mises_log_prob(x + 2 * math.pi * turns, mean, torch.tensor(kappa))
        torch.testing.assert_close(there, von_mises_log_prob(x, mean, torch.tensor(kappa)))


def test_the_density_is_scipys_also_where_bessel_functions_overflow() -> None:
    stats = pytest.importorskip("scipy.stats")
    x = torch.linspace(-0.05, 0.05, 11)
    for kappa in (0.5, 4.0, 800.0, 22026.0):
        mine = von_mises_log_prob(x, torch.tensor(0.0), torch.tensor(kappa))
        assert bool(mine.isfinite().all())
        theirs = torch.from_numpy(stats.vonmises(kappa).logpdf(x.numpy()))
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_the_density_keeps_its_digits_in_single_precision() -> None:
    x, kappa = torch.linspace(-0.02, 0.02, 101), torch.tensor(2e4)
    exact = von_mises_log_prob(x, torch.tensor(0.0), kappa)
    single = von_mises_log_prob(x.float(), torch.tensor(0.0).float(), kappa.float())
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-5)


def test_the_slope_in_the_concentration_is_that_of_the_bessel_ratio() -> None:
    kappa = torch.tensor([0.5, 4.0, 90.0], requires_grad=True)
    von_mises_log_prob(torch.tensor(0.3), torch.tensor(0.0), kappa).sum().backward()
    ratio = torch.special.i1e(kappa.detach()) / torch.special.i0e(kappa.detach())
    torch.testing.assert_close(kappa.grad, math.cos(0.3) - ratio)


def test_wrapping_ends_below_a_full_turn_in_both_precisions() -> None:
    tiny = torch.tensor([-1e-9, -1e-20, 0.0, 2 * math.pi, -2 * math.pi, 13.0, -13.0])
    for dtype in (torch.float32, torch.float64):
        found = wrap(tiny.to(dtype))
        assert bool((found >= 0).all())
        assert bool((found < 2 * math.pi).all())
        error = ((found.double() - tiny + math.pi) % (2 * math.pi) - math.pi).abs()
        assert float(error.max()) < 1e-5


@pytest.mark.parametrize("concentration", [0.0, 0.3, 4.0, 300.0, 2e4])
def test_draws_follow_the_density(concentration: float) -> None:
    """A Kolmogorov-Smirnov distance from the integrated density, at about 1e-4 level."""
    count, points = 20_000, 20_001
    kappa = torch.full((count,), concentration)
    mean = 1.0
    generator = torch.Generator().manual_seed(1)
    drawn = sample_von_mises(torch.full((count,), mean), kappa, generator)
    assert bool((drawn >= 0).all() & (drawn < 2 * math.pi).all())
    away = ((drawn - mean + math.pi) % (2 * math.pi) - math.pi).sort().values
    reach = min(math.pi, 12 / max(concentration, 0.1) ** 0.5)
    grid = torch.linspace(-reach, reach, points)
    density = von_mises_log_prob(grid, torch.tensor(0.0), kappa[0]).exp()
    below = torch.cumulative_trapezoid(density, grid)
    place = torch.searchsorted(grid[1:].contiguous(), away).clamp(max=points - 2)
    ranks = (torch.arange(count) + 0.5) / count
    assert float((below[place] - ranks).abs().max()) < 2.23 / count**0.5


def test_draws_repeat_with_the_generator_and_differ_without() -> None:
    mean, kappa = torch.zeros(50), torch.full((50,), 5.0)
    first, again = (sample_von_mises(mean, kappa, torch.Generator().manual_seed(3)) for _ in "ab")
    assert torch.equal(first, again)
    assert not torch.equal(first, sample_von_mises(mean, kappa, torch.Generator().manual_seed(4)))
    assert len(first.unique()) == 50


def a_mixture(batch: int = 3) -> VonMisesMixture:
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(batch, 2, 4, 3, generator=generator)
    return VonMisesMixture(raw[..., 0].log_softmax(-1), 3 * raw[..., 1], 4 + raw[..., 2].exp())


def test_a_mixture_integrates_to_one_over_the_torus() -> None:
    line = circle(64)
    points = torch.cartesian_prod(line, line).unsqueeze(1)  # every point under each of 3 laws
    total = a_mixture().log_prob(points).exp().mean(0) * (2 * math.pi) ** 2
    torch.testing.assert_close(total, torch.ones(3), rtol=1e-8, atol=1e-8)


def test_draws_of_a_mixture_have_its_first_harmonics() -> None:
    law, count = a_mixture(1), 40_000
    wide = VonMisesMixture(*(part.expand(count, -1, -1) for part in vars(law).values()))
    drawn = wide.sample(torch.Generator().manual_seed(0))
    assert drawn.shape == (count, 2)
    weight, ratio = law.log_weight.exp(), torch.special.i1e(law.concentration)
    ratio = ratio / torch.special.i0e(law.concentration)
    for wave in (torch.cos, torch.sin):
        exact = (weight * ratio * wave(law.mean)).sum(-1)[0]
        seen = wave(drawn)
        assert float(((seen.mean(0) - exact) / (seen.std(0) / count**0.5)).abs().max()) < 4

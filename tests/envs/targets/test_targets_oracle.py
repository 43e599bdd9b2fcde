import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow.envs.targets import (
    Funnel,
    Gaussian,
    GaussianMixture,
    LogGaussianCox,
    ManyWell,
    Rescaled,
    Target,
    end_moments,
    gmm25,
    reverse_kernel,
)
from gflow.errors import ConfigError, IncompatibleError

rates, times = st.floats(0.2, 6), st.floats(0.02, 0.98)


def random_mixture(seed: int, dim: int) -> GaussianMixture:
    generator = torch.Generator().manual_seed(seed)
    return GaussianMixture(
        3 * torch.randn(4, dim, generator=generator),
        torch.rand(4, dim, generator=generator) + 0.1,
        torch.rand(4, generator=generator) + 0.1,
    )


def by_quadrature(target: Target, x: float, t: float, sigma2: float) -> tuple[float, float]:
    """Moments of x_1 given x_t, of a target of one variable, on a plain fine grid."""
    grid = torch.linspace(-25, 25, 200_001)
    log_bridge = -((x - t * grid) ** 2) / (2 * sigma2 * t * (1 - t))
    share = (target.log_density(grid[:, None]) + log_bridge).softmax(0)
    mean = (share * grid).sum()
    return float(mean), float((share * (grid - mean) ** 2).sum())


@given(seed=st.integers(0, 10**6), x=st.floats(-4, 4), t=times, sigma2=rates)
def test_mixture_moments_agree_with_quadrature(
    seed: int, x: float, t: float, sigma2: float
) -> None:
    target = random_mixture(seed, 1)
    mean, variance = end_moments(target, torch.tensor([[x]]), t, sigma2)
    exact = by_quadrature(target, x, t, sigma2)
    assert (mean.item(), variance.item()) == pytest.approx(exact, rel=1e-6, abs=1e-7)


@given(
    seed=st.integers(0, 10**6),
    dim=st.integers(2, 10),
    t=st.floats(0.02, 0.99),
    sigma2=rates,
    variance=st.sampled_from([1.0, 9.0]),
)
def test_funnel_moments_are_averages_over_its_first_coordinate(
    seed: int, dim: int, t: float, sigma2: float, variance: float
) -> None:
    """Given the end of the first, all is Gaussian: laws by torch, on a plain fine grid."""
    x = 2 * torch.randn(dim, generator=torch.Generator().manual_seed(seed))
    ends = torch.linspace(-120, 120, 40_001)
    noise = sigma2 * t * (1 - t)
    height = torch.distributions.Normal(0.0, variance**0.5).log_prob(ends)
    height = height + torch.distributions.Normal(t * ends, noise**0.5).log_prob(x[0])
    std = (t**2 * ends.exp() + noise).sqrt()[:, None]
    height = height + torch.distributions.Normal(0.0, std).log_prob(x[1:]).sum(-1)
    share = height.softmax(0)[:, None]
    gain = t * ends.exp() / std[:, 0] ** 2
    each = torch.cat([ends[:, None], gain[:, None] * x[1:]], 1)
    left = torch.cat([torch.zeros(1, 40_001), (ends.exp() * (1 - t * gain)).expand(dim - 1, -1)])
    exact = (share * each).sum(0)
    spread = (share * (left.T + (each - exact) ** 2)).sum(0)
    mean, width = end_moments(Funnel(dim, variance), x[None], t, sigma2)
    torch.testing.assert_close(mean[0], exact, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(width[0], spread, rtol=1e-5, atol=1e-7)


class FirstOfTheWell(Target):
    dim = 1

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return (-(x**4) + 6 * x**2 + x / 2).sum(-1)


@given(x=st.floats(-4, 4), y=st.floats(-4, 4), t=st.floats(0.001, 0.995), sigma2=rates)
def test_double_well_moments_agree_with_quadrature(
    x: float, y: float, t: float, sigma2: float
) -> None:
    mean, variance = end_moments(ManyWell(2), torch.tensor([[x, y]]), t, sigma2)
    first = by_quadrature(FirstOfTheWell(), x, t, sigma2)
    second = by_quadrature(Gaussian([0.0]), y, t, sigma2)
    assert (mean[0, 0].item(), variance[0, 0].item()) == pytest.approx(first, rel=1e-5, abs=1e-8)
    assert (mean[0, 1].item(), variance[0, 1].item()) == pytest.approx(second, rel=1e-5, abs=1e-8)


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 4), t=times, sigma2=rates)
def test_drift_is_the_score_of_the_h_transform(
    seed: int, dim: int, t: float, sigma2: float
) -> None:
    r"""(E[x_1 | x_t] - x) / (1 - t) = sigma2 grad log (p_t / N(0, sigma2 t))."""
    target = random_mixture(seed, dim)
    x = torch.randn(5, dim, generator=torch.Generator().manual_seed(seed))
    mean, _ = end_moments(target, x, t, sigma2)
    marginal = GaussianMixture(
        t * target.means, t**2 * target.variances + sigma2 * t * (1 - t), target.probabilities
    )
    drift = sigma2 * (marginal.score(x) + x / (sigma2 * t))
    torch.testing.assert_close((mean - x) / (1 - t), drift, rtol=1e-7, atol=1e-7)


@given(seed=st.integers(0, 10**6), t=times, later=times, sigma2=rates)
def test_reverse_kernel_of_a_gaussian_is_the_conditional_gaussian(
    seed: int, t: float, later: float, sigma2: float
) -> None:
    t, later = sorted((t, min(later + 0.01, 1.0)))
    generator = torch.Generator().manual_seed(seed)
    m, s2 = torch.randn(3, generator=generator), torch.rand(3, generator=generator) + 0.1
    x = torch.randn(4, 3, generator=generator)
    mean, variance = reverse_kernel(Gaussian(m, s2), x, t, later, sigma2)
    v = t**2 * s2 + sigma2 * t * (1 - t)
    v_later = later**2 * s2 + sigma2 * later * (1 - later)
    covariance = t * later * s2 + sigma2 * t * (1 - later)
    torch.testing.assert_close(mean, later * m + covariance / v * (x - t * m))
    torch.testing.assert_close(
        variance, (v_later - covariance**2 / v).expand(4, 3), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("target", [gmm25(), ManyWell(4), Rescaled(gmm25(), 10.0), Funnel(4, 1.0)])
def test_ends_of_time_are_the_target_and_the_point(target: Target) -> None:
    """At t = 0 the moments of the target itself; just before 1 the point."""
    source = torch.zeros(1, target.dim)
    mean, variance = end_moments(target, source, 0.0, sigma2=2.0)
    drawn = target.sample(20_000, torch.Generator().manual_seed(0))
    # the bridge joins the target itself, whatever its rate
    error = drawn.std(0) / len(drawn) ** 0.5
    assert bool(((mean - drawn.mean(0)).abs() < 4 * error).all())
    spread = (drawn - drawn.mean(0)) ** 2
    assert bool(((variance - spread.mean(0)).abs() < 4 * spread.std(0) / 20_000**0.5).all())
    near, _ = end_moments(target, source, 1e-7, sigma2=2.0)
    torch.testing.assert_close(near, mean, rtol=1e-4, atol=1e-4)
    x = drawn[:10]
    late, narrow = end_moments(target, x, 1 - 1e-7, sigma2=2.0)
    torch.testing.assert_close(late, x, rtol=0, atol=1e-4)
    assert narrow.max() < 1e-5


def test_each_row_may_have_its_own_time() -> None:
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.5, 0.9])
    for target in (gmm25(), ManyWell(2), Funnel(2)):
        mean, variance = end_moments(target, x, t, 5.0)
        for row in range(3):
            one = end_moments(target, x[row], float(t[row]), 5.0)
            torch.testing.assert_close((mean[row], variance[row]), one)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 50), t=times, sigma2=rates)
def test_moments_scale_with_the_unit_of_length(
    seed: int, scale: float, t: float, sigma2: float
) -> None:
    target = random_mixture(seed, 2)
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed))
    mean, variance = end_moments(target, x, t, sigma2)
    small, narrow = end_moments(Rescaled(target, scale), x / scale, t, sigma2 / scale**2)
    torch.testing.assert_close(small * scale, mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(narrow * scale**2, variance, rtol=1e-6, atol=1e-7)


def elbo_gap(target: Target, sigma2: float, steps: int, matched: bool, count: int) -> Tensor:
    """(count,) log Z - log w of the exact sampler with Gaussian steps."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(count, target.dim)
    log_w = torch.zeros(count)
    for i in range(steps):
        t, later = i / steps, (i + 1) / steps
        mean, variance = reverse_kernel(target, x, t, later, sigma2)
        std = variance.sqrt() if matched else torch.full_like(mean, (sigma2 / steps) ** 0.5)
        following = mean + std * torch.randn(x.shape, generator=generator)
        log_w -= torch.distributions.Normal(mean, std).log_prob(following).sum(-1)
        if i > 0:
            back = torch.distributions.Normal(
                following * t / later, math.sqrt(sigma2 * t * (later - t) / later)
            )
            log_w += back.log_prob(x).sum(-1)
        x = following
    assert target.log_z is not None
    return target.log_z - log_w - target.log_density(x)


@pytest.mark.parametrize(
    ("name", "matched", "published"), [("fixed", False, 1.484), ("matched", True, 0.291)]
)
def test_gap_of_a_perfect_sampler_of_ten_steps(name: str, matched: bool, published: float) -> None:
    """25 components, rate 5: 1.484 with fixed variance and 0.291 with the exact one."""
    gap = elbo_gap(gmm25(), 5.0, 10, matched, 4000)
    error = float(gap.std()) / len(gap) ** 0.5
    assert float(gap.mean()) == pytest.approx(published, abs=4 * error + 0.01)
    assert error < 0.06


def test_a_gaussian_as_wide_as_the_bridge_has_no_gap_at_all() -> None:
    target = Gaussian([1.0, -2.0], variance=2.0, log_constant=0.3)
    for matched in (True, False):
        gap = elbo_gap(target, 2.0, 7, matched, 50)
        torch.testing.assert_close(gap, torch.zeros(50), rtol=0, atol=1e-10)


def test_what_has_no_oracle_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="LogGaussianCox"):
        end_moments(LogGaussianCox(side=1), torch.zeros(1, 1), 0.5)
    with pytest.raises(ConfigError, match="0 <= t < 1"):
        end_moments(gmm25(), torch.zeros(1, 2), 1.0)
    with pytest.raises(ConfigError, match="sigma2=-1"):
        end_moments(gmm25(), torch.zeros(1, 2), 0.5, -1.0)

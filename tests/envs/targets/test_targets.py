import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow.envs.targets import (
    TARGETS,
    Funnel,
    Gaussian,
    GaussianMixture,
    LogGaussianCox,
    LogisticRegression,
    ManyWell,
    Rescaled,
    Target,
    gmm9,
    gmm25,
    gmm40,
    make_target,
)
from gflow.envs.targets.inverse_cdf import InverseCDF
from gflow.errors import ConfigError, IncompatibleError, ShapeError, UnknownNameError

SMALL: dict[str, Target] = {
    "cox": LogGaussianCox(side=3),
    "cox_whitened": LogGaussianCox(side=3, whitened=True),
    "double_well": ManyWell(2),
    "manywell": ManyWell(8),
    "funnel": Funnel(),
    "funnel_easy": Funnel(first_variance=1.0),
    "gaussian": Gaussian([1.0, -2.0, 0.5], [0.5, 1.0, 2.0], log_constant=0.7),
    "gmm9": gmm9(),
    "gmm25": gmm25(),
    "gmm40": gmm40(),
    "gmm40_scaled": gmm40(scale=50.0),
    "logistic": LogisticRegression.synthetic(count=20, dim=4),
    "uneven": GaussianMixture(
        torch.tensor([[0.0, 1.0], [2.0, -1.0], [1.0, 1.0]]),
        torch.tensor([[0.5, 1.0], [2.0, 0.3], [1.0, 1.0]]),
        torch.tensor([1.0, 2.0, 0.5]),
    ),
}
PLANE = {
    "gmm9": 9.0,
    "gmm25": 14.5,
    "gmm40": 48.0,
    "gmm40_scaled": 0.95,
    "double_well": 7.0,
    "uneven": 12.0,
}
SAMPLED = [name for name, target in SMALL.items() if target.has_samples]


def points(target: Target, count: int, seed: int = 0, spread: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centre = 0.0 if target.modes is None else target.modes.mean(0)
    return centre + spread * torch.randn(count, target.dim, generator=generator)


def plane(half: float, count: int = 401) -> tuple[Tensor, float]:
    """Grid points of a square and the log of the area of each, for the trapezoidal rule."""
    line = torch.linspace(-half, half, count)
    return torch.cartesian_prod(line, line), 2 * math.log(float(line[1] - line[0]))


@pytest.mark.parametrize("name", PLANE)
def test_planar_densities_integrate_to_their_z(name: str) -> None:
    target = SMALL[name]
    grid, log_area = plane(PLANE[name])
    log_z = float(target.log_density(grid).logsumexp(0)) + log_area
    assert log_z == pytest.approx(target.log_z, abs=1e-9)


@pytest.mark.parametrize("first_variance", [1.0, 9.0])
def test_funnel_integrates_to_one(first_variance: float) -> None:
    """On a grid that widens with the funnel."""
    first, unit = torch.linspace(-27, 27, 1201), torch.linspace(-10, 10, 401)
    wide = (first / 2).exp()[:, None]
    grid = torch.stack([first[:, None].expand(-1, 401), wide * unit], -1)
    log_area = wide.log() + math.log(float(first[1] - first[0]) * float(unit[1] - unit[0]))
    value = Funnel(2, first_variance).log_density(grid) + log_area
    assert float(value.logsumexp((0, 1))) == pytest.approx(0.0, abs=1e-9)


def test_funnels_differ_only_in_the_variance_of_the_first_coordinate() -> None:
    x = points(SMALL["funnel"], 20)
    first = x[:, 0]
    hard = torch.distributions.Normal(0.0, 3.0).log_prob(first)
    easy = torch.distributions.Normal(0.0, 1.0).log_prob(first)
    gap = Funnel().log_density(x) - Funnel(first_variance=1.0).log_density(x)
    torch.testing.assert_close(gap, hard - easy)
    rest = torch.distributions.Normal(0.0, (first[:, None] / 2).exp()).log_prob(x[:, 1:])
    torch.testing.assert_close(Funnel().log_density(x), hard + rest.sum(-1))


def test_many_well_is_so_many_double_wells() -> None:
    many, one = ManyWell(6), ManyWell(2)
    x = points(many, 50)
    blocks = one.log_density(x.unflatten(-1, (3, 2))).sum(-1)
    torch.testing.assert_close(many.log_density(x), blocks)
    assert one.log_z is not None
    assert many.log_z == pytest.approx(3 * one.log_z, abs=1e-12)
    assert ManyWell(32).log_z == pytest.approx(164.695675, abs=1e-6)


def test_double_well_has_its_published_figures() -> None:
    target = ManyWell(2)
    assert target.log_z == pytest.approx(
        math.log(11784.50927) + math.log(2 * math.pi) / 2, abs=1e-8
    )
    assert target.wells.tolist() == pytest.approx([-1.7108, 1.7525], abs=5e-5)
    assert 1 - target.minor_probability == pytest.approx(0.84431, abs=1e-5)
    modes, many = target.modes, ManyWell(16).modes
    assert modes is not None
    assert many is not None
    assert target.score(modes).abs().max() < 1e-12
    assert len(many) == 256
    assert ManyWell(18).modes is None


@pytest.mark.parametrize("name", ["gmm9", "gmm25", "gmm40_scaled", "double_well", "uneven"])
def test_draws_have_the_moments_of_the_density(name: str) -> None:
    target = SMALL[name]
    grid, _ = plane(PLANE[name])
    share = target.log_density(grid).softmax(0)
    drawn = target.sample(20_000, torch.Generator().manual_seed(1))
    for power in (1, 2, 3):
        moment = (share[:, None] * grid**power).sum(0)
        mean, error = (drawn**power).mean(0), (drawn**power).std(0) / len(drawn) ** 0.5
        assert bool(((mean - moment).abs() < 4 * error).all()), power
    product = (share * grid.prod(-1)).sum()
    cross = drawn.prod(-1)
    assert abs(float(cross.mean() - product)) < 4 * float(cross.std()) / len(drawn) ** 0.5


def test_draws_of_the_funnel_become_normal_when_straightened() -> None:
    drawn = Funnel().sample(20_000, torch.Generator().manual_seed(2))
    unit = torch.cat([drawn[:, :1] / 3, drawn[:, 1:] * (-drawn[:, :1] / 2).exp()], 1)
    assert unit.mean(0).abs().max() < 4 / 20_000**0.5
    gap = unit.T @ unit / 20_000 - torch.eye(10)
    assert gap.abs().max() < 4.5 * (2 / 20_000) ** 0.5


def test_draws_of_a_gaussian_are_standard_when_standardised() -> None:
    target = SMALL["gaussian"]
    assert isinstance(target, Gaussian)
    unit = (target.sample(20_000, torch.Generator().manual_seed(3)) - target.mean) / (
        target.variance.sqrt()
    )
    assert unit.mean(0).abs().max() < 4 / 20_000**0.5
    assert (unit.T @ unit / 20_000 - torch.eye(3)).abs().max() < 4.5 * (2 / 20_000) ** 0.5


def test_draws_of_the_double_well_fill_its_distribution_function() -> None:
    """Kolmogorov's distance from the exact function, on a grid of its own."""
    line = torch.linspace(-4, 4, 8001)
    density = (-(line**4) + 6 * line**2 + line / 2).exp()
    exact = torch.cumulative_trapezoid(density, line)
    exact = exact / exact[-1]
    drawn = ManyWell(4).sample(20_000, torch.Generator().manual_seed(4))[:, 2].sort().values
    empirical = torch.searchsorted(drawn, line[1:]) / len(drawn)
    assert float((empirical - exact).abs().max()) * len(drawn) ** 0.5 < 1.95  # 0.1 per cent


@given(seed=st.integers(0, 10**6), cells=st.integers(1, 50))
def test_inverse_cdf_inverts_the_integral_of_its_own_polygon(seed: int, cells: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    heights = torch.rand(cells + 1, generator=generator) + 1e-3
    law = InverseCDF(lambda x: heights.log(), -1.0, 2.0, cells)
    uniform = torch.rand(64, generator=generator)
    drawn = law.sample(uniform)
    # share of the mass below what was drawn, straight from the polygon
    width = 3.0 / cells
    cell = ((drawn + 1) / width).floor().long().clamp(0, cells - 1)
    within = (drawn + 1) / width - cell
    full = torch.cat([torch.zeros(1), ((heights[1:] + heights[:-1]) / 2).cumsum(0)])
    part = heights[cell] * within + (heights[cell + 1] - heights[cell]) * within**2 / 2
    torch.testing.assert_close((full[cell] + part) / full[-1], uniform)
    assert math.exp(law.log_mass) == pytest.approx(float(full[-1]) * width)


@pytest.mark.parametrize("name", SMALL)
def test_score_is_the_gradient(name: str) -> None:
    """By autograd and by central differences, which know nothing of each other."""
    target = SMALL[name]
    spread = 0.03 if name == "gmm40_scaled" else 1.0
    x = points(target, 12, spread=spread)
    before = x.clone()
    score = target.score(x)
    torch.testing.assert_close(score, Target.score(target, x), rtol=1e-9, atol=1e-9)
    step = 1e-5 * spread
    shift = step * torch.eye(target.dim)
    up, down = target.log_density(x[:, None] + shift), target.log_density(x[:, None] - shift)
    torch.testing.assert_close(score, (up - down) / (2 * step), rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)
    assert not score.requires_grad
    assert not target.score(x.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize("name", SMALL)
def test_precision_and_shape_are_those_of_the_question(name: str) -> None:
    target = SMALL[name]
    x = points(target, 6, spread=0.5)
    exact = target.log_density(x)
    assert exact.dtype == torch.float64
    rough = target.log_density(x.float())
    assert rough.dtype == target.score(x.float()).dtype == torch.float32
    torch.testing.assert_close(rough.double(), exact, rtol=1e-4, atol=1e-3)
    stacked = target.log_density(x.view(2, 3, target.dim))
    torch.testing.assert_close(stacked, exact.view(2, 3))
    torch.testing.assert_close(
        target.score(x.view(2, 3, target.dim)), target.score(x).view(2, 3, -1)
    )
    torch.testing.assert_close(target.log_density(x[0]), exact[0])
    assert target.log_density(x[:0]).shape == (0,)
    with torch.inference_mode():
        torch.testing.assert_close(Target.score(target, x), target.score(x))


@pytest.mark.parametrize("name", SAMPLED)
def test_draws_follow_the_generator_and_not_the_global_one(name: str) -> None:
    target = SMALL[name]
    state = torch.get_rng_state()
    first = target.sample(30, torch.Generator().manual_seed(7))
    again = target.sample(30, torch.Generator().manual_seed(7), dtype=torch.float32)
    other = target.sample(30, torch.Generator().manual_seed(8))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (30, target.dim)
    assert again.dtype == torch.float32
    torch.testing.assert_close(first.float(), again)
    assert not torch.equal(first, other)
    assert target.sample(0).shape == (0, target.dim)


def test_draws_of_a_mixture_are_in_no_order() -> None:
    """Sorted by component they would break every metric that pairs neighbours."""
    target = gmm25()
    drawn = target.sample(5000, torch.Generator().manual_seed(0))
    component = torch.cdist(drawn, target.means).argmin(1)
    same = (component[1:] == component[:-1]).double().mean()
    assert abs(float(same) - 1 / 25) < 4 * (0.04 * 0.96 / 5000) ** 0.5


@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 60))
def test_rescaling_is_a_change_of_variables(seed: int, scale: float) -> None:
    target = SMALL["uneven"]
    other = Rescaled(target, scale)
    x = points(target, 5, seed)
    log_jacobian = target.dim * math.log(scale)
    assert target.log_z is not None
    assert other.log_z is not None
    normalised = target.log_density(x) - target.log_z + log_jacobian
    torch.testing.assert_close(other.log_density(x / scale) - other.log_z, normalised)
    torch.testing.assert_close(other.score(x / scale), scale * target.score(x))
    drawn, scaled = (t.sample(5, torch.Generator().manual_seed(seed)) for t in (target, other))
    torch.testing.assert_close(scaled * scale, drawn)
    assert other.modes is not None
    torch.testing.assert_close(other.modes * scale, target.modes)


@given(
    seed=st.integers(0, 10**6),
    number=st.integers(1, 6),
    dim=st.integers(1, 4),
    shift=st.floats(-20, 20),
)
def test_mixture_is_the_sum_of_its_gaussians(
    seed: int, number: int, dim: int, shift: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    means = 3 * torch.randn(number, dim, generator=generator) + shift
    variances = torch.rand(number, dim, generator=generator) + 0.1
    weights = torch.rand(number, generator=generator) + 0.1
    target = GaussianMixture(means, variances, weights)
    x = 3 * torch.randn(7, dim, generator=generator) + shift
    parts = [
        Gaussian(m, v, log_constant=float(w.log()))
        for m, v, w in zip(means, variances, weights, strict=True)
    ]
    summed = torch.stack([part.log_density(x) for part in parts]).logsumexp(0)
    torch.testing.assert_close(target.log_density(x), summed)
    assert target.log_z == pytest.approx(float(weights.sum().log()))
    order = torch.randperm(number, generator=generator)
    permuted = GaussianMixture(means[order], variances[order], weights[order])
    torch.testing.assert_close(permuted.score(x), target.score(x))


def test_forty_components_as_published() -> None:
    """Means of torch's seed 0 in float32, in a square of half-width 40."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        means = (torch.rand(40, 2, dtype=torch.float32) - 0.5) * 2 * 40
    target = gmm40()
    assert target.modes is not None
    torch.testing.assert_close(target.modes.float(), means)
    assert target.mode_radius == pytest.approx(3 * 1.3133, abs=1e-3)
    assert gmm40(scale=50.0).log_z == pytest.approx(-2 * math.log(50))


def test_names_build_targets_and_wrong_names_are_refused() -> None:
    for name in ("double_well", "funnel", "gmm9", "gmm25", "gmm40", "manywell", "gaussian"):
        target = make_target(name)
        assert target.has_samples
        assert target.log_z is not None
        assert str(target.dim) in repr(target)
    assert make_target("manywell").dim == 32
    assert len(TARGETS) == 14
    with pytest.raises(UnknownNameError, match="Did you mean 'funnel'"):
        make_target("funel")


def test_bad_input_is_refused_with_the_rule() -> None:
    with pytest.raises(ShapeError, match=r"\(\.\.\., 2\), got torch.float64 \(4, 3\)"):
        gmm9().log_density(torch.zeros(4, 3))
    with pytest.raises(ShapeError, match="must be float"):
        ManyWell(2).score(torch.zeros(4, 2, dtype=torch.int64))
    with pytest.raises(IncompatibleError, match="no exact samples"):
        LogisticRegression.synthetic(5, 2).sample(3)
    with pytest.raises(ConfigError, match="must not be negative, got -1"):
        gmm9().sample(-1)
    with pytest.raises(ConfigError, match="even and at least 2, got 3"):
        ManyWell(3)
    with pytest.raises(ConfigError, match="dim >= 2"):
        Funnel(1)
    with pytest.raises(ConfigError, match="variances must be positive"):
        Gaussian([0.0], variance=-1.0)
    with pytest.raises(ConfigError, match=r"a number or \(d,\), got \(2,\) and \(3,\)"):
        Gaussian([0.0, 1.0], variance=[1.0, 1.0, 1.0])
    with pytest.raises(ConfigError, match=r"`means` must be \(K, d\)"):
        GaussianMixture(torch.zeros(3))
    with pytest.raises(ConfigError, match="`variances` must be a number"):
        GaussianMixture(torch.zeros(3, 2), torch.ones(2))
    with pytest.raises(ConfigError, match=r"`weights` must be \(K,\)"):
        GaussianMixture(torch.zeros(3, 2), 1.0, torch.ones(2))
    with pytest.raises(ConfigError, match="`weights` must be positive"):
        GaussianMixture(torch.zeros(2, 2), 1.0, torch.tensor([1.0, 0.0]))
    with pytest.raises(ConfigError, match="`scale` must be positive"):
        Rescaled(gmm9(), 0.0)
    with pytest.raises(ConfigError, match="low < high"):
        InverseCDF(torch.abs, 1.0, 0.0)

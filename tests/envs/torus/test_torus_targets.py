"""Densities on the torus: their Z, samples, basins and tables; distances of samples from them."""

import math

import pytest
import torch
from torch import Tensor

from gflow.envs.torus.metrics import (
    basin_weights,
    cell_jsd,
    cell_jsd_floor,
    cell_log_distribution,
    cell_of,
    smoothed,
    smoothed_exactly,
    smoothed_jsd,
)
from gflow.envs.torus.targets import (
    Sines,
    TorusMixture,
    TorusTable,
    TorusTarget,
    cell_nodes,
    ramachandran,
    resampled,
)
from gflow.errors import ConfigError, IncompatibleError, ShapeError

TARGETS = [Sines(), ramachandran()]


def points(count: int) -> Tensor:
    line = torch.arange(count) * (2 * math.pi / count)
    return torch.cartesian_prod(line, line)


def exact(target: TorusTarget, count: int, seed: int = 0) -> Tensor:
    return target.sample(count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_z_and_basin_weights_are_those_of_quadrature(target: TorusTarget) -> None:
    place, log_mass = cell_nodes(36)
    mass = (target.log_density(place) + log_mass).exp()
    assert target.log_z == pytest.approx(float(mass.sum().log()), abs=1e-9)
    shares = target.shares(place)
    torch.testing.assert_close(shares.sum(-1), torch.ones(len(place)))
    weights = mass @ shares / mass.sum()
    torch.testing.assert_close(weights, target.basin_weights, rtol=0, atol=1e-9)
    assert len(target.basin_names) == len(target.basin_weights)


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_densities_are_periodic_and_highest_at_their_modes(target: TorusTarget) -> None:
    x = torch.rand(40, 2) * 2 * math.pi
    turned = x + 2 * math.pi * torch.tensor([1.0, -2.0])
    torch.testing.assert_close(target.log_density(turned), target.log_density(x))
    assert target.modes is not None
    height = target.log_density(target.modes)
    assert float(target.shares(target.modes).max(-1).values.min()) > 0.9
    away = target.log_density(target.modes + 0.3)
    assert bool((away < height).all())


def test_the_sum_of_waves_is_the_formula_and_finite_at_its_zeros() -> None:
    target, x = Sines(), points(40) + 0.01
    formula = 3 * (torch.sin(3 * x[:, 0]) + torch.cos(2 * x[:, 1]) + 2).log()
    torch.testing.assert_close(target.log_density(x), formula)
    zeros = torch.cartesian_prod(
        torch.tensor([0.5, 7 / 6, 11 / 6]) * math.pi, torch.tensor([0.5, 1.5]) * math.pi
    )
    for dtype in (torch.float32, torch.float64):
        assert bool(target.log_density(zeros.to(dtype)).isfinite().all())


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_exact_samples_fill_cells_as_they_should(target: TorusTarget) -> None:
    count = 20_000
    x = exact(target, count)
    assert x.shape == (count, 2)
    assert bool((x >= 0).all() & (x < 2 * math.pi).all())
    law = cell_log_distribution(target, 8).exp()
    seen = torch.bincount(cell_of(x, 8), minlength=64)
    enough = law * count > 5
    chi = ((seen - law * count).square() / (law * count))[enough]
    assert float(chi.sum()) < int(enough.sum()) + 4 * (2 * int(enough.sum())) ** 0.5
    score = (basin_weights(target, x) - target.basin_weights) / (0.5 / count**0.5)
    assert float(score.abs().max()) < 4
    assert len(exact(target, 0)) == 0


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_resampled_angles_are_nearly_exact(target: TorusTarget) -> None:
    x = resampled(target, torch.Generator().manual_seed(0), 20_000, 200_000)
    assert x.shape == (20_000, 2)
    assert cell_jsd(target, x) < 1.6 * cell_jsd_floor(target, 20_000)
    torch.testing.assert_close(basin_weights(target, x), target.basin_weights, rtol=0, atol=0.02)


def test_a_table_passes_through_its_values_and_bends_smoothly() -> None:
    values = torch.randn(9, 9, generator=torch.Generator().manual_seed(0))
    table = TorusTable(values)
    torch.testing.assert_close(table.log_density(points(9)), values.flatten())
    x = points(9) + torch.tensor([0.0, 2 * math.pi / 9 * 0.5])  # halfway along the second angle
    near = [values.roll(-k, 1) for k in (-1, 0, 1, 2)]
    middle = (9 * (near[1] + near[2]) - near[0] - near[3]) / 16
    torch.testing.assert_close(table.log_density(x), middle.flatten())
    left, right = points(9) - 1e-6, points(9) + 1e-6  # slopes agree on both sides of a node
    torch.testing.assert_close(
        values.flatten() - table.log_density(left),
        table.log_density(right) - values.flatten(),
        rtol=0,
        atol=1e-10,
    )
    turned = points(9) + 0.3
    torch.testing.assert_close(table.log_density(turned - 2 * math.pi), table.log_density(turned))


def test_a_table_of_a_known_density_has_its_z_and_basins() -> None:
    known = ramachandran()
    table = TorusTable(
        known.log_density(points(72)).view(72, 72),
        basins={"right": lambda x: x[..., 0] >= 0},
        rest="left",
    )
    assert table.log_z == pytest.approx(known.log_z, abs=2e-4)
    place, log_mass = cell_nodes(72)
    mass = (known.log_density(place) + log_mass).exp()
    right = float(mass[place[:, 0] < math.pi].sum() / mass.sum())
    assert table.basin_names == ("right", "left")
    assert float(table.basin_weights[0]) == pytest.approx(right, abs=1e-4)
    torch.testing.assert_close(table.basin_weights.sum(), torch.tensor(1.0))


def test_the_distance_of_cells_is_small_for_exact_samples_alone() -> None:
    target, count = ramachandran(), 20_000
    floor = cell_jsd_floor(target, count)
    assert cell_jsd(target, exact(target, count)) == pytest.approx(floor, rel=0.25)
    uniform = torch.rand(count, 2) * 2 * math.pi
    law = cell_log_distribution(target)
    middle = torch.logaddexp(law, torch.full_like(law, -math.log(400))) - math.log(2)
    wanted = (law.exp() @ (law - middle) + (-math.log(400) - middle).mean()) / 2
    assert cell_jsd(target, uniform) == pytest.approx(float(wanted), abs=0.02)


def test_smoothing_wraps_around() -> None:
    """Where the reference's kernels stop at 0: half of the mass of a sample there."""
    density = smoothed(torch.zeros(1, 2), 0.3, 50)
    assert float(density.mean()) * (2 * math.pi) ** 2 == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(density[1:], density[1:].flip(0))
    torch.testing.assert_close(density[:, 1:], density[:, 1:].flip(1))


@pytest.mark.slow
def test_smoothed_samples_become_the_smoothed_density() -> None:
    for target in TARGETS:
        wide = smoothed_exactly(target, 0.2, 60)
        assert float(wide.mean()) * (2 * math.pi) ** 2 == pytest.approx(1, abs=1e-9)
        seen = smoothed(exact(target, 40_000), 0.2, 60)
        assert float((seen - wide).abs().max()) < 0.05 * float(wide.max())
        assert smoothed_jsd(target, exact(target, 40_000)) < 2e-3
    assert smoothed_jsd(ramachandran(), exact(Sines(), 4000)) > 0.2


def test_one_law_smoothed_is_the_convolution_of_two() -> None:
    """Concentrations 4 and 1 / 0.5^2 = 4, by its harmonics: the product of both."""
    one = TorusMixture(torch.zeros(1, 2), torch.full((1, 2), 4.0), torch.ones(1))
    density = smoothed_exactly(one, 0.5, 64)
    ratio = float(torch.special.i1e(torch.tensor(4.0)) / torch.special.i0e(torch.tensor(4.0)))
    line = torch.arange(64) * (2 * math.pi / 64)
    seen = float((density * line.cos()[:, None]).mean()) * (2 * math.pi) ** 2
    assert seen == pytest.approx(ratio**2, abs=1e-9)


def test_bad_targets_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\(K, D\)"):
        TorusMixture(torch.zeros(2, 2), torch.ones(2, 1), torch.ones(2))
    with pytest.raises(ConfigError, match="positive"):
        TorusMixture(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1))
    with pytest.raises(ConfigError, match=r"\(G, G\)"):
        TorusTable(torch.zeros(4, 5))
    with pytest.raises(ConfigError, match="Clip"):
        TorusTable(torch.full((4, 4), -torch.inf))
    with pytest.raises(ShapeError, match="float"):
        ramachandran().log_density(torch.zeros(2, 3))
    three = TorusMixture(torch.zeros(1, 3), torch.ones(1, 3), torch.ones(1))
    for measure in (cell_log_distribution, smoothed_exactly):
        with pytest.raises(IncompatibleError, match="two angles"):
            measure(three)
    assert three.sample(5, torch.Generator()).shape == (5, 3)


def test_angles_that_are_none_are_in_no_cell() -> None:
    target, angles = ramachandran(), torch.tensor([[0.5, 1.0], [torch.nan, 2.0]])
    for call in (
        lambda: cell_of(angles),
        lambda: cell_jsd(target, angles),
        lambda: smoothed_jsd(target, angles),
        lambda: basin_weights(target, angles),
    ):
        with pytest.raises(ConfigError, match="`angles` holds nan in row 1"):
            call()
    for call in (
        lambda: cell_of(angles[:1], 0),
        lambda: cell_jsd_floor(target, 0),
        lambda: cell_jsd_floor(target, 5, draws=0),
        lambda: smoothed(angles[:1], torch.inf),
        lambda: smoothed_jsd(target, angles[:1], grid=0),
    ):
        with pytest.raises(ConfigError, match=r"[a-z_]+: [a-z]+ must be"):
            call()

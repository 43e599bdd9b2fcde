"""Rewards of boxes: integrals, masses of regions and cells, exact samples."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.envs.cubes.rewards import InnerDisk, RingedCorners
from gflow.errors import ConfigError


def middles(dim: int, bins: int) -> torch.Tensor:
    axis = (torch.arange(bins) + 0.5) / bins
    return torch.cartesian_prod(*[axis] * dim).view(-1, dim)


@given(dim=st.integers(1, 3), r0=st.floats(0.01, 1), r1=st.floats(0, 2), r2=st.floats(0, 5))
def test_integral_regions_and_cells_against_a_fine_grid(
    dim: int, r0: float, r1: float, r2: float
) -> None:
    """40 cells per axis have the edges of all pieces among theirs, so that sums are exact."""
    reward = RingedCorners(dim, r0, r1, r2)
    points = middles(dim, 40)
    value = reward(points).exp()
    mass = value / value.sum()
    assert float(value.mean()) == pytest.approx(math.exp(reward.log_z), rel=1e-12)
    regions = torch.zeros(3).index_add(0, reward.region(points), mass)
    torch.testing.assert_close(regions, reward.region_distribution())
    for bins in (8, 20):
        cell = (points * bins).long()
        flat = cell[:, 0]
        for i in range(1, dim):
            flat = flat * bins + cell[:, i]
        coarse = torch.zeros(bins**dim).index_add(0, flat, mass)
        exact = reward.cell_distribution(bins).flatten()
        if bins == 20:  # whose cells are made of whole fine ones
            torch.testing.assert_close(exact, coarse)
        assert float(exact.sum()) == pytest.approx(1, rel=1e-12)


def test_published_numbers_of_the_square() -> None:
    reward = RingedCorners()
    assert math.exp(reward.log_z) == pytest.approx(0.305)
    expected = torch.tensor([0.24590, 0.41311, 0.34098])
    torch.testing.assert_close(reward.region_distribution(), expected, atol=1e-5, rtol=0)
    centre, corner, ring = reward(torch.tensor([[0.5, 0.5], [0.01, 0.99], [0.15, 0.85]])).exp()
    assert (float(centre), float(corner)) == pytest.approx((0.1, 0.6))
    assert float(ring) == pytest.approx(2.6)


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_samples_are_exact(dim: int) -> None:
    reward, count = RingedCorners(dim), 60_000
    points = reward.sample(count, torch.Generator().manual_seed(dim))
    assert bool(((points >= 0) & (points <= 1)).all())
    seen = torch.bincount(reward.region(points), minlength=3).double()
    law = reward.region_distribution() * count
    assert float(((seen - law) ** 2 / law).sum()) < 20  # chi-square with 2 degrees of freedom
    bins = {1: 20, 2: 20, 4: 4}[dim]
    cell = (points * bins).long()
    flat = cell[:, 0]
    for i in range(1, dim):
        flat = flat * bins + cell[:, i]
    seen = torch.bincount(flat, minlength=bins**dim).double()
    law = reward.cell_distribution(bins).flatten() * count
    freedom = bins**dim - 1
    assert float(((seen - law) ** 2 / law).sum()) < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("delta", [0.1, 0.25, 1.0])
def test_integral_of_the_inner_disk(delta: float) -> None:
    reward = InnerDisk(delta, outside=0.01)
    total = reward(middles(2, 1000)).exp().mean()
    assert float(total) == pytest.approx(math.exp(reward.log_z), rel=2e-3)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: RingedCorners(0), "dim must be at least 1"),
        (lambda: RingedCorners(2, r0=0.0), "A reward of 0 has no logarithm"),
        (lambda: InnerDisk(1.5), "must lie in"),
    ],
)
def test_bad_settings_are_refused(make: object, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make()  # type: ignore[operator]

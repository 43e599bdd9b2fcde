"""How far samples on a torus of two angles are from its density."""

import math

import torch
from torch import Tensor

from gflow.bounds import Count, Positive
from gflow.checks import check_numbers, check_shapes, checked
from gflow.envs.torus.targets import TorusTarget, cell_nodes
from gflow.envs.torus.von_mises import von_mises_log_prob, wrap
from gflow.errors import IncompatibleError
from gflow.metrics.distribution import jsd


@checked
def cell_log_distribution(target: TorusTarget, cells: Count = 20) -> Tensor:
    """(cells^2,) log of the exact probability of each square cell, by quadrature.

    Raises:
        IncompatibleError: If the target has not two angles.
    """
    _two("cell_log_distribution", target)
    place, log_mass = cell_nodes(cells)
    each = (target.log_density(place) + log_mass).view(cells * cells, -1).logsumexp(-1)
    return each - each.logsumexp(0)


@checked
def cell_of(angles: Tensor, cells: Count = 20) -> Tensor:
    """(N,) int64 the cell of each of (N, 2) angles.

    Raises:
        ConfigError: If an angle is not finite, and so in no cell.
    """
    check_shapes("cell_of", angles=(angles, "N 2"))
    check_numbers("cell_of", angles=angles)
    place = (wrap(angles.double()) * (cells / (2 * math.pi))).long().clamp(max=cells - 1)
    return place[:, 0] * cells + place[:, 1]


@checked
def cell_jsd(target: TorusTarget, angles: Tensor, cells: Count = 20) -> float:
    """Jensen-Shannon divergence, in nats, of a histogram of (N, 2) angles from exact masses.

    N exact samples have about (cells used - 1) / (8 N), not 0.
    """
    counts = torch.bincount(cell_of(angles, cells), minlength=cells * cells).double()
    seen = (counts / counts.sum()).log()
    return float(jsd(seen, cell_log_distribution(target, cells)))


@checked
def cell_jsd_floor(target: TorusTarget, count: Count, cells: Count = 20, draws: Count = 5) -> float:
    """What `cell_jsd` gives for `count` exact samples, as the mean over a few samples of cells."""
    exact = cell_log_distribution(target, cells)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(draws):
        seen = torch.multinomial(exact.exp(), count, replacement=True, generator=generator)
        counts = torch.bincount(seen, minlength=len(exact)).double()
        found.append(float(jsd((counts / count).log(), exact)))
    return sum(found) / draws


@checked
def smoothed(angles: Tensor, bandwidth: Positive = 0.1, grid: Count = 100) -> Tensor:
    """(grid, grid) kernel density of (N, 2) angles at grid points, with kernels that wrap around.

    Kernels are products of von Mises densities of concentration 1 / bandwidth^2.
    """
    check_shapes("smoothed", angles=(angles, "N 2"))
    check_numbers("smoothed", angles=angles)
    first, second = (_kernel(angles[:, d].double(), bandwidth, grid) for d in (0, 1))
    return first @ second.T / len(angles)


@checked
def smoothed_exactly(target: TorusTarget, bandwidth: Positive = 0.1, grid: Count = 100) -> Tensor:
    """(grid, grid) what `smoothed` gives in the mean over exact samples.

    The target times the kernels is integrated by the trapezoidal rule, which is exact up to
    rounding for smooth periodic densities as long as the grid is finer than kernel and target.
    """
    _two("smoothed_exactly", target)
    line = torch.arange(grid, dtype=torch.float64) * (2 * math.pi / grid)
    log_density = target.log_density(torch.cartesian_prod(line, line)).view(grid, grid)
    density = log_density.flatten().softmax(0).view(grid, grid)
    kernel = _kernel(line, bandwidth, grid)
    return kernel @ density @ kernel.T


@checked
def smoothed_jsd(
    target: TorusTarget, angles: Tensor, bandwidth: Positive = 0.1, grid: Count = 100
) -> float:
    """Jensen-Shannon divergence of `smoothed` from `smoothed_exactly`, both made to sum to 1.

    The metric of the literature, made to wrap around, against the exact mean in place of
    that of reference samples. It is blunt: smoothing hides detail.
    """
    p, q = smoothed(angles, bandwidth, grid), smoothed_exactly(target, bandwidth, grid)
    return float(jsd(*((density / density.sum()).flatten().log() for density in (p, q))))


def basin_weights(target: TorusTarget, angles: Tensor) -> Tensor:
    """(M,) float64 mean share of (N, D) angles in each basin."""
    check_numbers("basin_weights", angles=angles)
    return target.shares(angles.double()).mean(0)


def _kernel(angles: Tensor, bandwidth: float, grid: int) -> Tensor:
    """(grid, N) density at grid points of kernels around (N,) angles."""
    line = torch.arange(grid, dtype=torch.float64, device=angles.device) * (2 * math.pi / grid)
    concentration = angles.new_tensor(bandwidth**-2)
    return von_mises_log_prob(line[:, None], angles[None, :], concentration).exp()


def _two(name: str, target: TorusTarget) -> None:
    if target.dim != 2:
        raise IncompatibleError(f"{name}: made for two angles, and {target!r} has {target.dim}.")

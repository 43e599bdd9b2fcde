"""What points in R^d or on a torus cover, and how far they are from a density on a grid."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from gflow.bounds import Bounds, Positive, Probability
from gflow.checks import check_numbers, check_shapes, checked
from gflow.errors import ConfigError

CHUNK = 2**24
"""Distances computed at a time."""

Kernel = Literal["exponential", "gaussian", "von_mises"]


class ModeCoverage(NamedTuple):
    """Which modes a sample reaches.

    Attributes:
        hit: Modes with at least one sample, or with the share of its due that was asked for.
        inside: Share of samples that lie in a mode.
        kl: KL divergence of the histogram over modes from the true one, infinite if no sample
            lies in a mode.
        histogram: (M,) float64 share of each mode, among the samples that lie in one; zeros if
            none does.
    """

    hit: int
    inside: float
    kl: float
    histogram: Tensor


@checked
def mode_coverage(
    samples: Tensor,
    modes: Tensor,
    radius: Positive,
    weights: Tensor | None = None,
    due: Probability = 0.0,
) -> ModeCoverage:
    """How many modes are found, and how evenly.

    A sample lies in the mode that is nearest, if that is within `radius`; three standard
    deviations hold 0.989 of a Gaussian of two dimensions.

    Args:
        samples: (n, d).
        modes: (M, d) centres.
        radius: Of a mode, `Target.mode_radius`.
        weights: (M,) true masses, of any sum; equal by default.
        due: A mode counts as hit from one sample on, or from this share of its true number.

    Example:
        >>> modes = torch.tensor([[0.0], [10.0]])
        >>> found = mode_coverage(torch.tensor([[0.1], [-0.2], [5.0]]), modes, radius=1.0)
        >>> found.hit, round(found.inside, 3), round(found.kl, 3)
        (1, 0.667, 0.693)
    """
    size = check_shapes("mode_coverage", samples=(samples, "n d"), modes=(modes, "M d"))
    if size["n"] == 0 or size["M"] == 0:
        raise ConfigError(
            f"mode_coverage: needs samples and modes, got n={size['n']} and M={size['M']}."
        )
    check_numbers("mode_coverage", samples=samples, modes=modes)
    true = torch.ones(size["M"], dtype=torch.float64) if weights is None else weights.double()
    check_shapes("mode_coverage", modes=(modes, "M d"), weights=(true, "M"))
    check_numbers("mode_coverage", weights=true)
    if bool((true < 0).any()) or not bool((true > 0).any()):
        raise ConfigError(
            f"mode_coverage: `weights` are masses, not negative and not all zero, got "
            f"{true.tolist()[:5]}."
        )
    true = (true / true.sum()).to(samples.device)
    distance, nearest = torch.cdist(samples.double(), modes.to(samples).double()).min(1)
    counts = torch.bincount(nearest[distance <= radius], minlength=size["M"]).double()
    share = counts / counts.sum().clamp(min=1)
    enough = (counts > 0) & (counts >= due * size["n"] * true)
    gap = torch.where(share > 0, share * (share / true).log(), 0.0)
    kl = float(gap.sum()) if float(counts.sum()) else math.inf
    return ModeCoverage(int(enough.sum()), float(counts.sum()) / size["n"], kl, share)


class ManyWellCoverage(NamedTuple):
    """Which wells of a product of double wells a sample reaches.

    Attributes:
        minor_frequency: (d/2,) float64 share of samples on the shallow side of each well.
        patterns: Number of the 2^k combinations of sides of the first k wells that occur.
        expected_patterns: Of as many independent exact draws.
    """

    minor_frequency: Tensor
    patterns: int
    expected_patterns: float


@checked
def many_well_coverage(
    samples: Tensor,
    wells: Annotated[int, Bounds(1, 62)] = 8,
    minor_probability: Probability = 0.15569,
) -> ManyWellCoverage:
    """Sides of the double wells, coordinates 0, 2, 4, ...; the shallow side is negative.

    Args:
        samples: (n, d), d even.
        wells: k of `patterns`; all if there are fewer.
        minor_probability: True mass of the shallow side, `ManyWell.minor_probability`.

    Example:
        >>> found = many_well_coverage(torch.tensor([[1.7, 0.0, -1.7, 0.0]]))
        >>> found.minor_frequency.tolist(), found.patterns
        ([0.0, 1.0], 1)
    """
    size = check_shapes("many_well_coverage", samples=(samples, "n d"))
    if size["n"] == 0 or size["d"] < 2 or size["d"] % 2:
        raise ConfigError(
            f"many_well_coverage: needs samples of even dimension, got {tuple(samples.shape)}."
        )
    check_numbers("many_well_coverage", samples=samples)
    minor = samples[:, ::2] < 0
    wells = min(wells, minor.shape[1])
    powers = 2 ** torch.arange(wells, device=samples.device)
    patterns = len(torch.unique((minor[:, :wells] * powers).sum(-1)))
    expected = 0.0
    for number in range(wells + 1):
        mass = minor_probability**number * (1 - minor_probability) ** (wells - number)
        expected += math.comb(wells, number) * (1 - (1 - mass) ** size["n"])
    return ManyWellCoverage(minor.double().mean(0), patterns, expected)


def histogram_jsd(
    samples: Tensor, masses: Tensor, low: float | Sequence[float], high: float | Sequence[float]
) -> Tensor:
    """() float64 Jensen-Shannon divergence of a histogram from exact cell masses, in nats.

    Args:
        samples: (n, d).
        masses: d-dimensional table of the probability of each of equal cells that divide a box.
            What they lack to 1 is the mass outside, a cell of its own.
        low: Lower corner of the box, a number or d of them.
        high: Upper corner.

    Raises:
        ConfigError: If masses are negative or sum to more than 1, or a number is not finite.

    Example:
        >>> halves = torch.tensor([0.5, 0.5])
        >>> round(histogram_jsd(torch.tensor([[0.1], [0.2]]), halves, 0, 1).item(), 4)
        0.2158
    """
    size = check_shapes("histogram_jsd", samples=(samples, "n d"))
    check_numbers("histogram_jsd", samples=samples, masses=masses)
    table = masses.detach().double().contiguous()
    total = float(table.sum())
    if table.ndim != size["d"] or size["n"] == 0 or bool((table < 0).any()) or total > 1 + 1e-6:
        raise ConfigError(
            f"histogram_jsd: needs samples, and masses of {size['d']} dimensions that are not "
            f"negative and sum to at most 1, got n={size['n']}, shape {tuple(table.shape)} and a "
            f"sum of {total}."
        )
    points = samples.detach().double()
    corner, end = (
        torch.as_tensor(v, dtype=torch.float64, device=points.device).expand(size["d"])
        for v in (low, high)
    )
    check_numbers("histogram_jsd", low=corner, high=end)
    if not bool((corner < end).all()):
        raise ConfigError(f"histogram_jsd: `low` must be below `high`, got {low} and {high}.")
    cells = torch.tensor(table.shape, device=points.device)
    place = ((points - corner) / (end - corner) * cells).floor()
    place = torch.where(points == end, place - 1, place)  # the last cell is closed
    inside = ((place >= 0) & (place < cells)).all(-1)
    strides = torch.tensor(table.stride(), device=points.device)
    index = (place[inside].long() * strides).sum(-1)
    counts = torch.bincount(index, minlength=table.numel()).double()
    outside = points.new_tensor([float((~inside).sum())])
    rest = points.new_tensor([max(1 - total, 0.0)])
    return _jsd(torch.cat([counts, outside]), torch.cat([table.flatten().to(points.device), rest]))


@checked
def grid_density(
    samples: Tensor,
    axes: Sequence[Tensor],
    bandwidth: Positive = 0.1,
    kernel: Kernel = "gaussian",
) -> Tensor:
    r"""Kernel density estimate on a grid, up to its constant.

    Args:
        samples: (n, d).
        axes: d increasing (k_i,) tensors, whose products are the points of the grid.
        bandwidth: h.
        kernel: "gaussian", :math:`e^{-r^2/2h^2}`; "exponential", :math:`e^{-r/h}` of the
            Euclidean distance r; "von_mises", :math:`\prod_i e^{(\cos \delta_i - 1)/h^2}`, which
            closes the circle and so is the one for angles.

    Returns:
        (k_1, ..., k_d) float64, of sum 1.

    Raises:
        ConfigError: If a number is not finite, or no point of the grid is near any sample.
    """
    size = check_shapes("grid_density", samples=(samples, "n d"))
    if len(axes) != size["d"] or size["n"] == 0 or not all(len(axis) for axis in axes):
        raise ConfigError(
            f"grid_density: needs samples and one axis with points for each of {size['d']} "
            f"dimensions, got n={size['n']} and axes of {[len(axis) for axis in axes]} points."
        )
    check_numbers("grid_density", samples=samples)
    for axis in axes:
        check_numbers("grid_density", axes=axis)
    points = samples.detach().double()
    lines = [axis.detach().to(points) for axis in axes]
    if kernel == "exponential":
        grid = torch.cartesian_prod(*lines).reshape(-1, size["d"])
        rows = max(1, CHUNK // size["n"])
        parts = [(-torch.cdist(part, points) / bandwidth).exp().sum(1) for part in grid.split(rows)]
        table = torch.cat(parts).reshape([len(line) for line in lines])
    else:
        # a product over coordinates: one table for each, joined by a sum over samples
        table = points.new_ones(1, size["n"])
        for i, line in enumerate(lines):
            gap = line[:, None] - points[:, i]
            exponent = gap.cos() - 1 if kernel == "von_mises" else -gap.square() / 2
            factor = (exponent / bandwidth**2).exp()
            if i < size["d"] - 1:
                table = (table[:, None] * factor).flatten(0, 1)
            else:
                table = (table @ factor.T).reshape([len(line) for line in lines])
    total = table.sum()
    if not bool(total > 0):
        raise ConfigError(
            f"grid_density: at a bandwidth of {bandwidth} no sample reaches any point of the grid. "
            f"Take a larger bandwidth, or axes where the samples are."
        )
    return table / total


@checked
def kde_jsd(
    samples: Tensor,
    reference: Tensor,
    axes: Sequence[Tensor],
    bandwidth: Positive = 0.1,
    kernel: Kernel = "exponential",
) -> Tensor:
    """() float64 Jensen-Shannon divergence, in nats, of two kernel density estimates on a grid.

    The metric of papers on continuous GFlowNets, and a blunt one: smoothing hides what is thinner
    than the bandwidth, and grids weigh the border as the inside. `histogram_jsd` sees more.

    Args:
        samples: (n, d).
        reference: (m, d) exact draws.
        axes: Axes of the grid, see `grid_density`.
        bandwidth: h of both.
        kernel: "von_mises" on a torus.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594
    """
    check_shapes("kde_jsd", samples=(samples, "n d"), reference=(reference, "m d"))
    first = grid_density(samples, axes, bandwidth, kernel)
    return _jsd(first.flatten(), grid_density(reference, axes, bandwidth, kernel).flatten())


def _jsd(p: Tensor, q: Tensor) -> Tensor:
    """() of two tables of masses, normalised here."""
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return (torch.xlogy(p, p / middle).nansum() + torch.xlogy(q, q / middle).nansum()) / 2

"""Distances between two samples of points by how far mass must move."""

import importlib
from typing import Annotated, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gflow.bounds import Bounds, Count, Positive
from gflow.checks import check_numbers, check_shapes, checked
from gflow.errors import ConfigError, MissingExtraError


class Drawable(Protocol):
    """Anything with exact draws: `gflow.envs.targets.Target` is one."""

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, d) independent draws."""


class NoiseFloor(NamedTuple):
    """What a distance is between two exact samples: nothing can be told apart below it.

    Attributes:
        mean: Over repeats.
        std: Over repeats, of one.
        values: (repeats,) float64.
    """

    mean: float
    std: float
    values: Tensor


def w1_sorted(x: Tensor, y: Tensor) -> Tensor:
    r"""(d,) float64 Wasserstein-1 distance of each coordinate, by sorting.

    .. math:: \frac1n \sum_i |x_{(i)} - y_{(i)}|

    Args:
        x: (n, d).
        y: (n, d).

    Example:
        >>> w1_sorted(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [2.0]])).tolist()
        [2.0]
    """
    x, y = _equal_samples("w1_sorted", x, y)
    return (x.sort(0).values - y.sort(0).values).abs().mean(0)


def w2(x: Tensor, y: Tensor) -> Tensor:
    r"""() float64 Wasserstein-2 distance of two samples: the best pairing, exactly.

    .. math:: \min_\sigma \Big(\frac1n \sum_i |x_i - y_{\sigma(i)}|^2\Big)^{1/2}

    Two samples of the same distribution are apart, too: print `w2_floor` next to it. In high
    dimensions samples that are too narrow come out below the floor, and on heavy tails the distance
    is that of the few farthest points.

    Args:
        x: (n, d).
        y: (n, d), as many.

    Raises:
        ConfigError: If there are not as many of each, or a point is not finite.
        MissingExtraError: Without scipy.

    Example:
        >>> w2(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [2.0]])).item()
        2.0
    """
    x, y, shift = _centred(*_equal_samples("w2", x, y))
    cost = _squared_distances(x, y).cpu().numpy()
    rows, columns = _assignment()(cost)
    best = torch.tensor(float(cost[rows, columns].mean()), dtype=torch.float64)
    return (best + shift.cpu()).sqrt()


@checked
def w2_floor(
    target: Drawable,
    count: Count,
    repeats: Annotated[int, Bounds(2)] = 5,
    generator: torch.Generator | None = None,
) -> NoiseFloor:
    """`w2` between pairs of exact samples of one target.

    Args:
        target: Gives exact draws.
        count: Points in each sample, as many as the samples that are judged.
        repeats: Pairs drawn, at least two.
        generator: Source of randomness.
    """
    pairs = [
        (target.sample(count, generator), target.sample(count, generator)) for _ in range(repeats)
    ]
    values = torch.stack([w2(x, y) for x, y in pairs])
    return NoiseFloor(float(values.mean()), float(values.std()), values)


@checked
def sinkhorn(
    x: Tensor,
    y: Tensor,
    blur: Positive = 1.0,
    tolerance: Positive = 1e-4,
    max_iterations: Count = 2000,
) -> Tensor:
    r"""() float64 Sinkhorn divergence, in the unit of `w2` squared.

    .. math::
        S = T_\varepsilon(x, y) - \tfrac12 T_\varepsilon(x, x) - \tfrac12 T_\varepsilon(y, y)

    where T is the cost of transport with squared distances and an entropy of strength epsilon =
    2 blur^2. Zero for equal samples; towards `w2` squared as the blur goes to 0. (geomloss with
    p = 2 returns half of it.)

    Args:
        x: (n, d).
        y: (m, d).
        blur: Length below which differences are smoothed away; the smaller, the slower.
        tolerance: Iterate until ten rounds raise T by less than this times epsilon.
        max_iterations: And at most so often.

    Raises:
        ConfigError: If it has not converged by then, a sample is empty, or a point is not finite.

    Reference:
        Feydy et al., Interpolating between optimal transport and MMD using Sinkhorn divergences,
        2019, https://arxiv.org/abs/1810.08278
    """
    size = check_shapes("sinkhorn", x=(x, "n d"), y=(y, "m d"))
    if not size["n"] * size["m"] * size["d"]:
        raise ConfigError(f"sinkhorn: needs points of each, got {size['n']} and {size['m']}.")
    x, y, shift = _centred(*_finite("sinkhorn", x, y))
    limits = (2 * blur**2, tolerance, max_iterations)
    own = _entropic_cost(x, x, *limits) + _entropic_cost(y, y, *limits)
    return _entropic_cost(x, y, *limits) - own / 2 + shift


def _entropic_cost(
    x: Tensor, y: Tensor, epsilon: float, tolerance: float, max_iterations: int
) -> Tensor:
    """() value of the regularised transport, by ascent of the dual in the log domain.

    The strength of the entropy comes down by halves from the size of the samples. Of one sample
    with itself the two potentials are one, and averaged updates find it within a few rounds.
    """
    cost = _squared_distances(x, y)
    f, g = cost.new_zeros(len(x)), cost.new_zeros(len(y))
    log_n, log_m = cost.new_tensor(len(x)).log(), cost.new_tensor(len(y)).log()
    strength, before = max(float(cost.max()), epsilon), -torch.inf
    for round_ in range(1, max_iterations + 1):
        fresh = -strength * ((g - cost) / strength - log_m).logsumexp(1)
        if x is y:
            f = g = (f + fresh) / 2
        else:
            f = fresh
            g = -strength * ((f[:, None] - cost) / strength - log_n).logsumexp(0)
        if strength > epsilon:
            strength = max(strength / 2, epsilon)
        elif round_ % 10 == 0:
            value = float(f.mean() + g.mean())
            if abs(value - before) < tolerance * epsilon:
                return f.mean() + g.mean()
            before = value
    raise ConfigError(
        f"sinkhorn: the dual still rises after {max_iterations} rounds at epsilon={epsilon:.2g}. "
        f"Take a larger `blur` or `tolerance`, or more iterations."
    )


@checked
def mmd(x: Tensor, y: Tensor, bandwidth: Positive | None = None) -> Tensor:
    r"""() float64 squared maximum mean discrepancy with a Gaussian kernel, unbiased.

    .. math::
        \frac{\sum_{i \ne j} k(x_i, x_j)}{n(n-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{m(m-1)}
        - \frac{2 \sum_{ij} k(x_i, y_j)}{nm}, \qquad k(a, b) = e^{-|a-b|^2 / 2h^2}

    Zero on average for samples of one distribution, so it may be negative. All pairs count, and the
    order of the points does not matter, unlike in linear-time estimators.

    Args:
        x: (n, d), at least two.
        y: (m, d), at least two.
        bandwidth: h; by default the median distance between points of `y`.

    Reference:
        Gretton et al., A kernel two-sample test, 2012, https://jmlr.org/papers/v13/gretton12a.html
    """
    size = check_shapes("mmd", x=(x, "n d"), y=(y, "m d"))
    if size["n"] < 2 or size["m"] < 2:
        raise ConfigError(f"mmd: needs two points of each, got {size['n']} and {size['m']}.")
    x, y = _finite("mmd", x, y)
    within = _squared_distances(y, y)
    if bandwidth is None:
        i, j = torch.triu_indices(len(y), len(y), offset=1, device=y.device)
        bandwidth = float(within[i, j].median()) ** 0.5
    if not bandwidth > 0:
        raise ConfigError(
            f"mmd: the bandwidth must be positive, got {bandwidth}; give one if half of the points "
            f"coincide."
        )

    def kernel(squared: Tensor) -> Tensor:
        return (-squared / (2 * bandwidth**2)).exp()

    def off_diagonal(table: Tensor) -> Tensor:
        count = len(table)
        return (table.sum() - table.diagonal().sum()) / (count * (count - 1))

    own = off_diagonal(kernel(_squared_distances(x, x))) + off_diagonal(kernel(within))
    return own - 2 * kernel(_squared_distances(x, y)).mean()


def _centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both samples around their own mean, and what that takes from every cost of transport.

    Moving a sample as a whole changes no optimal plan, but makes the search for it slow: 2000
    points of two Gaussians one standard deviation apart are paired ten times faster without.
    """
    gap = x.mean(0) - y.mean(0)
    return x - x.mean(0), y - y.mean(0), gap.square().sum()


def _assignment() -> Any:
    try:
        return importlib.import_module("scipy.optimize").linear_sum_assignment
    except ImportError as error:
        raise MissingExtraError("scipy", "continuous", "The exact W2 distance") from error


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()


def _equal_samples(where: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    size = check_shapes(where, x=(x, "n d"), y=(y, "m d"))
    if size["n"] != size["m"] or size["n"] == 0:
        raise ConfigError(
            f"{where}: needs as many points of each, got {size['n']} and {size['m']}. Draw again, "
            f"or drop some."
        )
    return _finite(where, x, y)


def _finite(where: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    check_numbers(where, x=x, y=y)
    return x.detach().double(), y.detach().double()

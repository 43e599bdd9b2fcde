"""Rules about measures: densities are per length, area or volume, forward as backward."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.testing.continuous.means import SIGMAS, pick
from gflow.testing.continuous.probe import ContinuousProbe

DRAWS = 4000
"""Draws from a law."""
NEAR = 50
"""Draws in a ball."""
BALLS = 40
"""Balls in each sample."""
OFF = 0.1
"""Logs of volumes may differ by so much beside noise: balls are not small, curves not straight."""
SIDES = ("forward", "backward")

Found = tuple[int, bool, float, float, float]


@dataclass(frozen=True)
class Volume:
    """What the densities of one law say the volume of small balls is.

    Attributes:
        size: k, the dimension of the set that the move fills.
        full: Whether that is the number of coordinates.
        log_factor: Middle of the log of volume found / true volume.
        error: Its standard error.
        tilt: The same of the denser half of the balls less that of the other half.
        log_stay: log of the probability of moving (not stopping).
        where: The state, for people.
        side: "forward" or "backward".
    """

    size: int
    full: bool
    log_factor: float
    error: float
    tilt: float
    log_stay: float
    where: str
    side: str


def volume(
    points: Tensor, log_prob: Tensor, count: int, generator: torch.Generator
) -> Found | None:
    r"""Dimension, whether it is full, log-factor, its error and tilt of draws with log-densities.

    .. math:: E_p[1 / f(x);\; x \in \text{ball}] = \text{volume of the ball}

    if f is the density of p. Dimensions are those of the set that nearby draws fill. Balls at the
    border, whose weighted draws are off their middle, are left out.

    Args:
        points: (M, m) coordinates of the draws that moved.
        log_prob: (M,).
        count: N of which these are; the others stopped, or went to atoms.
        generator: Picks the balls.

    Returns:
        None if that cannot be said: too few draws, too many dimensions, or balls.
    """
    flat = points - points.mean(0)
    _, size, axes = torch.linalg.svd(flat[pick(len(flat), 1000, generator)], full_matrices=False)
    kept = size > 1e-6 * size.max().clamp(min=1e-30)
    if len(points) < 20 * NEAR or not bool(kept.any()) or float(size.max()) < 1e-12:
        return None
    flat = flat @ axes[kept].T  # a rotation: volumes are the same
    spread = flat.std(0)
    white = flat / spread
    some = pick(len(flat), BALLS, generator)
    k = _dimension(white, some)
    full = k == flat.shape[1]
    if k > 3:
        return None
    if full:
        flat, log_prob = white, log_prob + spread.log().sum()
    near = torch.cdist(flat[some], flat).topk(NEAR, largest=False)
    radius, rows = near.values[:, -1], near.indices[:, 1:-1]  # less itself, and the last
    weight = (-log_prob[rows]).exp()
    middle = (weight[..., None] * (flat[rows] - flat[some][:, None])).sum(1)
    inside = middle.norm(dim=-1) < 0.2 * radius * weight.sum(1)
    if int(inside.sum()) < 10:
        return None
    true = math.pi ** (k / 2) / math.gamma(k / 2 + 1) * radius**k
    found = (weight.sum(1) / (count - 1) / true)[inside]
    value = found.clamp(min=1e-300).log()
    order = log_prob[some][inside].argsort()
    thin, dense = value[order].chunk(2)
    error = 1.25 / math.sqrt((NEAR - 2) * len(value))
    tilt = float(dense.median() - thin.median())
    return k, full and flat.shape[1] == points.shape[1], float(value.median()), error, tilt


def _dimension(white: Tensor, some: Tensor) -> int:
    """Of the set that the draws near a draw fill: a curve in the plane has 1."""
    near = torch.cdist(white[some], white).topk(NEAR, largest=False).indices
    cloud = white[near] - white[near].mean(1, keepdim=True)
    size = torch.linalg.svdvals(cloud)
    return int(((size / size[:, :1]).median(0).values > 0.2).sum())


def check_measure(probe: ContinuousProbe, found: list[Volume]) -> None:
    """Densities are per volume of the coordinates, or alike where moves fill less than all."""
    for side in SIDES:
        mine = [v for v in found if v.side == side]
        if mine:
            tilt = sum(v.tilt for v in mine) / len(mine)
            error = 3 * math.sqrt(sum(v.error**2 for v in mine)) / len(mine)
            if abs(tilt) > OFF + SIGMAS * error:
                much = "more" if tilt < 0 else "less"
                probe.findings.add(
                    "wrong-density",
                    f"What the {side} law samples from states such as {mine[0].where} is {much} "
                    f"spread than its `log_prob` says: where the density is high it is off by "
                    f"{math.exp(tilt):.2f} against where it is low.",
                    "`sample` and `log_prob` must be of one law: the same variance, and the "
                    "Jacobian of the map from what is drawn to the state.",
                )
                return
    for v in found:
        far = OFF + SIGMAS * v.error
        if abs(v.log_factor) > far and abs(v.log_factor - v.log_stay) < far < -v.log_stay:
            probe.findings.add(
                "wrong-stop",
                f"In {v.where} stopping has probability {-math.expm1(v.log_stay):.3f}, and the "
                f"densities of moves integrate to 1 beside it.",
                "`log_prob` of a move holds the log-probability of not stopping: add "
                "log(1 - exp(log_stop)).",
            )
            return
    for size in sorted({v.size for v in found}):
        _check_dimension(probe, [v for v in found if v.size == size])


def _check_dimension(probe: ContinuousProbe, found: list[Volume]) -> None:
    """Laws whose moves fill sets of one dimension."""
    size, full = found[0].size, all(v.full for v in found)
    middle = 0.0 if full else _median([v.log_factor for v in found])
    worst = max(found, key=lambda v: abs(v.log_factor - middle) - SIGMAS * v.error)
    wrong = abs(worst.log_factor - middle) > OFF + SIGMAS * worst.error
    means = {side: _mean(found, side) for side in SIDES}
    known = [mean for mean in means.values() if mean is not None]
    if full:
        wrong = wrong or any(abs(mean) > OFF / 2 + SIGMAS * error for mean, error in known)
    elif len(known) == 2:
        error = known[0][1] + known[1][1]
        wrong = wrong or abs(known[0][0] - known[1][0]) > OFF / 2 + SIGMAS * error
    if not wrong:
        return
    what = ("length", "area", "volume")[size - 1]
    sides = [f"{side} {math.exp(-mean[0]):.3g}" for side, mean in means.items() if mean]
    probe.findings.add(
        "wrong-measure",
        f"The densities of moves that fill {('a curve', 'an area', 'a volume')[size - 1]} "
        f"integrate to {', '.join(sides)} per {what} on average; the {worst.side} law at "
        f"{worst.where} to {math.exp(-worst.log_factor):.3g}.",
        f"Both laws of a transition must be densities per {what} of the states' coordinates: a "
        f"term of a Jacobian, or a constant of a density, is missing on one side.",
    )


def _mean(found: list[Volume], side: str) -> tuple[float, float] | None:
    """Mean log-factor of one side, and its standard error."""
    mine = [v for v in found if v.side == side]
    if not mine:
        return None
    error = math.sqrt(sum(v.error**2 for v in mine)) / len(mine)
    return sum(v.log_factor for v in mine) / len(mine), error


def _median(values: list[float]) -> float:
    return float(torch.tensor(values).median())


def as_volume(side: str, where: str, found: Found, stay: float) -> Volume:
    """A `Volume` from what `volume` found."""
    size, full, factor, error, tilt = found
    return Volume(size, full, factor, error, tilt, math.log(max(stay, 1e-9)), where, side)

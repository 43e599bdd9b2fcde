r"""Ratings by Bradley and Terry: of what strength players are, from who beat whom how often."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.errors import ConfigError, ShapeError

SCALE = math.log(10) / 400
"""Natural units in a point of Elo: 400 points are odds of ten to one."""

NORMAL_95 = 1.959964
STEPS = 200


@dataclass(frozen=True)
class Ratings:
    """Ratings with 95 % intervals, in points of Elo above the reference.

    Attributes:
        elo: (n,) float64, 0 at the reference.
        error: (n,) float64 half the width of the interval, 0 at the reference.
    """

    elo: Tensor
    error: Tensor

    @property
    def low(self) -> Tensor:
        """(n,) lower ends."""
        return self.elo - self.error

    @property
    def high(self) -> Tensor:
        """(n,) upper ends."""
        return self.elo + self.error


def fit_elo(wins: Tensor, draws: Tensor, reference: int = 0, prior: float = 1.0) -> Ratings:
    r"""The Bradley-Terry fit, draws counting half.

    .. math:: P(i \text{ beats } j) = \frac{1}{1 + 10^{(R_j - R_i) / 400}}

    The ratings R maximise the likelihood of the scores :math:`s_{ij} = w_{ij} + d_{ij} / 2`. A
    player that won all its games would be rated infinitely high, so every pair that met is given
    `prior` drawn games more. Intervals are 1.96 standard errors, from the inverse of the Fisher
    information with the reference at 0; as a draw varies less than the model's win or loss, they
    are somewhat too wide where many games are drawn.

    Args:
        wins: (n, n) games that i won against j.
        draws: (n, n) drawn games of i and j, symmetric.
        reference: The player whose rating is 0.
        prior: Further draws of each pair that met.

    Raises:
        ShapeError: If the tables are not (n, n).
        ConfigError: If players never met, even through others, or no finite rating fits.

    Reference:
        Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 2004.
    """
    count = len(wins)
    if wins.shape != (count, count) or draws.shape != wins.shape:
        raise ShapeError(
            f"fit_elo: wins and draws must be (n, n), got {tuple(wins.shape)} and "
            f"{tuple(draws.shape)}."
        )
    wins, draws = wins.double(), draws.double()
    met = (wins + wins.T + draws) > 0
    score = wins + draws / 2 + prior / 2 * met
    score = score.masked_fill(torch.eye(count, dtype=torch.bool), 0.0)
    _refuse_unrated(score)
    games, others = score + score.T, [k for k in range(count) if k != reference]
    rating = torch.zeros(count, dtype=torch.float64)
    for _ in range(STEPS):
        gradient, information = _slopes(rating, score, games)
        if not others:
            break
        step = torch.linalg.solve(information[others][:, others], gradient[others])
        rating[others] += step.clamp(-2, 2)  # Newton's step, not too far from flat regions
        if float(step.abs().max()) < 1e-12:
            break
    error = torch.zeros(count, dtype=torch.float64)
    information = _slopes(rating, score, games)[1]
    error[others] = torch.linalg.inv(information[others][:, others]).diagonal().sqrt()
    return Ratings(rating / SCALE, NORMAL_95 * error / SCALE)


def expected_score(difference: Tensor) -> Tensor:
    """The score that a player expects who is rated so many points higher."""
    return torch.sigmoid(difference * SCALE)


def _slopes(rating: Tensor, score: Tensor, games: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (n,) and Fisher information (n, n) of the log-likelihood."""
    beats = torch.sigmoid(rating[:, None] - rating[None])
    gradient = (score - games * beats).sum(1)
    weight = games * beats * (1 - beats)
    return gradient, weight.sum(1).diag() - weight


def _refuse_unrated(score: Tensor) -> None:
    """Finite ratings exist if everybody beat everybody, perhaps by way of others."""
    count = len(score)
    reach = (score > 0) | torch.eye(count, dtype=torch.bool)
    for _ in range(count):
        reach = (reach.double() @ reach.double()) > 0
    if not bool(reach.all()):
        i, j = (~reach).nonzero()[0].tolist()
        raise ConfigError(
            f"fit_elo: player {i} took no point from player {j}, nor from anyone who took one, so "
            f"no finite rating fits. Let them meet, or give a positive prior."
        )

"""A path of densities from a Gaussian to a target."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.environment.density import gaussian_log_prob
from gflow.envs.targets.base import Target
from gflow.errors import ConfigError


@dataclass(frozen=True)
class AnnealingPath:
    r"""Geometric means of a Gaussian and a target, from the one at time 0 to the other at time 1.

    .. math:: \log \pi_t(x) = (1 - \beta_t) \log N(x; 0, s_0^2 I) + \beta_t \log R(x),
              \qquad \beta_t = t^p

    Where the Gaussian is much wider than the modes, the densities change most while beta is small,
    and a power p above 1 spends more of the time there.

    Attributes:
        target: R.
        variance: s_0^2.
        power: p.
    """

    target: Target
    variance: float = 1.0
    power: float = 1.0

    def __post_init__(self) -> None:
        if not self.variance > 0 or not self.power > 0:
            raise ConfigError(
                f"AnnealingPath: variance and power must be positive, got {self.variance} and "
                f"{self.power}."
            )

    def beta(self, time: Tensor) -> Tensor:
        """Share of the target at times of any shape."""
        return time.pow(self.power)

    def log_density(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N,) log pi_t of (N, d) points at (N,) times, not normalised."""
        beta, spread = self.beta(time), x.new_full((1, 1), self.variance)
        base = gaussian_log_prob(x, torch.zeros_like(x), spread)
        return (1 - beta) * base + beta * self.target.log_density(x, condition)

    def score(self, x: Tensor, time: Tensor, target_score: Tensor) -> Tensor:
        """(N, d) gradient of log pi_t.

        Args:
            x: (N, d) points.
            time: (N,), or (1,) the time of all.
            target_score: (N, d) gradient of log R there, clipped or not.
        """
        beta = self.beta(time)[:, None]
        return beta * target_score - (1 - beta) / self.variance * x

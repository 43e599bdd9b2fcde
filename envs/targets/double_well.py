"""Double wells: 2^(d/2) modes of unequal depth, with everything about them known."""

import itertools
import math
from functools import cache

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.envs.targets.inverse_cdf import InverseCDF
from gflow.errors import ConfigError


class ManyWell(Target):
    r"""d/2 independent double wells in the plane; coordinates 2i and 2i + 1 are one.

    .. math:: \log R(x, y) = -x^4 + 6 x^2 + x/2 - y^2/2

    The deep well lies at x = 1.7525 and holds 0.84431 of the mass, the shallow one at -1.7108.

    Args:
        dim: d, even.

    Attributes:
        wells: (2,) float64 places of the shallow and the deep well on the x axis.
        minor_probability: Mass of the shallow side, x < 0.
        modes: (2^(d/2), d) for d up to 16, else None: too many to list.
        mode_radius: For d = 2 only. In many dimensions distance says little; use
            `gflow.metrics.many_well_coverage`.

    Reference:
        Noé et al., Boltzmann generators, 2019, https://arxiv.org/abs/1812.01729; as here in
        Midgley et al., Flow Annealed Importance Sampling Bootstrap, 2022,
        https://arxiv.org/abs/2208.01893

    Example:
        >>> round(ManyWell(2).log_z, 6), len(ManyWell(6).modes)
        (10.29348, 8)
    """

    has_samples = True

    def __init__(self, dim: int = 32) -> None:
        if dim < 2 or dim % 2:
            raise ConfigError(f"ManyWell: `dim` must be even and at least 2, got {dim}.")
        self.dim = dim
        self.wells = _wells()
        self.minor_probability = _first().mean(lambda x: torch.heaviside(-x, x.new_tensor(0.5)))
        self.log_z = dim // 2 * (_first().log_mass + math.log(2 * math.pi) / 2)
        if dim <= 16:
            choices = list(itertools.product([0, 1], repeat=dim // 2))
            self.modes = torch.zeros(len(choices), dim, dtype=torch.float64)
            self.modes[:, ::2] = self.wells[torch.tensor(choices)]
        if dim == 2:
            self.mode_radius = 3.0

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) sum over the wells."""
        x = self.checked(x)
        return (log_well(x[..., ::2]) - x[..., 1::2].square() / 2).sum(-1)

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) gradient, by formula."""
        x = self.checked(x).detach()
        across = x[..., ::2]
        slope = across * (12 - 4 * across.square()) + 0.5
        return torch.stack([slope, -x[..., 1::2]], -1).flatten(-2)

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        size = (count, self.dim // 2)
        uniform = torch.rand(size, generator=generator, dtype=like.dtype, device=like.device)
        noise = torch.randn(size, generator=generator, dtype=like.dtype, device=like.device)
        return torch.stack([_first().sample(uniform), noise], -1).flatten(-2)


def log_well(x: Tensor) -> Tensor:
    """Log-density of the first coordinate of a double well, of any shape, up to its constant."""
    square = x.square()
    return square * (6 - square) + x / 2


@cache
def _first() -> InverseCDF:
    return InverseCDF(log_well, -5.0, 5.0)


@cache
def _wells() -> Tensor:
    """(2,) zeros of the derivative at which the density has maxima, by Newton's method."""
    x = torch.tensor([-1.7, 1.7], dtype=torch.float64)
    for _ in range(20):
        x = x - (12 * x - 4 * x**3 + 0.5) / (12 - 12 * x.square())
    return x

"""Neal's funnel: the width of all other coordinates hangs on the first."""

import math

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.errors import ConfigError


class Funnel(Target):
    r"""A normalised funnel, :math:`x_0 \sim N(0, s^2)`, :math:`x_i \mid x_0 \sim N(0, e^{x_0})`.

    Papers differ in s: 3 is the hard funnel, 1 the easy one. It has one mode, far down the neck
    where nearly no mass is, and therefore no `modes`.

    Args:
        dim: d, the first coordinate included.
        first_variance: s^2.

    Reference:
        Neal, Slice sampling, 2003, https://doi.org/10.1214/aos/1056562461

    Example:
        >>> target = Funnel(dim=3)
        >>> target.score(torch.tensor([[0.0, 1.0, -2.0]])).tolist()
        [[1.5, -1.0, 2.0]]
    """

    has_samples = True
    log_z = 0.0

    def __init__(self, dim: int = 10, first_variance: float = 9.0) -> None:
        if dim < 2 or not (first_variance > 0 and math.isfinite(first_variance)):
            raise ConfigError(
                f"Funnel: needs dim >= 2 and a positive variance, got dim={dim} and "
                f"first_variance={first_variance}."
            )
        self.dim, self.first_variance = dim, float(first_variance)

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log-density; it is normalised."""
        first, rest = self._parts(x)
        log_volume = self.dim * math.log(2 * math.pi) + math.log(self.first_variance)
        scaled = rest * (-first[..., None] / 2).exp()
        width = (self.dim - 1) * first
        return (
            -(log_volume + first.square() / self.first_variance + width + scaled.square().sum(-1))
            / 2
        )

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) gradient."""
        first, rest = self._parts(x.detach())
        scaled = rest * (-first[..., None] / 2).exp()
        along = -first / self.first_variance + (scaled.square().sum(-1) - (self.dim - 1)) / 2
        across = -scaled * (-first[..., None] / 2).exp()
        return torch.cat([along[..., None], across], -1)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.checked(x)
        return x[..., 0], x[..., 1:]

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        noise = torch.randn(
            count, self.dim, generator=generator, dtype=like.dtype, device=like.device
        )
        first = noise[:, :1] * self.first_variance**0.5
        return torch.cat([first, noise[:, 1:] * (first / 2).exp()], -1)

    def __repr__(self) -> str:
        return f"Funnel(dim={self.dim}, first_variance={self.first_variance:g})"

"""A target in other units of length."""

import math

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.errors import ConfigError


class Rescaled(Target):
    r"""The density read at `scale` times the point, :math:`R'(x) = R(s x)`, hence Z' = Z / s^d.

    Args:
        base: The target R.
        scale: s > 0; points of the new target are s times smaller.

    Example:
        >>> from gflow.envs.targets.gaussian import Gaussian
        >>> target = Rescaled(Gaussian([30.0]), scale=10.0)
        >>> target.modes.item(), round(math.exp(-target.log_z), 6)
        (3.0, 10.0)
    """

    def __init__(self, base: Target, scale: float) -> None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ConfigError(f"Rescaled: `scale` must be positive, got {scale}.")
        self.base, self.scale, self.dim = base, float(scale), base.dim
        self.has_samples, self.condition_dim = base.has_samples, base.condition_dim
        if base.log_z is not None:
            self.log_z = base.log_z - self.dim * math.log(scale)
        if base.modes is not None:
            self.modes = base.modes / scale
        if base.mode_radius is not None:
            self.mode_radius = base.mode_radius / scale

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log R(s x)."""
        return self.base.log_density(self.scale * x, condition)

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) s times the gradient at s x."""
        return self.scale * self.base.score(self.scale * x, condition)

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        return self.base._sample(count, generator, like) / self.scale

    def __repr__(self) -> str:
        return f"Rescaled({self.base!r}, scale={self.scale:g})"

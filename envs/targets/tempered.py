"""Any target at every temperature."""

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.errors import ConfigError


class TemperedTarget(Target):
    """R^beta with beta given per point, the last entry of its condition.

    What a conditional target reads comes before it.

    Args:
        base: R.
    """

    def __init__(self, base: Target) -> None:
        self.base, self.dim = base, base.dim
        self.modes, self.mode_radius = base.modes, base.mode_radius
        self.condition_dim = base.condition_dim + 1

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) beta log R."""
        inner, beta = self._parts(condition)
        return beta.squeeze(-1).to(x.dtype) * self.base.log_density(x, inner)

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) beta times the score of R."""
        inner, beta = self._parts(condition)
        return beta.to(x.dtype) * self.base.score(x, inner)

    def _parts(self, condition: Tensor | None) -> tuple[Tensor | None, Tensor]:
        if condition is None or condition.shape[-1] != self.condition_dim:
            got = "none" if condition is None else f"shape {tuple(condition.shape)}"
            raise ConfigError(
                f"{self!r}: needs conditions (..., {self.condition_dim}) that end with an inverse "
                f"temperature, got {got}."
            )
        inner, beta = torch.split(condition, [self.base.condition_dim, 1], -1)
        return (inner if self.base.condition_dim else None), beta

    def __repr__(self) -> str:
        return f"TemperedTarget({self.base!r})"

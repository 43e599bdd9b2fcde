"""One Gaussian with a constant: the target whose exact sampler is known in closed form."""

import math

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.errors import ConfigError


class Gaussian(Target):
    r"""A Gaussian with independent coordinates, times a constant, :math:`C\, N(x; m, \Sigma)`.

    Args:
        mean: (d,) m.
        variance: One number, or (d,), the diagonal of Sigma.
        log_constant: log C, which is log Z.

    Raises:
        ConfigError: If the sizes do not match or a variance is not positive.

    Example:
        >>> target = Gaussian([1.0, 2.0], variance=4.0, log_constant=3.0)
        >>> target.score(torch.tensor([1.0, 0.0])).tolist()
        [0.0, 0.5]
    """

    has_samples = True

    def __init__(
        self,
        mean: Tensor | list[float],
        variance: Tensor | list[float] | float = 1.0,
        log_constant: float = 0.0,
    ) -> None:
        self.mean = torch.as_tensor(mean, dtype=torch.float64).cpu()
        variances = torch.as_tensor(variance, dtype=torch.float64).cpu()
        if self.mean.ndim != 1 or variances.shape not in ((), self.mean.shape):
            raise ConfigError(
                f"Gaussian: `mean` must be (d,) and `variance` a number or (d,), got "
                f"{tuple(self.mean.shape)} and {tuple(variances.shape)}."
            )
        if not bool(((variances > 0) & variances.isfinite()).all()):
            raise ConfigError(f"Gaussian: variances must be positive, got {variance}.")
        self.dim, self.log_constant = len(self.mean), float(log_constant)
        self.log_z = self.log_constant
        self.variance = variances.expand(self.dim).clone()
        self.modes = self.mean[None]
        self.mode_radius = 3 * float(self.variance.max()) ** 0.5

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log C + log N(x; m, Sigma)."""
        x = self.checked(x)
        mean, variance = self.constant("mean", x), self.constant("variance", x)
        spread = self.dim * math.log(2 * math.pi) + float(self.variance.log().sum())
        return self.log_constant - spread / 2 - ((x - mean).square() / variance).sum(-1) / 2

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) (m - x) / variance."""
        x = self.checked(x).detach()
        return (self.constant("mean", x) - x) / self.constant("variance", x)

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        noise = torch.randn(
            count, self.dim, generator=generator, dtype=like.dtype, device=like.device
        )
        return self.constant("mean", like) + self.constant("variance", like).sqrt() * noise

"""Log-Gaussian Cox process: the intensity of a point pattern on a grid, in up to thousands of d."""

import math

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.errors import ConfigError
from gflow.mcmc.laplace import LogZEstimate, laplace_importance

LENGTH, VARIANCE, POINTS = 1 / 33, 1.91, 126.0


class LogGaussianCox(Target):
    r"""Log-intensity x of a Poisson process on an M by M grid of the unit square, given counts y.

    .. math::
        R(x) = N(x; \mu 1, K) \prod_a e^{x_a y_a - e^{x_a} / M^2}, \quad
        K_{ab} = \sigma^2 e^{-|g_a - g_b| / (M \beta)}

    with sigma^2 = 1.91, beta = 1/33, mu = log 126 - sigma^2/2, and g integer places. The constant
    y! is left out, the Gaussian's is kept.

    The pine saplings that papers count do not come with the package: by default counts are drawn
    once from the model itself, so values of log Z cannot be compared with published ones. Your
    own counts go in as `counts`.

    Args:
        side: M; d = M^2.
        counts: (M, M) or (M^2,) counts y, instead of drawn ones.
        whitened: Speak about z with x = mu + L z, K = L L^T. The same Z; a rounder density.
        seed: Of the counts that are drawn.

    Attributes:
        counts: (d,) float64 y.
        truth: (d,) float64 x that the counts were drawn from, or None.

    Reference:
        Møller et al., Log Gaussian Cox processes, 1998, https://doi.org/10.1111/1467-9469.00115

    Example:
        >>> target = LogGaussianCox(side=2, counts=torch.tensor([3, 0, 1, 2]))
        >>> target.dim, round(float(target.log_density(torch.zeros(4))), 3)
        (4, -21.744)
    """

    def __init__(
        self,
        side: int = 40,
        counts: Tensor | None = None,
        whitened: bool = False,
        seed: int = 0,
    ) -> None:
        if side < 1:
            raise ConfigError(f"LogGaussianCox: `side` must be at least 1, got {side}.")
        self.side, self.dim, self.whitened = side, side * side, whitened
        self.mean = math.log(POINTS) - VARIANCE / 2
        line = torch.arange(side, dtype=torch.float64)
        places = torch.cartesian_prod(line, line).reshape(self.dim, 2)
        gaps = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")
        self.root = torch.linalg.cholesky(VARIANCE * (-gaps / (side * LENGTH)).exp())
        self.truth: Tensor | None = None
        if counts is None:
            seeded = torch.Generator().manual_seed(seed)
            noise = torch.randn(self.dim, generator=seeded, dtype=torch.float64)
            self.truth = self.mean + self.root @ noise
            self.counts = torch.poisson(self.truth.exp() / self.dim, generator=seeded)
        else:
            self.counts = torch.as_tensor(counts, dtype=torch.float64).cpu().flatten()
            good = self.counts.isfinite() & (self.counts >= 0)
            if len(self.counts) != self.dim or not bool(good.all()):
                raise ConfigError(
                    f"LogGaussianCox: `counts` must be {self.dim} numbers of at least 0 for "
                    f"side={side}, got shape {tuple(torch.as_tensor(counts).shape)} with "
                    f"{int((~good).sum())} bad ones."
                )
        log_volume = self.dim * math.log(2 * math.pi) / 2
        if whitened:
            self.log_volume = log_volume
        else:
            eye = torch.eye(self.dim, dtype=torch.float64)
            self.inverse_root = torch.linalg.solve_triangular(self.root, eye, upper=False)
            self.log_volume = log_volume + float(self.root.diagonal().log().sum())

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log-likelihood plus log-prior."""
        white, intensity = self._both(self.checked(x))
        fit = (intensity * self.constant("counts", x) - intensity.exp() / self.dim).sum(-1)
        return fit - white.square().sum(-1) / 2 - self.log_volume

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) gradient, by formula."""
        white, intensity = self._both(self.checked(x).detach())
        fit = self.constant("counts", x) - intensity.exp() / self.dim
        if self.whitened:
            return fit @ self.constant("root", x) - white
        return fit - white @ self.constant("inverse_root", x)

    def log_intensity(self, x: Tensor) -> Tensor:
        """(..., d) log-intensity at points of this space, be it whitened or not."""
        return self._both(self.checked(x))[1]

    def reference_log_z(
        self, draws: int = 200_000, generator: torch.Generator | None = None
    ) -> LogZEstimate:
        """Log Z by importance sampling around the mode; to be trusted for small grids only."""
        start = torch.zeros(self.dim, dtype=torch.float64)
        start = start if self.whitened else start + self.mean
        return laplace_importance(self.log_density, start, draws, generator=generator)

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """White noise and log-intensity of points, both (..., d)."""
        if self.whitened:
            return x, self.mean + x @ self.constant("root", x).mT
        return (x - self.mean) @ self.constant("inverse_root", x).mT, x

    def __repr__(self) -> str:
        return f"LogGaussianCox(side={self.side}, whitened={self.whitened})"

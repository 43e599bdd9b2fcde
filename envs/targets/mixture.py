"""Mixtures of Gaussians, and the three that papers on diffusion samplers use."""

import math
from typing import Any

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.envs.targets.rescaled import Rescaled
from gflow.errors import ConfigError


class GaussianMixture(Target):
    r"""K Gaussians with independent coordinates, :math:`\sum_k w_k N(x; m_k, \mathrm{diag}(v_k))`.

    All components are evaluated at once. `modes` are the means: the true modes lie there as far as
    the components are apart.

    Args:
        means: (K, d).
        variances: One number, (K,), or (K, d).
        weights: (K,) positive; their sum is Z. By default 1/K each.

    Raises:
        ConfigError: If sizes do not match, or a variance or weight is not positive.

    Example:
        >>> target = GaussianMixture(torch.tensor([[-2.0], [2.0]]), variances=0.5)
        >>> target.score(torch.zeros(1, 1)).item(), target.log_z
        (0.0, 0.0)
    """

    has_samples = True

    def __init__(
        self,
        means: Tensor,
        variances: Tensor | float = 1.0,
        weights: Tensor | None = None,
    ) -> None:
        self.means = torch.as_tensor(means, dtype=torch.float64).cpu()
        if self.means.ndim != 2:
            raise ConfigError(
                f"GaussianMixture: `means` must be (K, d), got {tuple(self.means.shape)}."
            )
        number, self.dim = self.means.shape
        spread = torch.as_tensor(variances, dtype=torch.float64).cpu()
        if spread.ndim == 1:
            spread = spread[:, None]
        mass = torch.ones(number) / number if weights is None else torch.as_tensor(weights).cpu()
        if spread.ndim and spread.shape not in ((number, 1), (number, self.dim)):
            raise ConfigError(
                f"GaussianMixture: `variances` must be a number, (K,) or (K, d) with K={number} "
                f"and d={self.dim}, got {tuple(spread.shape)}."
            )
        if mass.shape != (number,):
            raise ConfigError(
                f"GaussianMixture: `weights` must be (K,) with K={number}, got {tuple(mass.shape)}."
            )
        for name, values in (("variances", spread), ("weights", mass)):
            if not bool(((values > 0) & values.isfinite()).all()):
                raise ConfigError(
                    f"GaussianMixture: `{name}` must be positive and finite, got "
                    f"{float(values.min())} among them."
                )
        self.variances = spread.expand(number, self.dim).clone()
        self.log_weights = mass.double().log()
        if weights is None:
            self.log_weights = torch.full((number,), -math.log(number), dtype=torch.float64)
        log_z = float(self.log_weights.logsumexp(0))
        self.log_z = 0.0 if weights is None else log_z
        self.probabilities = self.log_weights.softmax(0)
        log_volume = self.variances.log().sum(-1) + self.dim * math.log(2 * math.pi)
        self.log_peaks = self.log_weights - log_volume / 2
        self.precisions = 1 / self.variances
        self.pulls = self.means / self.variances
        self.modes, self.mode_radius = self.means, 3 * float(self.variances.max()) ** 0.5

    def components(self, x: Tensor) -> Tensor:
        """(..., K) log of each component's share of R at (..., d) points."""
        x = self.checked(x)
        gap = (x[..., None, :] - self.constant("means", x)).square()
        distance = (gap * self.constant("precisions", x)).sum(-1)
        return self.constant("log_peaks", x) - distance / 2

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(...) log of the sum of components."""
        return self.components(x).logsumexp(-1)

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(..., d) mean pull of the components, each weighted by its share at the point."""
        x = x.detach()
        share = self.components(x).softmax(-1)
        return share @ self.constant("pulls", x) - x * (share @ self.constant("precisions", x))

    def _sample(self, count: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
        size: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
        ends = self.constant("probabilities", like).cumsum(0)
        place = torch.rand(count, generator=generator, **size)
        component = torch.searchsorted(ends, place).clamp(max=len(ends) - 1)
        noise = torch.randn(count, self.dim, generator=generator, **size)
        std = self.constant("variances", like)[component].sqrt()
        return self.constant("means", like)[component] + std * noise

    def __repr__(self) -> str:
        return f"GaussianMixture(components={len(self.means)}, dim={self.dim})"


def grid_mixture(places: list[float], variance: float = 0.3) -> GaussianMixture:
    """Equal components at all points of the plane with both coordinates among `places`."""
    line = torch.tensor(places, dtype=torch.float64)
    return GaussianMixture(torch.cartesian_prod(line, line), variance)


def gmm9() -> GaussianMixture:
    """Nine components at {-5, 0, 5}^2, variance 0.3.

    Reference:
        Zhang et al., Diffusion Generative Flow Samplers, 2023, https://arxiv.org/abs/2310.02679
    """
    return grid_mixture([-5.0, 0.0, 5.0])


def gmm25() -> GaussianMixture:
    """Twenty-five components at {-10, -5, 0, 5, 10}^2, variance 0.3.

    Reference:
        Sendera et al., Improved off-policy training of diffusion samplers, 2024,
        https://arxiv.org/abs/2402.05098
    """
    return grid_mixture([-10.0, -5.0, 0.0, 5.0, 10.0])


def gmm40(scale: float = 1.0) -> Target:
    """Forty components with means uniform in [-40, 40]^2, drawn once from seed 0.

    The standard deviation is softplus(1) = 1.3133.

    Args:
        scale: Unit of length: 50 brings everything into [-1, 1]^2, and log Z to -2 log 50.

    Reference:
        Midgley et al., Flow Annealed Importance Sampling Bootstrap, 2022,
        https://arxiv.org/abs/2208.01893
    """
    seeded = torch.Generator().manual_seed(0)
    places = torch.rand(40, 2, generator=seeded, dtype=torch.float32)
    mixture = GaussianMixture((places - 0.5).double() * 80, math.log1p(math.e) ** 2)
    return mixture if scale == 1 else Rescaled(mixture, scale)

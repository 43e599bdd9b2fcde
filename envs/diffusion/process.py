"""Reference processes of diffusion samplers: the coefficients of their Gaussian steps."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gflow.errors import ConfigError


class Process(ABC):
    r"""Gaussian steps between any two times 0 <= t < u <= 1 of generation.

    .. math:: P_F(x_u \mid x_t) = N(a x_t + b f(x_t, t),\; v I), \qquad
              P_B(x_t \mid x_u) = N(c x_u,\; w I)

    with the network's output f. A step whose w is 0 comes from a point, and its log P_B is 0.

    Attributes:
        start_variance: Variance of x at time 0, which is a point at 0 if it is 0.
    """

    start_variance: float

    @abstractmethod
    def forward(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients a, b, v, shaped like the times."""

    @abstractmethod
    def backward(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients c, w, shaped like the times."""

    @abstractmethod
    def marginal_variance(self, t: Tensor) -> Tensor:
        """Variance of x at time t without a network (f = 0); what flows look forward from."""


@dataclass(frozen=True)
class Brownian(Process):
    r"""Brownian motion of rate sigma2 from 0 with drift f; P_B is the Brownian bridge to 0.

    .. math:: P_F = N(x + f\,(u - t),\; \sigma^2 (u - t)), \qquad
              P_B = N\bigl(\tfrac{t}{u} x',\; \sigma^2 \tfrac{t (u - t)}{u}\bigr)

    Attributes:
        sigma2: Diffusion rate over unit time.

    Reference:
        Zhang and Chen, Path Integral Sampler, 2021, https://arxiv.org/abs/2111.15141; Sendera et
        al., Improved off-policy training of diffusion samplers, 2024,
        https://arxiv.org/abs/2402.05098
    """

    sigma2: float = 1.0
    start_variance: float = 0.0

    def __post_init__(self) -> None:
        if not self.sigma2 > 0:
            raise ConfigError(f"Brownian: sigma2 must be positive, got {self.sigma2}.")

    def forward(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of x + f dt."""
        return torch.ones_like(t), u - t, self.sigma2 * (u - t)

    def backward(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of the bridge to 0."""
        return t / u, self.sigma2 * t * (u - t) / u

    def marginal_variance(self, t: Tensor) -> Tensor:
        """sigma2 t."""
        return self.sigma2 * t


@dataclass(frozen=True)
class OrnsteinUhlenbeck(Process):
    r"""An Ornstein-Uhlenbeck process, stationary at N(0, nu^2 I), turned round.

    Its rate at *noising* time s is :math:`\beta(s) = (1 - s) \beta_0 + s \beta_1`; generation at
    time t is noising at s = 1 - t. With B the integral of the rate over a step, P_B is the exact
    noising step :math:`N(e^{-B} x', \nu^2 (1 - e^{-2B}))`, and

    - "exponential" (DDS): :math:`P_F = N(e^{-B} x + 2 \nu^2 (1 - e^{-B}) f, \nu^2 (1 - e^{-2B}))`,
      so that f = 0 keeps the stationary distribution exactly;
    - "euler" (DIS): :math:`P_F = N(x + (\beta x + \nu \sqrt{2 \beta} f) dt, 2 \beta \nu^2 dt)`,
      the rate taken where the step starts; P_B is the Euler step back,
      :math:`N(x' - \beta x' dt, 2 \beta \nu^2 dt)`.

    Generation starts from x_0 ~ N(0, nu^2 I).

    Attributes:
        nu: Stationary standard deviation.
        beta_0: Rate at the data.
        beta_1: Rate at the noise.
        scheme: "exponential" or "euler".

    Reference:
        Vargas et al., Denoising Diffusion Samplers, 2023, https://arxiv.org/abs/2302.13834; Berner
        et al., An optimal control perspective on diffusion-based generative modeling, 2022,
        https://arxiv.org/abs/2211.01364
    """

    nu: float = 1.0
    beta_0: float = 0.01
    beta_1: float = 4.0
    scheme: Literal["exponential", "euler"] = "exponential"

    def __post_init__(self) -> None:
        if not self.nu > 0 or not self.beta_0 > 0 or not self.beta_1 > 0:
            raise ConfigError(
                f"OrnsteinUhlenbeck: nu and both rates must be positive, got nu={self.nu}, "
                f"beta_0={self.beta_0}, beta_1={self.beta_1}."
            )
        if self.scheme not in ("exponential", "euler"):
            raise ConfigError(
                f"OrnsteinUhlenbeck: scheme must be exponential or euler, got {self.scheme!r}."
            )

    @property
    def start_variance(self) -> float:  # type: ignore[override]
        """Nu squared."""
        return self.nu**2

    def rate(self, t: Tensor) -> Tensor:
        """Rate at generation time t."""
        return t * self.beta_0 + (1 - t) * self.beta_1

    def integral(self, t: Tensor, u: Tensor) -> Tensor:
        """B, the rate integrated over the generation times from t to u."""
        return (u - t) * (self.rate(t) + self.rate(u)) / 2  # exact: the rate is linear

    def forward(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients by the scheme."""
        if self.scheme == "euler":
            step = self.rate(t) * (u - t)
            gain = self.nu * (2 * self.rate(t)).sqrt() * (u - t)
            return 1 + step, gain, 2 * self.nu**2 * step
        total = self.integral(t, u)
        return (
            (-total).exp(),
            -2 * self.nu**2 * torch.expm1(-total),
            -(self.nu**2) * torch.expm1(-2 * total),
        )

    def backward(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients of the noising step."""
        if self.scheme == "euler":
            step = self.rate(t) * (u - t)
            return 1 - step, 2 * self.nu**2 * step
        total = self.integral(t, u)
        return (-total).exp(), -(self.nu**2) * torch.expm1(-2 * total)

    def marginal_variance(self, t: Tensor) -> Tensor:
        """Nu squared at every time."""
        return torch.full_like(t, self.nu**2)


def uniform_grid(steps: int) -> Tensor:
    """(1, steps + 1) float64 equally spaced times from 0 to 1."""
    if steps < 1:
        raise ConfigError(f"uniform_grid: steps must be at least 1, got {steps}.")
    return (torch.arange(steps + 1, dtype=torch.float64) / steps)[None]


def random_grids(steps: int, count: int, seed: int = 0, evenness: float = 1.0) -> Tensor:
    """(count, steps + 1) float64 times from 0 to 1, their gaps from a symmetric Dirichlet.

    Training on few steps at random places and sampling with many saves most of the cost of a fine
    grid.

    Args:
        steps: Number of steps.
        count: Number of grids.
        seed: Of the gaps.
        evenness: Concentration of the Dirichlet: 1 places times uniformly, more brings the gaps
            closer to 1 / steps.

    Reference:
        Berner et al., From discrete-time policies to continuous-time diffusion samplers:
        Asymptotic equivalences and faster training, 2025, https://arxiv.org/abs/2501.06148
    """
    if steps < 1 or count < 1 or not evenness > 0:
        raise ConfigError(
            f"random_grids: steps and count must be at least 1 and evenness positive, got {steps}, "
            f"{count}, {evenness}."
        )
    generator = torch.Generator().manual_seed(seed)
    shape = torch.full((count, steps), float(evenness), dtype=torch.float64)
    gaps = torch._standard_gamma(shape, generator).clamp(min=1e-6 * evenness)
    ends = gaps.cumsum(-1) / gaps.sum(-1, keepdim=True)
    ends[:, -1] = 1.0
    return torch.cat([torch.zeros(count, 1, dtype=torch.float64), ends], 1)


def check_grid(times: Tensor) -> Tensor:
    """(G, T + 1) float64 `times` if they are grids: from 0 to 1 and increasing.

    Raises:
        ConfigError: Otherwise.
    """
    times = torch.as_tensor(times, dtype=torch.float64)
    times = times[None] if times.dim() == 1 else times
    if times.dim() != 2 or times.shape[1] < 2:
        raise ConfigError(f"A time grid must be (T + 1,) or (G, T + 1), got {tuple(times.shape)}.")
    good = (times[:, 0] == 0) & (times[:, -1] == 1) & (times.diff(dim=1) > 0).all(1)
    if not bool(good.all()):
        row = int((~good).nonzero()[0])
        shown = ", ".join(f"{float(t):.4g}" for t in times[row][:5])
        raise ConfigError(
            f"A time grid must rise strictly from 0 to 1; grid {row} starts with {shown} and ends "
            f"at {float(times[row, -1]):.4g}."
        )
    return times

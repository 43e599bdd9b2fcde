"""How a residual t is punished: an independent choice for every objective.

All are elementwise, zero at t = 0 and positive elsewhere, so they share the solution and differ in
what leads there. The sign of t is fixed throughout gflow as forward side minus backward side, the
opposite of Hu et al.'s.

Reference: Hu et al., Beyond Squared Error: Exploring Loss Design for Enhanced Training of
Generative Flow Networks, 2024, https://arxiv.org/abs/2410.02596
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from gflow.bounds import Bounds, Positive, check_fields
from gflow.errors import ConfigError
from gflow.objective import Objective, squared

SMALLEST = 1e-3
"""Least size of the exponent of Linex."""


class Regression(ABC):
    """Elementwise function of the residual."""

    @abstractmethod
    def __call__(self, residual: Tensor) -> Tensor:
        """The punishment of each residual, of the same shape."""


@dataclass(frozen=True)
class Squared(Regression):
    """t^2."""

    def __call__(self, residual: Tensor) -> Tensor:
        """The square."""
        return residual.square()


@dataclass(frozen=True)
class HalfSquared(Regression):
    """t^2 / 2."""

    def __call__(self, residual: Tensor) -> Tensor:
        """Half the square."""
        return residual.square() / 2


@dataclass(frozen=True)
class Huber(Regression):
    """t^2 / 2 up to |t| = delta, linear with slope delta beyond.

    Attributes:
        delta: Where the square goes over to a line.
    """

    delta: Positive = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, residual: Tensor) -> Tensor:
        """Huber's function."""
        size = residual.abs()
        bent = self.delta * (size - self.delta / 2)
        return bent.where(size > self.delta, residual.square() / 2)


@dataclass(frozen=True)
class ShiftedCosh(Regression):
    """e^t + e^-t - 2: both zero-avoiding and zero-forcing."""

    def __call__(self, residual: Tensor) -> Tensor:
        """2 cosh(t) - 2, written as 4 sinh(t/2)^2 so that small residuals keep their digits."""
        return 4 * (residual / 2).sinh().square()


@dataclass(frozen=True)
class Linex(Regression):
    """(e^(alpha t) - alpha t - 1) / alpha^2: curvature 1 at zero, asymmetric.

    Its slope is (e^(alpha t) - 1) / alpha, so that on the policy's own trajectories, where e^t is
    P_F / (P_B R / Z), trajectory balance descends

    * with alpha = -1 the forward KL divergence KL(P_B R / Z || P_F), which covers mass, and
    * with alpha = 1 half the chi-square divergence of P_F from P_B R / Z, which seeks modes.

    At alpha = 0 it would be `HalfSquared`, which descends KL(P_F || P_B R / Z). Hu et al. write t
    as backward minus forward, so that their Linex(alpha) is Linex(-alpha) here.

    Attributes:
        alpha: Not 0; at -1 it covers mass, at 1 it seeks modes.
    """

    alpha: Annotated[float, Bounds(-100, 100)] = -1.0

    def __post_init__(self) -> None:
        check_fields(self)
        if abs(self.alpha) < SMALLEST:
            raise ConfigError(
                f"Linex: alpha must be at least {SMALLEST} in size, got {self.alpha}: below that "
                f"it is lost in rounding. Its limit at 0 is HalfSquared."
            )

    def __call__(self, residual: Tensor) -> Tensor:
        """The linear-exponential function."""
        scaled = self.alpha * residual
        return (scaled.expm1() - scaled) / self.alpha**2


@dataclass(frozen=True)
class SquaredUpTo(Regression):
    """t^2 clamped at `limit`, which kills the gradient of exactly the worst residuals.

    Attributes:
        limit: Largest loss of a residual.
    """

    limit: Positive = 5000.0

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, residual: Tensor) -> Tensor:
        """The clamped square."""
        return residual.square().clamp(max=self.limit)


REGRESSIONS: dict[str, type[Regression]] = {
    "squared": Squared,
    "half_squared": HalfSquared,
    "huber": Huber,
    "shifted_cosh": ShiftedCosh,
    "linex": Linex,
    "squared_up_to": SquaredUpTo,
}


def refuse_regression(objective: Objective) -> None:
    """Refuse a choice that would have no effect, for objectives without residuals.

    Raises:
        ConfigError: Naming the objective and the regression.
    """
    if objective.regression is not squared and objective.regression != Squared():
        raise ConfigError(
            f"{type(objective).__name__} has no residuals that {objective.regression!r} could "
            f"punish. Leave `regression` (--regression) out."
        )

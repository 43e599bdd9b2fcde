"""What environments on the unit cube share."""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from gflow.environment.continuous import ContinuousEnvironment
from gflow.envs.cubes.rewards import CubeReward
from gflow.errors import ConfigError, ShapeError
from gflow.rewards.base import LogReward
from gflow.state import as_tuples


class UnitCube(ContinuousEnvironment[Tensor]):
    """Points of the unit cube that move up from the corner 0 and may stop anywhere but there.

    States are (N, d) points. The source is the point 0, which no later move enters. Points with no
    legal move left are finished by force.

    Args:
        dim: d.
        reward: Log-reward of points.
        components: K, Beta distributions in each mixture.
        source_components: The same for moves from the source.
        concentrations: Range of the Beta parameters; from 1 up densities are bounded.
        border: Moves keep this far from the faces that would leave the next or the last point
            without a legal move; it keeps densities below its inverse.

    Attributes:
        dim: d.
    """

    dim: int

    stop_action = 1

    def __init__(
        self,
        dim: int,
        reward: LogReward[Tensor],
        components: int,
        source_components: int,
        concentrations: tuple[float, float],
        border: float,
    ) -> None:
        for name, value in (("components", components), ("source_components", source_components)):
            if value < 1:
                raise ConfigError(f"{self.name}: {name} must be at least 1, got {value}.")
        low, high = concentrations
        if not 0 < low <= high:
            raise ConfigError(
                f"{self.name}: concentrations must be a positive range (low, high), got "
                f"{concentrations}."
            )
        if not 0 < border < 0.01:
            raise ConfigError(f"{self.name}: border must lie in (0, 0.01), got {border}.")
        mine = getattr(reward, "dim", dim)
        if mine != dim:
            raise ConfigError(
                f"{self.name}: the reward {reward!r} is of {mine} dimensions, the cube of {dim}."
            )
        self.dim, self.reward, self.border = dim, reward, border
        self.components, self.source_components = components, source_components
        self.concentrations = (float(low), float(high))

    @abstractmethod
    def even_outputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """(A,) outputs at the source, (A,) elsewhere and (P,) backward with nearly even densities.

        For policies to start from: densities that keep to the middle seldom reach the other
        corners.
        """

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """The corner 0."""
        return torch.zeros(batch_size, self.dim, device=device)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) the corner 0."""
        return (states == 0).all(-1)

    def can_stop(self, states: Tensor) -> Tensor:
        """(B,) anywhere but at the source and where points are finished by force."""
        return ~(self.is_initial(states) | self.is_terminal(states))

    def objects(self, points: Tensor) -> Tensor:
        """Finished objects from (B, d) points, such as exact samples of the target.

        Raises:
            ShapeError: If they are of another dimension.
            ConfigError: If one lies outside the cube, or is the source.
        """
        if points.dim() != 2 or points.shape[1] != self.dim:
            raise ShapeError(
                f"{self.name}: objects must be points (B, {self.dim}), got {tuple(points.shape)}."
            )
        wrong = ~((points >= 0) & (points <= 1)).all(-1) | self.is_initial(points)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise ConfigError(
                f"{self.name}: objects lie in the unit cube and are not the source 0; row {row} is "
                f"{self.show(points[row][None])[0]}."
            )
        return points

    def show(self, states: Tensor) -> list[str]:
        """The first coordinates."""
        rest = ", ..." if self.dim > 6 else ""
        return [f"({', '.join(f'{v:.4g}' for v in row[:6])}{rest})" for row in states.tolist()]

    def written(self, states: Tensor) -> list[Any]:
        """Coordinates, as tuples of floats."""
        return as_tuples(states)

    @property
    def has_exact_objects(self) -> bool:
        """Where the reward has exact samples."""
        return isinstance(self.reward, CubeReward) and self.reward.has_samples

    def exact_objects(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """`count` exact samples of the reward; see `Environment.exact_objects`."""
        if not isinstance(self.reward, CubeReward):
            return super().exact_objects(count, generator, device)
        return self.objects(self.reward.sample(count, generator, device))

    @property
    def stop_rate(self) -> float:
        """A probability of stopping that lets trajectories get half as long as they can, or so."""
        return 2 / self.horizon

    def log_partition(self) -> float | None:
        """Log Z of the reward where it is known."""
        known: Any = getattr(self.reward, "log_z", None)
        return None if known is None else float(known)


def logit_of(probability: float) -> float:
    """The number whose sigmoid is the probability."""
    return math.log(probability / (1 - probability))

"""Rewards on the unit cube whose integrals are known."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from gflow.errors import ConfigError, IncompatibleError
from gflow.rewards.base import LogReward

REGIONS = ("background", "corners", "rings")


class CubeReward(LogReward[Tensor]):
    """A reward of every point of the unit cube, finished or not.

    Attributes:
        log_z: Log of its integral.
        has_samples: `sample` gives exact, independent samples.
    """

    has_partial = True
    has_samples: bool = False
    log_z: float

    @abstractmethod
    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of (B, d) points."""

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """(count, d) exact samples of R / Z.

        Raises:
            IncompatibleError: If nothing samples them.
        """
        raise IncompatibleError(f"{type(self).__name__} has no exact samples.")


class RingedCorners(CubeReward):
    r"""A cube in each corner, with a brighter cube inside of it.

    .. math:: R(x) = R_0 + R_1 [\text{all } a_i > 0.25] + R_2 [\text{all } 0.3 < a_i < 0.4],
              \quad a_i = |x_i - 1/2|

    .. math:: Z = R_0 + 2^{-d} R_1 + 5^{-d} R_2

    Being a sum of indicators of boxes, it can be sampled exactly, and integrated over any box.

    Args:
        dim: d.
        r0: Reward everywhere, positive.
        r1: More in the corners.
        r2: More in the rings within them.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594
    """

    has_samples = True

    def __init__(self, dim: int = 2, r0: float = 0.1, r1: float = 0.5, r2: float = 2.0) -> None:
        if dim < 1 or not r0 > 0 or not r1 >= 0 or not r2 >= 0:
            raise ConfigError(
                f"RingedCorners: dim must be at least 1, r0 positive, r1 and r2 not negative; got "
                f"{dim}, {r0}, {r1}, {r2}. A reward of 0 has no logarithm."
            )
        self.dim, self.heights = dim, (r0, r1, r2)
        self.masses = (r0, r1 * 0.5**dim, r2 * 0.2**dim)
        self.log_z = math.log(sum(self.masses))

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        r0, r1, r2 = self.heights
        reward = states.new_tensor([r0, r0 + r1, r0 + r1 + r2])
        return reward.log()[self.region(states)]

    def region(self, states: Tensor) -> Tensor:
        """(B,) int64: 0 for the background, 1 for corners without rings, 2 for rings."""
        a = (states - 0.5).abs()
        corner, ring = (a > 0.25).all(-1), ((a > 0.3) & (a < 0.4)).all(-1)
        return corner.long() + (corner & ring).long()

    def region_distribution(self) -> Tensor:
        """(3,) float64 probabilities of the `REGIONS` under R / Z."""
        r0, r1, r2 = self.heights
        corner, ring = 0.5**self.dim, 0.2**self.dim
        mass = [r0 * (1 - corner), (r0 + r1) * (corner - ring), (r0 + r1 + r2) * ring]
        return torch.tensor(mass, dtype=torch.float64) / sum(self.masses)

    def cell_distribution(self, bins: int) -> Tensor:
        """(bins, ..., bins) float64 probabilities of equal cells under R / Z, exact."""
        edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
        total = torch.zeros((bins,) * self.dim, dtype=torch.float64)
        for height, pieces in zip(self.heights, _PIECES, strict=True):
            length = torch.zeros(bins, dtype=torch.float64)
            for low, high in pieces:
                length += (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(min=0)
            product = torch.ones((), dtype=torch.float64)
            for _ in range(self.dim):
                product = product[..., None] * length
            total += height * product
        return total / sum(self.masses)

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """(count, d) exact samples: one of the three sums, then evenly on its boxes.

        (By rejection from the cube the envelope would have to be R0 + R1 + R2, the reward of the
        rings, which is more than R0 plus either of the others.)
        """
        weight = torch.tensor(self.masses, device=device)
        part = torch.multinomial(weight, count, replacement=True, generator=generator)
        u = torch.rand(count, self.dim, device=device, generator=generator)
        points = u
        for k, pieces in enumerate(_PIECES):
            if len(pieces) == 2:  # of equal length: the first half of [0, 1] goes to the first
                (low, high), (upper, _) = pieces
                length = high - low
                second = u >= 0.5
                drawn = torch.where(second, upper - length, low) + 2 * length * u
                points = torch.where((part == k)[:, None], drawn, points)
        return points

    def __repr__(self) -> str:
        return f"RingedCorners({self.dim}, {', '.join(f'{h:g}' for h in self.heights)})"


_PIECES = (
    ((0.0, 1.0),),
    ((0.0, 0.25), (0.75, 1.0)),
    ((0.1, 0.2), (0.8, 0.9)),
)
"""Where each of the three indicators is 1 along one axis."""


class InnerDisk(CubeReward):
    """1 in the quarter disk about the source that a box can reach in one move, next to 0 outside.

    Args:
        delta: Its radius.
        outside: Reward outside.
    """

    def __init__(self, delta: float, outside: float = 1e-8) -> None:
        if not 0 < delta <= 1 or not 0 < outside <= 1:
            raise ConfigError(
                f"InnerDisk: delta and outside must lie in (0, 1], got {delta} and {outside}."
            )
        self.delta, self.outside = delta, outside
        disk = math.pi * delta**2 / 4
        self.log_z = math.log(disk + outside * (1 - disk))

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        near = states.norm(dim=-1) <= self.delta
        return torch.where(near, 0.0, states.new_tensor(self.outside).log())

    def __repr__(self) -> str:
        return f"InnerDisk({self.delta:g}, outside={self.outside:g})"

"""Seven densities of the plane, each by a formula that draws from it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.envs.energies.gray import GrayCode
from gflow.errors import ConfigError

Draw = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Plane:
    """A density of the plane.

    Attributes:
        name: As on the command line.
        draw: Gives (n, 2) float64 points.
        reach: L: points are told apart in the square [-L, L]^2, which is wider by about 2 than what
            5000 of them need, as in the literature; log-likelihoods of codes depend on it.
    """

    name: str
    draw: Draw
    reach: float

    def points(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 2) points.

        Raises:
            ConfigError: If none are wanted.
        """
        if count < 1:
            raise ConfigError(f"Plane.points: count must be at least 1, got {count}.")
        return self.draw(count, generator)

    def code(self, bits: int = 16) -> GrayCode:
        """How points are written."""
        return GrayCode(self.reach, bits)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _integer(generator: torch.Generator, high: int, count: int) -> Tensor:
    return torch.randint(high, (count,), generator=generator)


def _polar(radius: Tensor, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def spirals(count: int, g: torch.Generator) -> Tensor:
    """Two arms of one and a half turns, the second the first turned by half a turn."""
    angle = 3 * math.pi * _uniform(g, count).sqrt()
    point = _polar(-angle / 3, -angle) + _uniform(g, count, 2) / 6
    side = 2.0 * _integer(g, 2, count) - 1
    return side[:, None] * point + 0.1 * _normal(g, count, 2)


def gaussians(count: int, g: torch.Generator) -> Tensor:
    """Eight of standard deviation 0.5 / sqrt 2 on a circle of radius 4 / sqrt 2."""
    angle = _integer(g, 8, count) * (math.pi / 4)
    centre = _polar(torch.full_like(angle, 4.0, dtype=torch.float64), angle)
    return (centre + 0.5 * _normal(g, count, 2)) / math.sqrt(2)


def circles(count: int, g: torch.Generator) -> Tensor:
    """Two around one centre, of radius 3 and 1.5."""
    radius = 3.0 / (1 + _integer(g, 2, count))
    angle = 2 * math.pi * _uniform(g, count)
    return _polar(radius.double(), angle) + 0.24 * _normal(g, count, 2)


def moons(count: int, g: torch.Generator) -> Tensor:
    """Two half circles that grasp each other."""
    angle, lower = math.pi * _uniform(g, count), _integer(g, 2, count)
    x, y = angle.cos(), angle.sin()
    x, y = torch.where(lower == 1, 1 - x, x), torch.where(lower == 1, 0.5 - y, y)
    centred = torch.stack([2 * x - 1, 2 * y - 0.2], 1)
    return centred + 0.2 * _normal(g, count, 2)


def pinwheel(count: int, g: torch.Generator) -> Tensor:
    """Five blades: Gaussians whose points are turned the more the farther out they are."""
    along = 1 + 0.3 * _normal(g, count)
    across = 0.1 * _normal(g, count)
    turn = _integer(g, 5, count) * (2 * math.pi / 5) + 0.25 * along.exp()
    return 2 * torch.stack(
        [along * turn.cos() + across * turn.sin(), across * turn.cos() - along * turn.sin()], 1
    )


def swissroll(count: int, g: torch.Generator) -> Tensor:
    """A spiral of one and a half turns, evenly filled by angle."""
    angle = 1.5 * math.pi * (1 + 2 * _uniform(g, count))
    return _polar(angle, angle) / 5 + 0.2 * _normal(g, count, 2)


def checkerboard(count: int, g: torch.Generator) -> Tensor:
    """The black squares of a board of 4 x 4, each of side 2."""
    column = _integer(g, 4, count)
    row = 2 * _integer(g, 2, count) + column % 2
    corner = 2.0 * torch.stack([column, row], 1).double() - 4
    return corner + 2 * _uniform(g, count, 2)


DENSITIES = {
    plane.name: plane
    for plane in (
        Plane("2spirals", spirals, 5.5),
        Plane("8gaussians", gaussians, 6.2),
        Plane("circles", circles, 5.9),
        Plane("moons", moons, 5.6),
        Plane("pinwheel", pinwheel, 6.1),
        Plane("swissroll", swissroll, 5.4),
        Plane("checkerboard", checkerboard, 6.0),
    )
}
"""Every density by its name."""

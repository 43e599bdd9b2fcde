"""Moves of boxes: laws of displacements with densities, and laws with an atom beside them."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from gflow.environment.density import Density
from gflow.envs.cubes.atom import Atom
from gflow.envs.cubes.beta_mixture import BetaMixture, inside

QUARTER = math.pi / 2


class Displacement(ABC):
    """A law of N vectors (N, d) with a density."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(N, d) vectors."""

    @abstractmethod
    def log_prob(self, move: Tensor) -> Tensor:
        """(N,) log-density of (N, d) vectors."""

    @abstractmethod
    def take(self, rows: Tensor) -> "Displacement":
        """The laws of some of the vectors."""


class QuarterDisk(Displacement):
    r"""Vectors in the plane with non-negative parts and a norm of at most `delta`; per area.

    .. math:: p(a) = \frac{g_r(\rho)\, g_\theta(\theta)}{\rho\delta \cdot \pi/2 \cdot \delta},
              \quad \rho = |a| / \delta, \quad \theta = \angle a / (\pi/2)

    Args:
        delta: Radius.
        place: g_r and g_theta, of (N, 2) numbers.
    """

    def __init__(self, delta: float, place: BetaMixture) -> None:
        self.delta, self.place = delta, place

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(N, 2) vectors."""
        rho, theta = self.place.sample(generator).unbind(-1)
        return (self.delta * rho)[:, None] * direction(theta)

    def log_prob(self, move: Tensor) -> Tensor:
        """(N,) log-density per area."""
        place = inside(torch.stack([move.norm(dim=-1) / self.delta, turn(move)], -1))
        jacobian = place[:, 0].log() + 2 * math.log(self.delta) + math.log(QUARTER)
        return self.place.log_prob(place).sum(-1) - jacobian

    def take(self, rows: Tensor) -> "QuarterDisk":
        """The laws of some of the vectors."""
        return QuarterDisk(self.delta, self.place.take(rows))


class Arc(Displacement):
    r"""Vectors in the plane of norm `delta` with an angle in an interval; per arc length.

    .. math:: p(a) = \frac{g(v)}{\delta \cdot \pi/2 \cdot (B - A)}, \quad
              v = \frac{\theta - A}{B - A}, \quad \theta = \angle a / (\pi/2)

    Args:
        delta: Norm.
        low: (N,) A, in quarter turns.
        width: (N,) B - A, positive.
        place: g, of N numbers.
    """

    def __init__(self, delta: float, low: Tensor, width: Tensor, place: BetaMixture) -> None:
        self.delta, self.low, self.width, self.place = delta, low, width, place

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(N, 2) vectors."""
        return self.delta * direction(self.low + self.width * self.place.sample(generator))

    def log_prob(self, move: Tensor) -> Tensor:
        """(N,) log-density per arc length."""
        v = inside((turn(move) - self.low) / self.width)
        return self.place.log_prob(v) - self.width.log() - math.log(self.delta * QUARTER)

    def take(self, rows: Tensor) -> "Arc":
        """The laws of some of the vectors."""
        return Arc(self.delta, self.low[rows], self.width[rows], self.place.take(rows))


class Increments(Displacement):
    r"""Vectors whose coordinates are independent, each in an interval of its own; per volume.

    .. math:: p(a) = \prod_i \frac{g_i(r_i)}{w_i}, \quad r_i = \frac{a_i - l_i}{w_i}

    Args:
        low: (N, d) l.
        width: (N, d) w, positive.
        place: g, of (N, d) numbers.
    """

    def __init__(self, low: Tensor, width: Tensor, place: BetaMixture) -> None:
        self.low, self.width, self.place = low, width, place

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(N, d) vectors."""
        return self.low + self.width * self.place.sample(generator)

    def log_prob(self, move: Tensor) -> Tensor:
        """(N,) log-density per volume."""
        r = inside((move - self.low) / self.width)
        return (self.place.log_prob(r) - self.width.log()).sum(-1)

    def take(self, rows: Tensor) -> "Increments":
        """The laws of some of the vectors."""
        return Increments(self.low[rows], self.width[rows], self.place.take(rows))


def direction(theta: Tensor) -> Tensor:
    """(N, 2) unit vectors of angles in quarter turns."""
    return torch.stack([torch.cos(QUARTER * theta), torch.sin(QUARTER * theta)], -1)


def turn(move: Tensor) -> Tensor:
    """(N,) angles of (N, 2) vectors in quarter turns; atan2 keeps its digits at both axes."""
    return torch.atan2(move[:, 1], move[:, 0]) / QUARTER


class StopOrMove(Density[Tensor]):
    """Forward: stop, or move up by one law from the source and by another from elsewhere.

    Args:
        states: (N, d) points.
        source: (N,) bool: the point is the source, where nothing stops.
        stop: The stop.
        first: Law of moves from the source.
        later: Law of other moves.
    """

    def __init__(
        self, states: Tensor, source: Tensor, stop: Atom, first: Displacement, later: Displacement
    ) -> None:
        self.states, self.source, self.stop = states, source, stop
        self.first, self.later = first, later

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """(N, d) next points, and which stop instead."""
        first, later = self.first.sample(generator), self.later.sample(generator)
        move = torch.where(self.source[:, None], first, later)
        return (self.states + move).clamp(max=1.0), self.stop.sample(generator)

    def log_prob(self, states: Tensor) -> Tensor:
        """(N,) log-density of moving to N points."""
        move = states - self.states
        return torch.where(
            self.source, self.first.log_prob(move), self.stop.no + self.later.log_prob(move)
        )

    @property
    def log_stop(self) -> Tensor:
        """(N,) log-probability of stopping."""
        return self.stop.yes

    def take(self, rows: Tensor) -> "StopOrMove":
        """The laws of some of the points."""
        parts = (part.take(rows) for part in (self.first, self.later))
        return StopOrMove(self.states[rows], self.source[rows], self.stop.take(rows), *parts)


class HomeOrBack(Density[Tensor]):
    """Backward: go back to the source at once, or move down.

    Args:
        states: (N, d) points.
        home: The move to the source.
        back: Law of the vectors to be taken off.
    """

    def __init__(self, states: Tensor, home: Atom, back: Displacement) -> None:
        self.states, self.home, self.back = states, home, back

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Tensor, None]:
        """(N, d) previous points."""
        # No rounding may take a move down for the move to the source, which is the point 0.
        least = torch.finfo(self.states.dtype).tiny
        parent = (self.states - self.back.sample(generator)).clamp(min=least)
        return parent.masked_fill(self.home.sample(generator)[:, None], 0.0), None

    def log_prob(self, states: Tensor) -> Tensor:
        """(N,) log-density of N previous points, log-probability where they are the source."""
        moved = self.home.no + self.back.log_prob(self.states - states)
        return torch.where((states == 0).all(-1), self.home.yes, moved)

    def take(self, rows: Tensor) -> "HomeOrBack":
        """The laws of some of the points."""
        return HomeOrBack(self.states[rows], self.home.take(rows), self.back.take(rows))

"""From a number to how well it serves, between 0 and 1."""

import math
from dataclasses import dataclass
from typing import Protocol


class Shape(Protocol):
    """A function from any number to [0, 1]."""

    def __call__(self, value: float) -> float:
        """In [0, 1]."""
        ...


@dataclass(frozen=True)
class Upto:
    """A straight line from 0 at 0 to 1 at `full`, and 1 beyond."""

    full: float = 1.0

    def __call__(self, value: float) -> float:
        """In [0, 1]."""
        return min(max(value / self.full, 0.0), 1.0)


@dataclass(frozen=True)
class Bell:
    """exp(-(value - mean)^2 / (2 width^2))."""

    mean: float
    width: float

    def __call__(self, value: float) -> float:
        """In (0, 1]."""
        return math.exp(-0.5 * ((value - self.mean) / self.width) ** 2)


@dataclass(frozen=True)
class AtMost(Bell):
    """1 up to `mean`, a bell above."""

    def __call__(self, value: float) -> float:
        """In (0, 1]."""
        return super().__call__(max(value, self.mean))


@dataclass(frozen=True)
class AtLeast(Bell):
    """1 from `mean` on, a bell below."""

    def __call__(self, value: float) -> float:
        """In (0, 1]."""
        return super().__call__(min(value, self.mean))

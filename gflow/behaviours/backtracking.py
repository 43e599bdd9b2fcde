"""How far local search goes back: which transitions of a trajectory are kept."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from gflow.bounds import Count, Share
from gflow.checks import checked
from gflow.errors import ConfigError


class Backtracking(ABC):
    """The distribution q(c | n) of the number c of transitions kept out of n.

    Undoing a stop counts as one transition, and at least one is undone.

    Attributes:
        name: As on the command line, or a sign of the number that stands there.
    """

    name: ClassVar[str]

    @abstractmethod
    def keep(self, length: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B,) int64 number of transitions kept of trajectories of `length` (B,)."""

    @abstractmethod
    def log_prob(self, keep: Tensor, length: Tensor) -> Tensor:
        """(B,) float64 log q(keep | length); -inf where it cannot be drawn."""


class RandomSteps(Backtracking):
    """K uniform in 1 ... n, so that every prefix is as likely: q(c | n) = 1 / n for c < n."""

    name = "random"

    def keep(self, length: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B,) uniform in 0 ... n - 1."""
        u = torch.rand(length.shape, dtype=torch.float64, device=length.device, generator=generator)
        return torch.minimum((u * length).long(), (length - 1).clamp(min=0))

    def log_prob(self, keep: Tensor, length: Tensor) -> Tensor:
        """(B,) -log n."""
        return -length.double().log().where(keep < length, torch.inf)


class UpTo(Backtracking):
    """K uniform in 1 ... min(S, n).

    Args:
        steps: S.
    """

    name = "up_to"

    @checked
    def __init__(self, steps: Count) -> None:
        self.steps = steps

    def keep(self, length: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B,) uniform in max(0, n - S) ... n - 1."""
        u = torch.rand(length.shape, dtype=torch.float64, device=length.device, generator=generator)
        most = length.clamp(max=self.steps)
        return (length - 1 - torch.minimum((u * most).long(), most - 1)).clamp(min=0)

    def log_prob(self, keep: Tensor, length: Tensor) -> Tensor:
        """(B,) -log min(S, n); -inf where more are undone."""
        undone, most = length - keep, length.clamp(max=self.steps)
        return -most.double().log().where((undone > 0) & (undone <= most), torch.inf)


class _Certain(Backtracking):
    """A length says how much is kept."""

    def log_prob(self, keep: Tensor, length: Tensor) -> Tensor:
        """(B,) 0 where so many are kept, else -inf."""
        return torch.zeros(keep.shape, dtype=torch.float64, device=keep.device).where(
            keep == self.keep(length), -torch.inf
        )


class FixedSteps(_Certain):
    """K transitions, all if there are fewer: the candidate is then a fresh trajectory.

    Where lengths differ, K transitions back from the candidate may not lead to where it left the
    trajectory; then q(c | n') = 0, and exact filters reject it.

    Args:
        steps: K.
    """

    name = "K"

    @checked
    def __init__(self, steps: Count) -> None:
        self.steps = steps

    def keep(self, length: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B,) n - K, or 0."""
        return (length - self.steps).clamp(min=0)


class FractionSteps(_Certain):
    """A fraction f of the trajectory, rounded up to whole transitions.

    Args:
        fraction: f, in (0, 1].
    """

    name = "F"

    @checked
    def __init__(self, fraction: Share) -> None:
        self.fraction = fraction

    def keep(self, length: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B,) n - ceil(f n)."""
        # Less a hair, so that a fraction such as 0.1 of 10 is 1 whatever its binary digits.
        undone = (self.fraction * length.double() - 1e-9).ceil().long()
        return (length - undone.clamp(min=1)).clamp(min=0)


def backtracking(steps: int | float | str | Backtracking) -> Backtracking:
    """From a setting: a whole number is K, one with a point a fraction, "random" a random K.

    Raises:
        ConfigError: If it is none of these.

    Example:
        >>> [type(backtracking(s)).__name__ for s in (4, "4", 0.5, "0.5", "random")]
        ['FixedSteps', 'FixedSteps', 'FractionSteps', 'FractionSteps', 'RandomSteps']
    """
    if isinstance(steps, Backtracking):
        return steps
    if steps == RandomSteps.name:
        return RandomSteps()
    try:
        number = float(steps)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"The number of transitions to undo must be a whole number, a fraction with a point, "
            f"such as 0.5, or 'random'; got {steps!r}."
        )
    whole = isinstance(steps, int) or (isinstance(steps, str) and steps.strip().isdigit())
    return FixedSteps(int(number)) if whole else FractionSteps(number)

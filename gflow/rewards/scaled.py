"""A reward multiplied by a factor that knows the objects and, if need be, what is asked of them."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from gflow.rewards.base import LogReward
from gflow.rewards.values import real

S = TypeVar("S")


class Scaled(LogReward[S]):
    """R(x) f(x, c): a reward that reads no condition, times a factor that may.

    Args:
        reward: R.
        log_factor: From B finished objects and (B, C) conditions, or None, to (B,) log f.
    """

    def __init__(
        self, reward: LogReward[S], log_factor: Callable[[S, Tensor | None], Tensor]
    ) -> None:
        self.reward, self.log_factor = reward, log_factor

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R + log f."""
        value: Any = self.reward(states)
        return real(value, f"The reward {self.reward!r}") + self.log_factor(states, condition)

    def foresee(self, states: S) -> bool:
        """As the reward can."""
        return self.reward.foresee(states)

    def __repr__(self) -> str:
        return f"Scaled({self.reward!r})"

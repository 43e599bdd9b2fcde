"""Rewards with several objectives: raw scores, and how they become one number."""

import copy
from abc import abstractmethod
from typing import Self, TypeVar

from torch import Tensor

from gflow.rewards.base import LogReward
from gflow.rewards.scalarizations import LogSum, Scalarization
from gflow.rewards.values import real

S = TypeVar("S")


class VectorReward(LogReward[S]):
    """K raw objectives per object, each to be made large, and a rule that makes them a log-reward.

    Order-preserving objectives and Pareto archives read the scores; all others read the scalar.
    Because the scalar is a function of scores and condition alone, objects can be given another
    condition afterwards without being scored again.

    Args:
        scalarization: (B, K) scores and the condition to (B,) log R; see
            `gflow.rewards.scalarizations`. By default the logarithm of the mean.

    Attributes:
        num_scores: K.
        score_names: K names, for tables.
    """

    score_names: tuple[str, ...] = ()

    def __init__(self, scalarization: Scalarization | None = None) -> None:
        self.scalarization = LogSum() if scalarization is None else scalarization

    def combined(self, scalarization: Scalarization) -> Self:
        """The same scores, combined otherwise."""
        other = copy.copy(self)
        other.scalarization = scalarization
        return other

    @property
    def condition_dim(self) -> int:
        """Width of the condition that the scalarization reads, 0 for none; what `env` must say."""
        return self.scalarization.condition_dim(self.num_scores)

    @abstractmethod
    def scores(self, states: S) -> Tensor:
        """(B, K) raw objectives of B finished objects."""

    def from_scores(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of objects whose scores are known."""
        return self.scalarization(scores, condition)

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self.from_scores(real(self.scores(states), f"`scores` of {self!r}"), condition)

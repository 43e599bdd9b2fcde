"""Rewards with several objectives: raw scores, and how they become one number."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from gflow.reward import LogReward

S = TypeVar("S")

Scalarization = Callable[[Tensor, Tensor | None], Tensor]
"""(B, K) raw scores and (B, C) conditions or None to (B,) log R."""


class VectorReward(LogReward[S]):
    """K raw objectives per object, each to be made large, and a rule that makes them a log-reward.

    Order-preserving objectives and Pareto archives read the scores; all others read the scalar.
    Because the scalar is a function of scores and condition alone, objects can be given another
    condition afterwards without being scored again.

    Args:
        scalarization: (B, K) scores and the condition to (B,) log R.

    Attributes:
        num_scores: K.
        score_names: K names, for tables.
    """

    score_names: tuple[str, ...] = ()

    def __init__(self, scalarization: Scalarization) -> None:
        self.scalarization = scalarization

    @abstractmethod
    def scores(self, states: S) -> Tensor:
        """(B, K) raw objectives of B finished objects."""

    def from_scores(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of objects whose scores are known."""
        return self.scalarization(scores, condition)

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self.from_scores(self.scores(states), condition)


class LogSum:
    """log R = beta log mean_k w_k u_k with fixed weights, kept above `low`.

    Args:
        weights: (K,) positive, or None for equal ones.
        beta: Inverse temperature.
        low: Smallest log-reward.
    """

    def __init__(
        self, weights: Tensor | None = None, beta: float = 1.0, low: float = -75.0
    ) -> None:
        self.weights, self.beta, self.low = weights, beta, low

    def __call__(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        if self.weights is None:
            total = scores.mean(-1)
        else:
            total = scores @ (self.weights / self.weights.sum()).to(scores)
        return (self.beta * total.clamp(min=torch.finfo(total.dtype).tiny).log()).clamp(self.low)

"""Laws: how the next move of each of N states is distributed."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

M = TypeVar("M")


class Law(ABC, Generic[M]):
    """The law of one move at each of N states: all that sampling and evaluation ask.

    Environments make laws, from the raw outputs of a policy (`Environment.law`,
    `Environment.backward_law`) or from what they know themselves (`Environment.chance_law`). Two
    kinds are there: `Categorical` for numbered moves and `Density` for the others.
    """

    @abstractmethod
    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[M, Tensor | None]:
        """N moves, and (N,) bool which rows stop instead; None if a stop is no matter of its own.

        Nothing is differentiated through.

        Args:
            generator: Source of randomness.
            noise: Standard deviation added to that of Gaussian moves, for exploration; what is
                drawn changes and `log_prob` does not.
        """

    @abstractmethod
    def log_prob(self, moves: M) -> Tensor:
        """(N,) log-probabilities, or log-densities, of N legal moves."""

    @abstractmethod
    def take(self, rows: Tensor) -> "Law[M]":
        """The laws of some of the states, (M,) int64 or bool; a state may be taken repeatedly."""

    @abstractmethod
    def where(self, condition: Tensor, other: "Law[M]") -> "Law[M]":
        """Row by row this law where `condition` (N,) holds, else `other`."""

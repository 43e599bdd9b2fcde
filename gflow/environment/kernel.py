"""Kernels: laws over next states that have densities, or atoms and densities."""

import math
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

from gflow.errors import IncompatibleError

S = TypeVar("S")


class Kernel(ABC, Generic[S]):
    """The law of the next state for each of N states: the counterpart of masked logits.

    A kernel may have atoms: a stop with the probability of `log_stop`, or a forced move, whose
    log-probability is exactly 0. What is not an atom has a density. The forward and the backward
    kernel of one edge must use the same reference measure, else residuals do not vanish.
    """

    @abstractmethod
    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[S, Tensor | None]:
        """N next states, and (N,) bool which stop instead, or None if none can.

        Nothing is differentiated through. The next state of a row that stops means nothing.

        Args:
            generator: Source of randomness.
            noise: Standard deviation added to that of a Gaussian kernel, for exploration; what is
                drawn changes and `log_prob` does not.
        """

    @abstractmethod
    def log_prob(self, states: S) -> Tensor:
        """(N,) log-density of moving to N states, that of not stopping included."""

    def retrace(self, states: S) -> S:
        """N given next states as functions of the kernel: its noise, found in them, is held fixed.

        The values are those given; gradients go to the parameters of the kernel and to the states
        that it leaves.

        Raises:
            IncompatibleError: If the kernel is not reparametrised.
        """
        raise IncompatibleError(
            f"{type(self).__name__} is not reparametrised: its next states are no differentiable "
            f"function of its parameters and a noise. Use tb, vargrad, db or subtb."
        )

    @property
    def log_stop(self) -> Tensor | None:
        """(N,) log-probability of stopping, 0 where it is forced; None if nothing can stop."""
        return None


def gaussian_log_prob(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """(N,) log-density of N(mean, variance) at (N, d) `x`, the coordinates independent.

    Args:
        x: (N, d).
        mean: (N, d) or what broadcasts.
        variance: (N, d) or (N, 1), positive.
    """
    square = (x - mean).square()
    if variance.shape[-1] == 1:
        inverse = -0.5 / variance.squeeze(-1)
        norm = -0.5 * x.shape[-1] * (2 * math.pi * variance.squeeze(-1)).log()
        return square.sum(-1) * inverse + norm
    return (square / variance + (2 * math.pi * variance).log()).sum(-1) * -0.5

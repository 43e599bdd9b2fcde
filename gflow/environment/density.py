"""Densities: laws of next states that have densities, or atoms and densities."""

import math
from abc import abstractmethod
from typing import TypeVar, cast

import torch
from torch import Tensor

from gflow.environment.law import Law
from gflow.errors import IncompatibleError
from gflow.state import where

S = TypeVar("S")


class Density(Law[S]):
    """The law of the next state of each of N states.

    It may have atoms: a stop with the probability of `log_stop`, or a forced move, whose
    log-probability is exactly 0. What is not an atom has a density. The forward and the backward
    law of one transition must use the same reference measure, else residuals do not vanish.
    """

    @abstractmethod
    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[S, Tensor | None]:
        """N next states, and (N,) bool which stop instead, or None if none can.

        The next state of a row that stops means nothing; see `Law.sample`.
        """

    @abstractmethod
    def log_prob(self, states: S) -> Tensor:
        """(N,) log-density of moving to N states, that of not stopping included."""

    def timed(self, first: int, times: int) -> "Density[S]":
        """The same law, told when its N states are met.

        They are `times` runs of N / `times` states, which trajectories from the source reach after
        `first`, `first` + 1, ... moves: what depends on the time alone is looked up once a run.
        Laws that read no time are as they were.

        Args:
            first: Moves that lead to the states of the first run.
            times: Number of runs.
        """
        return self

    def retrace(self, states: S) -> S:
        """N given next states as functions of the law: its noise, found in them, is held fixed.

        The values are those given; gradients go to the parameters of the law and to the states
        that it leaves.

        Raises:
            IncompatibleError: If the law is not reparametrised.
        """
        raise IncompatibleError(
            f"{type(self).__name__} is not reparametrised: its next states are no differentiable "
            f"function of its parameters and a noise. Use tb, vargrad, db or subtb."
        )

    @property
    def log_stop(self) -> Tensor | None:
        """(N,) log-probability of stopping, 0 where it is forced; None if nothing can stop."""
        return None

    def take(self, rows: Tensor) -> "Density[S]":
        """The laws of some of the states; see `Law.take`.

        Raises:
            IncompatibleError: If the law does not define it. Sampling and evaluation need it for
                numbered moves only.
        """
        raise IncompatibleError(
            f"{type(self).__name__} defines no `take`. Make the law of those states instead."
        )

    def where(self, condition: Tensor, other: Law[S]) -> "Either[S]":
        """Row by row this law where `condition` (N,) holds, else `other`, a density too."""
        return Either(condition, self, cast(Density[S], other))


class Either(Density[S]):
    """One of two laws for each of N states.

    Args:
        condition: (N,) bool: which rows have the first.
        first: N laws.
        second: N laws.
    """

    def __init__(self, condition: Tensor, first: Density[S], second: Density[S]) -> None:
        self.condition, self.first, self.second = condition, first, second

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[S, Tensor | None]:
        """N next states; noise is added to the first law only."""
        one, stops = self.first.sample(generator, noise)
        two, others = self.second.sample(generator)
        if stops is not None or others is not None:
            none = torch.zeros_like(self.condition)
            stops = torch.where(
                self.condition,
                none if stops is None else stops,
                none if others is None else others,
            )
        return where(self.condition, one, two), stops

    def log_prob(self, states: S) -> Tensor:
        """(N,) log-density under the law of each row."""
        return _choose(self.condition, self.first.log_prob(states), self.second.log_prob(states))

    def retrace(self, states: S) -> S:
        """N given next states as functions of the law of each row."""
        return where(self.condition, self.first.retrace(states), self.second.retrace(states))

    @property
    def log_stop(self) -> Tensor | None:
        """(N,) log-probability of stopping, -inf where the law of the row knows no stop."""
        one, two = self.first.log_stop, self.second.log_stop
        if one is None and two is None:
            return None
        known = one if one is not None else two
        assert known is not None
        never = torch.full_like(known, -torch.inf)
        return _choose(self.condition, never if one is None else one, never if two is None else two)

    def take(self, rows: Tensor) -> "Either[S]":
        """The laws of some of the states."""
        return Either(self.condition[rows], self.first.take(rows), self.second.take(rows))


def _choose(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """(N,) `yes` or `no`; what is not chosen sends no gradient, were it infinite."""
    return torch.where(condition, yes.where(condition, 0.0), no.where(~condition, 0.0))


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

"""Means of bounded numbers that must be equal, with their standard errors."""

import torch
from torch import Tensor

SIGMAS = 6.0
"""Differences of fewer standard errors than this are noise."""


def apart(one: Tensor, other: Tensor) -> Tensor:
    """(K,) standard errors between the means of two independent samples (N, K)."""
    gap = one.mean(0) - other.mean(0)
    spread = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
    return _ratio(gap, spread)


def off_zero(sample: Tensor) -> Tensor:
    """(K,) standard errors between the mean of a sample (N, K) and 0."""
    return _ratio(sample.mean(0), (sample.var(0) / len(sample)).sqrt())


def _ratio(gap: Tensor, spread: Tensor) -> Tensor:
    """Standard errors; what does not vary and is rounding apart counts as equal."""
    return gap.abs() / spread.clamp(min=1e-7)


def bounded(values: Tensor, like: Tensor) -> Tensor:
    """(N, K) columns brought to the middle and spread of `like` and cut at 3 spreads."""
    middle = like.median(0).values
    spread = (like - middle).abs().mean(0).clamp(min=1e-9)
    return ((values - middle) / spread).clamp(-3, 3)


def pick(count: int, at_most: int, generator: torch.Generator) -> Tensor:
    """(min(count, at_most),) int64 rows at random, in order."""
    return torch.randperm(count, generator=generator)[:at_most].sort().values

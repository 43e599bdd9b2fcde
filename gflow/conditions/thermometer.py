"""Codes that networks read numbers with: thermometers, and what stands beside them."""

import math

import torch
from torch import Tensor, nn

from gflow.errors import ConfigError


class Thermometer(nn.Module):
    r"""A number as a rising column of `size` marks: equal changes look equally large everywhere.

    With gap g = (high - low) / (size - 1), mark k is clip(c - low - k g, 0, g) / g. Above `high`
    (by a gap) all numbers look alike, and so do all below `low`.

    Args:
        low: Value at which all marks are empty.
        high: Value at which all but the last are full.
        size: Number of marks.
        ratios: Read the logarithm, so that equal ratios look equally large.
    """

    def __init__(self, low: float, high: float, size: int = 32, ratios: bool = False) -> None:
        super().__init__()
        if not low < high or size < 2 or (ratios and not low > 0):
            above = "0 < low < high" if ratios else "low < high"
            raise ConfigError(
                f"Thermometer: need {above} and size >= 2, got {low}, {high}, {size}."
            )
        self.out_features, self.ratios = size, ratios
        if ratios:
            low, high = math.log(low), math.log(high)
        self.low, self.gap = low, (high - low) / (size - 1)

    def forward(self, condition: Tensor) -> Tensor:
        """(N, size) marks for conditions (N, 1)."""
        if self.ratios:
            condition = condition.clamp(min=math.exp(self.low)).log()
        steps = torch.arange(self.out_features, device=condition.device, dtype=condition.dtype)
        return ((condition - self.low) / self.gap - steps).clamp(0, 1)


class MarksBeside(nn.Module):
    """A condition whose last entry is read by marks, and the entries before it in another way.

    Args:
        others: How many entries there are before the last, or in all without `last`.
        last: Reads the last entry, (N, 1); None if there is no such entry.
        each: Reads each of the others, (N, 1); None takes them as they are.
    """

    def __init__(
        self, others: int, last: Thermometer | None = None, each: Thermometer | None = None
    ) -> None:
        super().__init__()
        self.others, self.last, self.each = others, last, each
        self.out_features = others * (1 if each is None else each.out_features)
        self.out_features += 0 if last is None else last.out_features

    def forward(self, condition: Tensor) -> Tensor:
        """(N, out_features) for conditions (N, others) or (N, others + 1)."""
        read = condition[:, : self.others]
        if self.each is not None:
            read = self.each(read.reshape(-1, 1)).view(len(read), -1)
        if self.last is None:
            return read
        return torch.cat([read, self.last(condition[:, self.others :])], -1)

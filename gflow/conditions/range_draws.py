"""Ranges of quantities: drawn for every trajectory, and read by networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gflow.conditions.draws import ConditionSampler, in_turns
from gflow.conditions.thermometer import Thermometer
from gflow.ranges import Range

OPEN = 1e9
"""An end of a range that is left open, of either sign: beyond all quantities."""


class RangeDraw(ConditionSampler):
    """(count, 2 K) lower ends and upper ends of K ranges.

    Of each quantity the middle of a range is uniform on the interval, and its length uniform
    between `narrow` and `wide` times that of the interval. Ends of ranges of whole numbers are
    rounded, so that there is one in each.

    Args:
        ranges: K intervals.
        whole: Which of the quantities are whole numbers.
        narrow: Shortest range, as a share of its interval.
        wide: Longest.
        free: Probability that nothing is asked of a quantity.
        open_end: Probability of each end of the others to be open.
        repeat: Each draw serves this many trajectories in a row.
    """

    def __init__(
        self,
        ranges: Sequence[Range],
        whole: Sequence[bool],
        narrow: float,
        wide: float,
        free: float = 0.0,
        open_end: float = 0.0,
        repeat: int = 1,
    ) -> None:
        self.ranges, self.whole = tuple(ranges), tuple(whole)
        self.narrow, self.wide, self.free, self.open_end = narrow, wide, free, open_end
        self.repeat = repeat

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, 2 K)."""
        device = generator.device if generator is not None else torch.device("cpu")
        draws, k = max(1, count // self.repeat), len(self.ranges)
        unit = torch.rand(5, draws, k, generator=generator, device=device)
        first = unit.new_tensor([r.low for r in self.ranges])
        length = unit.new_tensor([r.high for r in self.ranges]) - first
        middle = first + length * unit[0]
        half = length * (self.narrow + (self.wide - self.narrow) * unit[1]) / 2
        whole = torch.tensor(self.whole, device=device)
        low, high = middle - half, middle + half
        low, high = torch.where(whole, low.round(), low), torch.where(whole, high.round(), high)
        free = unit[2] < self.free
        low = torch.where(free | (unit[3] < self.open_end), -OPEN, low)
        high = torch.where(free | (unit[4] < self.open_end), OPEN, high)
        return torch.cat([low, high], 1)[in_turns(count, self.repeat, device)]


class RangeEncoder(nn.Module):
    """Both ends of each range by a `Thermometer` over the interval from which ranges are drawn.

    Args:
        ranges: K intervals.
        over: Share of its length by which ends may lie outside of an interval.
        marks: Marks of each end.
    """

    first: Tensor
    length: Tensor

    def __init__(self, ranges: Sequence[Range], over: float, marks: int) -> None:
        super().__init__()
        first = torch.tensor([r.low for r in ranges])
        length = torch.tensor([r.high for r in ranges]) - first
        self.register_buffer("first", (first - over * length).repeat(2), persistent=False)
        self.register_buffer("length", ((1 + 2 * over) * length).repeat(2), persistent=False)
        self.marks = Thermometer(0.0, 1.0, marks)
        self.out_features = 2 * len(ranges) * marks

    def forward(self, condition: Tensor) -> Tensor:
        """(N, 2 K marks) for conditions (N, 2 K)."""
        unit = (condition - self.first) / self.length
        marks: Tensor = self.marks(unit.reshape(-1, 1))
        return marks.view(len(condition), -1)

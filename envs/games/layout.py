"""Where the stones of a board are kept: all in one number, or a number for each column."""

from abc import ABC, abstractmethod
from functools import cache

import torch
from torch import Tensor

MOST_ROWS = 30
"""The stones of a column are bits of a 32-bit number."""

BITS = 62
"""Boards of as many cells, one empty row on top of each column among them, fit in one number."""


class Layout(ABC):
    """Stones of one player as bits of w numbers; the lowest bit of a column is its row 0.

    Args:
        rows: R.
        columns: C.
        line: Stones in a row that win.

    Attributes:
        numbers: w.
        dtype: Of the numbers.
    """

    numbers: int
    dtype: torch.dtype

    def __init__(self, rows: int, columns: int, line: int) -> None:
        self.rows, self.columns, self.line = rows, columns, line

    @abstractmethod
    def home(self, device: torch.device) -> Tensor:
        """(C,) int64 in which number each column is."""

    @abstractmethod
    def shift(self, device: torch.device) -> Tensor:
        """(C,) by how many bits each column is shifted in its number."""

    @abstractmethod
    def has_line(self, stones: Tensor) -> Tensor:
        """(B,) bool whether the (B, w) stones of one player hold a line."""

    def columns_of(self, stones: Tensor) -> Tensor:
        """(..., C) the stones of each column, from (..., w)."""
        shift = self.shift(stones.device)
        return (stones[..., self.home(stones.device)] >> shift) & ((1 << self.rows) - 1)

    @abstractmethod
    def of_columns(self, columns: Tensor) -> Tensor:
        """(..., w) from the stones of each column, (..., C)."""

    def runs(self, length: int) -> list[int]:
        """By how much runs of 1, 2, ... stones grow at a time, to become `length` long."""
        steps, have = [], 1
        while have < length:
            steps.append(min(have, length - have))
            have += steps[-1]
        return steps


class OneNumber(Layout):
    """A board in one number of 64 bits, an empty cell on top of each column."""

    numbers = 1
    dtype = torch.int64

    @cache
    def home(self, device: torch.device) -> Tensor:
        """All in the same."""
        return torch.zeros(self.columns, dtype=torch.int64, device=device)

    @cache
    def shift(self, device: torch.device) -> Tensor:
        """One after the other."""
        return (self.rows + 1) * torch.arange(self.columns, device=device)

    def of_columns(self, columns: Tensor) -> Tensor:
        """(..., 1) int64."""
        return (columns.long() << self.shift(columns.device)).sum(-1, keepdim=True)

    def has_line(self, stones: Tensor) -> Tensor:
        """Up, right, falling and rising are each a number of bits apart.

        The empty cells between columns end what would run from one into the next.
        """
        board, found = stones[:, 0], None
        for apart in (1, self.rows + 1, self.rows, self.rows + 2):
            run = board
            for more in self.runs(self.line):
                run = run & (run >> more * apart)
            found = run if found is None else found | run
        assert found is not None
        return found != 0


class ManyNumbers(Layout):
    """A number of 32 bits for each column, for boards of any number of columns."""

    dtype = torch.int32

    def __init__(self, rows: int, columns: int, line: int) -> None:
        super().__init__(rows, columns, line)
        self.numbers = columns

    @cache
    def home(self, device: torch.device) -> Tensor:
        """Each in its own."""
        return torch.arange(self.columns, device=device)

    @cache
    def shift(self, device: torch.device) -> Tensor:
        """By nothing."""
        return torch.zeros(self.columns, dtype=self.dtype, device=device)

    def of_columns(self, columns: Tensor) -> Tensor:
        """As they are."""
        return columns.to(self.dtype)

    def has_line(self, stones: Tensor) -> Tensor:
        """Side by side along the columns, (C, B), so that memory is read in order."""
        up = right = rising = falling = stones.T.contiguous()
        for more in self.runs(self.line):
            up = up & (up >> more)
            right = right[more:] & right[:-more]
            rising = (rising[more:] >> more) & rising[:-more]
            falling = falling[more:] & (falling[:-more] >> more)
        return (up != 0).any(0) | ((right | rising | falling) != 0).any(0)


def layout_of(rows: int, columns: int, line: int) -> Layout:
    """One number if it holds the board."""
    fits = (rows + 1) * columns <= BITS
    return (OneNumber if fits else ManyNumbers)(rows, columns, line)

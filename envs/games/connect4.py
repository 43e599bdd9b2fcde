"""Connect Four, on boards of any size."""

from functools import cache

import torch
from torch import Tensor

from gflow.envs.games.board import RowGame


class Connect4(RowGame):
    r"""Each player drops a stone into a column by turns; `line` stones in a row win.

    **State.** See `RowGame`; row 0 is the bottom.

    **Moves.** Columns, from the left.

    **Size.** Of 4 x 4: 161,029 positions, 41,750 if three in a row win. Of 6 x 7: 4.5e12.

    Args:
        rows: R.
        columns: C.
        line: Stones in a row that win.
        scale: lambda; see `Game`.

    Example:
        >>> game = Connect4(4, 4)
        >>> game.show(game.play([[1, 1, 2]]))
        ['..../..../.O../.XX.']

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    num_symmetries = 2
    row_zero = "lower"

    def __init__(self, rows: int = 6, columns: int = 7, line: int = 4, scale: float = 10.0) -> None:
        super().__init__(rows, columns, line, scale)
        self.num_actions = columns

    def image(self, states: Tensor, which: int) -> Tensor:
        """The boards, or their mirror images."""
        if not which:
            return states
        return self.with_stones(states, self.stones(states).flip(-1))

    def move_images(self, device: torch.device | str = "cpu") -> Tensor:
        """(2, C) columns, and columns from the right."""
        column = torch.arange(self.columns, device=device)
        return torch.stack([column, column.flip(0)])

    def show(self, states: Tensor) -> list[str]:
        """Rows from the top, with strokes between."""
        return ["/".join(lines[::-1]) for lines in self._lines(states)]

    def board_text(self, states: Tensor) -> list[str]:
        """Rows from the top, and beneath them the numbers of the columns."""
        width = len(str(self.columns)) + 1
        below = [str(i + 1) for i in range(self.columns)]
        return [
            "\n".join("".join(mark.rjust(width) for mark in row) for row in [*lines[::-1], below])
            for lines in self._lines(states)
        ]

    def openspiel_name(self) -> str:
        """Boards of every size are there."""
        return f"connect_four(rows={self.rows},columns={self.columns},x_in_row={self.line})"

    def move_text(self, action: int) -> str:
        """Columns are numbered from 1."""
        return str(action + 1)

    def key(self, states: Tensor) -> Tensor:
        """(B,) as `_key`; of one number without taking it apart."""
        if self.layout.numbers > 1:
            return super().key(states)
        bottom, _ = self._columns_of_bits(states.device)
        return states[:, 0] | ((states[:, 0] | states[:, 1]) + bottom.sum())

    def _free(self, taken: Tensor) -> Tensor:
        bottom, _ = self._columns_of_bits(taken.device)
        return taken & (bottom << (self.rows - 1)) == 0  # one number for all columns, or one each

    def _place(self, taken: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """A stone falls onto those that are there: one more than their bits."""
        bottom, column = (bits[actions] for bits in self._columns_of_bits(taken.device))
        if self.layout.numbers == 1:
            return torch.zeros_like(actions), ((taken[:, 0] & column) + bottom) & column
        there = taken.gather(1, actions[:, None]).squeeze(1)
        return actions, (there + bottom) & column

    @cache
    def _columns_of_bits(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(C,) the bit of each column's lowest cell, and those of all its cells."""
        bottom = torch.ones_like(self.layout.shift(device)) << self.layout.shift(device)
        return bottom, bottom * ((1 << self.rows) - 1)

    def _count_keys(self) -> int:
        return 1 << ((self.rows + 1) * self.columns)

    def _key(self, first: Tensor, second: Tensor) -> Tensor:
        """Of each column the first player's stones below one bit that says how high it is."""
        code = first | ((first | second) + 1)
        return (code << (self.rows + 1) * torch.arange(self.columns, device=code.device)).sum(1)

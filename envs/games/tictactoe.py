"""Tic-tac-toe, on boards of any size."""

from functools import cache

import torch
from torch import Tensor

from gflow.envs.games.board import RowGame


class TicTacToe(RowGame):
    r"""Each player marks a free cell by turns; `line` marks in a row, column or diagonal win.

    **State.** See `RowGame`; row 0 is the uppermost.

    **Moves.** Cell C r + c of row r and column c, for C columns.

    **Size.** 5,478 positions of 3 x 3, in 4,520 of which somebody moves.

    Args:
        rows: R.
        columns: C.
        line: Marks in a row that win.
        scale: lambda; see `Game`.

    Example:
        >>> game = TicTacToe()
        >>> game.show(game.play([[4, 0, 8]]))
        ['O../.X./..X']

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    def __init__(self, rows: int = 3, columns: int = 3, line: int = 3, scale: float = 10.0) -> None:
        super().__init__(rows, columns, line, scale)
        self.num_actions = self.cells
        self.num_symmetries = 8 if rows == columns else 4

    def image(self, states: Tensor, which: int) -> Tensor:
        """The boards mirrored (bit 0 of `which`), upside down (bit 1) and transposed (bit 2)."""
        if not which:
            return states
        bits = _seen(self.bits(states), which).long()
        row = torch.arange(self.rows, device=states.device)
        return self.with_stones(states, (bits << row[:, None]).sum(2))

    def move_images(self, device: torch.device | str = "cpu") -> Tensor:
        """(G, R C) where each cell goes."""
        cells = torch.arange(self.cells, device=device).view(self.rows, self.columns)
        come_from = [_seen(cells, which).flatten() for which in range(self.num_symmetries)]
        return torch.stack(come_from).argsort(1)

    def show(self, states: Tensor) -> list[str]:
        """Rows from the top, with strokes between."""
        return ["/".join(lines) for lines in self._lines(states)]

    def board_text(self, states: Tensor) -> list[str]:
        """Rows from the top; free cells have the numbers by which moves are named."""
        width = len(str(self.cells)) + 1
        boards = []
        for lines in self._lines(states):
            marks = [
                (str(i + 1) if mark == "." else mark).rjust(width)
                for i, mark in enumerate("".join(lines))
            ]
            rows = [marks[i : i + self.columns] for i in range(0, self.cells, self.columns)]
            boards.append("\n".join("".join(row) for row in rows))
        return boards

    def openspiel_name(self) -> str:
        """Three in a row on a board of three by three; no other is there."""
        return "tic_tac_toe" if (self.rows, self.columns, self.line) == (3, 3, 3) else ""

    def move_text(self, action: int) -> str:
        """Cells are numbered from 1, row by row."""
        return str(action + 1)

    def _free(self, taken: Tensor) -> Tensor:
        number, bit = self._cells(taken.device)
        return taken[:, number] & bit == 0

    def _place(self, taken: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        number, bit = self._cells(taken.device)
        return number[actions], bit[actions]

    @cache
    def _cells(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(R C,) in which number each cell is, and the bit it is there."""
        cell = torch.arange(self.cells, device=device)
        row, column = cell // self.columns, cell % self.columns
        shift = row + self.layout.shift(device)[column]
        bit = torch.ones_like(shift, dtype=self.layout.dtype) << shift
        return self.layout.home(device)[column], bit.to(self.layout.dtype)

    def _count_keys(self) -> int:
        return int(3**self.cells)

    def _key(self, first: Tensor, second: Tensor) -> Tensor:
        digits, place = self._digits(first.device)
        if digits is None:
            row = torch.arange(self.rows, device=first.device)
            both = torch.stack([first, second], 1)[..., None] >> row & 1
            words = (both * 3**row).sum(-1)
            return ((words[:, 0] + 2 * words[:, 1]) * place).sum(-1)
        return ((digits[first] + 2 * digits[second]) * place).sum(-1)

    @cache
    def _digits(self, device: torch.device) -> tuple[Tensor | None, Tensor]:
        """(2^R,) bits of a column read to base 3, if that table is small; (C,) where columns go."""
        place = 3 ** (self.rows * torch.arange(self.columns, device=device))
        if self.rows > 12:
            return None, place
        word = torch.arange(2**self.rows, device=device)[:, None]
        row = torch.arange(self.rows, device=device)
        return ((word >> row & 1) * 3**row).sum(1), place


def _seen(boards: Tensor, which: int) -> Tensor:
    """(..., R, C) boards as image `which` shows them."""
    if which & 1:
        boards = boards.flip(-1)
    if which & 2:
        boards = boards.flip(-2)
    return boards.transpose(-1, -2) if which & 4 else boards

"""Boards on which two players put stones, and a row of them wins."""

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from gflow.environment.keys import LARGEST_KEY, hash_rows
from gflow.envs.games.base import Game
from gflow.envs.games.layout import MOST_ROWS, layout_of
from gflow.errors import ConfigError

OVER = 2
"""A finished position ends in its result plus this, an unfinished one in 0."""


class RowGame(Game[Tensor]):
    r"""Players put a stone each on a board by turns; `line` in a row, any direction, win.

    **State.** (B, 2 w + 2): the stones of the first player as bits of w numbers, those of the
    second, the number of stones, and 0, or 2 plus the result where the game is over. A board of at
    most 62 cells, with an empty one on top of each column, is one number of 64 bits; else each
    column is one of 32 (`gflow.envs.games.layout`).

    Args:
        rows: R, at most 30.
        columns: C.
        line: Stones in a row that win.
        scale: See `Game`.

    Attributes:
        row_zero: Where row 0 is, for people.

    Raises:
        ConfigError: If the board is no board, or no line fits on it.
    """

    player_names = ("X", "O")
    row_zero: Literal["upper", "lower"] = "upper"
    has_forced_terminals = True

    def __init__(self, rows: int, columns: int, line: int, scale: float = 10.0) -> None:
        if rows < 1 or columns < 1 or rows > MOST_ROWS:
            raise ConfigError(
                f"{self.name}: a board has 1 to {MOST_ROWS} rows and at least 1 column, got "
                f"rows={rows} and columns={columns}."
            )
        if not 2 <= line <= max(rows, columns):
            raise ConfigError(
                f"{self.name}: a line must be of at least 2 and fit on the board of {rows} rows "
                f"and {columns} columns, got line={line}."
            )
        super().__init__(scale)
        self.rows, self.columns, self.line = rows, columns, line
        self.layout = layout_of(rows, columns, line)
        self.cells = self.horizon = rows * columns
        self.feature_sizes = (3,) * self.cells
        keys = self._count_keys()
        self.num_keys = keys if keys <= LARGEST_KEY else None

    # ------------------------------------------------------------------ what a game of rows defines

    @abstractmethod
    def _free(self, taken: Tensor) -> Tensor:
        """(B, A) bool moves into cells that are free, given the (B, w) stones of either player."""

    @abstractmethod
    def _place(self, taken: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) numbers and (B,) bits in them of the cells that moves fill."""

    @abstractmethod
    def _count_keys(self) -> int:
        """How many keys a board of this size has."""

    @abstractmethod
    def _key(self, first: Tensor, second: Tensor) -> Tensor:
        """(B,) keys for the (B, C) int64 stones of both in each column."""

    # ------------------------------------------------------------------ the rules

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, 2 w + 2) empty boards."""
        shape = (batch_size, 2 * self.layout.numbers + 2)
        return torch.zeros(shape, dtype=self.layout.dtype, device=device)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) no stone."""
        return states[:, -2] == 0

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) a line, or a full board."""
        return states[:, -1] != 0

    def result(self, states: Tensor) -> Tensor:
        """(B,) +1, 0 or -1."""
        return states[:, -1].long() - OVER

    def mover(self, states: Tensor) -> Tensor:
        """(B,) +1 after an even number of stones."""
        return 1 - 2 * (states[:, -2] & 1).long()

    def stones(self, states: Tensor) -> Tensor:
        """(B, 2, C) the stones of each player in each column, a bit each."""
        numbers = states[:, :-2].view(len(states), 2, self.layout.numbers)
        return self.layout.columns_of(numbers)

    def with_stones(self, states: Tensor, stones: Tensor) -> Tensor:
        """The positions with other (B, 2, C) stones, as many as before."""
        return torch.cat([self.layout.of_columns(stones).flatten(1), states[:, -2:]], 1)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) moves into cells that are free, none after the end."""
        return self._free(torch.where(self.is_terminal(states)[:, None], -1, self._taken(states)))

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        width, count = self.layout.numbers, states[:, -2]
        number, bit = self._place(self._taken(states), actions)
        second = count & 1  # 1 where the second player moves
        mine = second.long() * width  # where the mover's numbers begin
        at = (mine + number)[:, None]
        after = states.scatter(1, at, states.gather(1, at) | bit[:, None])
        own = mine[:, None]
        if width > 1:
            own = own + torch.arange(width, device=states.device)
        won = self.layout.has_line(after.gather(1, own))
        result = torch.where(won, 1 - 2 * second, 0)
        after[:, -2] = count + 1
        after[:, -1] = torch.where(won | (count == self.cells - 1), result + OVER, 0)
        return after

    def _taken(self, states: Tensor) -> Tensor:
        """(B, w) the stones of either player."""
        width = self.layout.numbers
        return states[:, :width] | states[:, width:-2]

    # ------------------------------------------------------------------ what is seen of boards

    def bits(self, states: Tensor) -> Tensor:
        """(B, 2, R, C) 0 or 1: the stones of each player; row 0 is the lowest bit."""
        row = torch.arange(self.rows, device=states.device, dtype=states.dtype)
        return (self.stones(states)[:, :, None] >> row[:, None]) & 1

    def encode(self, states: Tensor) -> Tensor:
        """(B, R C) int64 row by row: 0 free, 1 the first player's, 2 the second's."""
        bits = self.bits(states).long()
        return (bits[:, 0] + 2 * bits[:, 1]).flatten(1)

    def planes(self, states: Tensor) -> Tensor:
        """(B, 5, R, C) for convolutions: stones of each player, who moves, share of cells taken, 1.

        The mover's plane is 0 for the first player and 1 for the second. The last one tells cells
        from what lies beyond the edge.
        """
        found = torch.ones(len(states), 5, self.rows, self.columns, device=states.device)
        found[:, :2] = self.bits(states)
        found[:, 2] = (states[:, -2] & 1)[:, None, None]
        found[:, 3] = (states[:, -2] / self.cells)[:, None, None]
        return found

    def key(self, states: Tensor) -> Tensor:
        """(B,) a number of the stones, or a hash of them on large boards."""
        if self.num_keys is None:
            return hash_rows(states)
        stones = self.stones(states).long()
        return self._key(stones[:, 0], stones[:, 1])

    def _lines(self, states: Tensor) -> list[list[str]]:
        """For each position its rows from the top, a letter a cell."""
        cells = self.encode(states).view(-1, self.rows, self.columns).tolist()
        return [["".join(".XO"[cell] for cell in row) for row in board] for board in cells]

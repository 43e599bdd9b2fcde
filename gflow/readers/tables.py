"""Tables with one name per column: CSV, TSV, semicolons or blanks, with or without a header."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.readers.rows import NUMBER, SEPARATORS, Rows, read_rows

INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
MISSING = frozenset({"", "nan", "+nan", "-nan", "na", "n/a", "#n/a", "null", "none", "?", "-", "."})
COUNTERS = frozenset({"index", "idx", "id", "row", "rowid", "row_id", "no", "no.", "nr", "#"})
"""Names of columns that only count rows."""


@dataclass(frozen=True)
class Table:
    """A table of cells.

    Attributes:
        path: The file it was read from.
        names: C distinct names of columns.
        rows: n rows of C cells.
        lines: n line numbers in the file.
        header: Whether the names come from the file; else they are x0, x1, ...
    """

    path: str
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    header: bool

    def column(self, name: str) -> list[str]:
        """The n cells of a column.

        Raises:
            ConfigError: If there is none of that name.
        """
        if name not in self.names:
            close = difflib.get_close_matches(name, self.names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"{self.path} has no column {name!r}.{hint} Its columns: {', '.join(self.names)}."
            )
        place = self.names.index(name)
        return [row[place] for row in self.rows]

    def at(self, row: int, name: str) -> str:
        """Where a cell is, for messages."""
        return f"{self.path}, line {self.lines[row]}, column {name!r}"

    def numbers(self, names: Sequence[str] | None = None) -> Tensor:
        """(n, C) float64 values of some columns, by default of all.

        Raises:
            ConfigError: With line, column and value, if a cell is no finite number.
        """
        chosen = self.names if names is None else tuple(names)
        columns = [self._floats(name) for name in chosen]
        table = torch.tensor(columns, dtype=torch.float64).reshape(len(chosen), len(self.rows))
        return table.T.contiguous()

    def _floats(self, name: str) -> list[float]:
        cells = self.column(name)
        for row, cell in enumerate(cells):
            if not NUMBER.fullmatch(cell):
                raise ConfigError(f"{self.at(row, name)}: {_why_no_number(cell)}")
        found = [float(cell) for cell in cells]
        for row, value in enumerate(found):
            if value in (float("inf"), float("-inf")):
                raise ConfigError(f"{self.at(row, name)}: {cells[row]} is too large a number.")
        return found


def read_table(
    path: str | Path,
    missing: str = "",
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> Table:
    """A table with one name per column.

    The first line is a header if none of its cells is a number, and data if all are; the names of
    the columns are then x0, x1, ... A first column without a name that counts or names the rows,
    and nameless columns without content, are left out.

    Args:
        path: The file, compressed or not.
        missing: Where to get such a file; said when there is none.
        header: Whether the first line holds names, if the rule cannot know.
        separator: One character, if the rule of `read_rows` finds the wrong one.
        encoding: See `read_text`.

    Raises:
        ConfigError: With the line and the column, if this is no table, or names are missing or
            repeated.
    """
    rows = read_rows(path, missing, separator, encoding)
    if header is None:
        header = _has_header(rows)
    names = rows.cells[0] if header else [f"x{i}" for i in range(len(rows.cells[0]))]
    body, lines = rows.cells[header:], rows.lines[header:]
    if not body:
        raise ConfigError(f"{path} has a header and no rows below it.")
    if header and all(len(row) == len(names) + 1 for row in body):
        names = _with_row_names(names, body)
    for row, line in zip(body, lines, strict=True):
        if len(row) != len(names):
            raise ConfigError(
                f"{path}, line {line}: this row has {len(row)} cells and line {rows.lines[0]} has "
                f"{len(names)}, separated by {SEPARATORS.get(rows.separator, rows.separator)}. "
                f"Fill in what is missing, or quote cells that contain the separator."
            )
    kept = [i for i, name in enumerate(names) if not header or _keep(rows.path, names, body, i)]
    _refuse_repeated(rows, names, kept)
    if not kept:
        raise ConfigError(f"{path}, line {rows.lines[0]}: no column has a name.")
    cells = [[row[i] for i in kept] for row in body]
    return Table(str(path), tuple(names[i] for i in kept), cells, lines, bool(header))


def refuse_counters(table: Table, what: str) -> None:
    """Refuse columns that by name and content number the rows, where every column is read.

    Raises:
        ConfigError: With the column.
    """
    for name in table.names:
        if name.lower() in COUNTERS and _counts(table.column(name)):
            raise ConfigError(
                f"{table.path}: the column {name!r} counts the rows, so it is no {what}. Take it "
                f"out of the file, or give it another name if it is one."
            )


def _has_header(rows: Rows) -> bool:
    first, where = rows.cells[0], rows.at(0)
    numbers = [c for c in first if NUMBER.fullmatch(c) or c.lower() in (INFINITE | MISSING) - {""}]
    words = [c for c in first if c and c not in numbers]
    choose = "(in Python, readers.tables.read_table takes header=True or False)"
    if words and numbers:
        raise ConfigError(
            f"{where}: the words {', '.join(words[:3])} and the numbers {', '.join(numbers[:3])} "
            f"stand side by side, so this is no header, and no row of numbers either. Put a line "
            f"with one name per column on top, none of them a number {choose}."
        )
    if words:
        return True
    counted = first[1:] if first[0] == "" else first
    places = [str(i) for i in range(len(counted) + 1)]
    if len(counted) > 1 and counted in (places[:-1], places[1:]):
        raise ConfigError(
            f"{where}: {', '.join(first[:3])}, ... may be numbers of columns or a row of data. Put "
            f"a line with names in its place, or above it {choose}."
        )
    return False


def _counts(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, 2, ... or 1, 2, 3, ..., two of them at least."""
    if len(cells) < 2 or not all(NUMBER.fullmatch(cell) for cell in cells):
        return False
    values = [float(cell) for cell in cells]
    return any(values == [first + i for i in range(len(cells))] for first in (0, 1))


def _with_row_names(names: list[str], body: list[list[str]]) -> list[str]:
    """Names for rows with one cell more than the header: row names in front, or an empty end."""
    if names[-1] and not any(row[-1] for row in body):
        return [*names, ""]
    return ["", *names]


def _keep(path: str, names: list[str], body: list[list[str]], place: int) -> bool:
    """Whether a column is one, or has no name and no content of its own."""
    if names[place] and not re.fullmatch(r"Unnamed: \d+", names[place]):
        return True
    cells = [row[place] for row in body]
    labels = len(set(cells)) == len(cells) and not all(NUMBER.fullmatch(c) for c in cells)
    if not any(cells) or (place == 0 and (_counts(cells) or len(cells) == 1 or labels)):
        return False
    raise ConfigError(
        f"{path}: column {place + 1} has no name; it begins with {', '.join(cells[:3])}. Give it "
        f"a name in the first line, or take it out."
    )


def _refuse_repeated(rows: Rows, names: list[str], kept: list[int]) -> None:
    seen: dict[str, int] = {}
    for i in kept:
        if names[i] in seen:
            raise ConfigError(
                f"{rows.at(0)}: columns {seen[names[i]] + 1} and {i + 1} are both called "
                f"{names[i]!r}. Give each column a name of its own."
            )
        seen[names[i]] = i


def _why_no_number(cell: str) -> str:
    if cell.lower() in MISSING:
        shown = f" ({cell})" if cell else ""
        return f"the value is missing{shown}. Leave out the row, or fill the value in."
    if cell.lower() in INFINITE:
        return f"{cell} is not finite. Leave out the row, or put a number in its place."
    if re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", cell):
        return f"{cell!r} is no number; if the comma is a decimal one, write a point."
    return f"{cell!r} is no number."

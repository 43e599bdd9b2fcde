"""Lines of a separated file as rows of cells, each with its line number."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gflow.errors import ConfigError
from gflow.readers.text import read_text

SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars", " ": "blanks"}
"""In the order in which they are tried."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

PROBED = 200
"""Lines by which a separator is judged."""


@dataclass(frozen=True)
class Rows:
    """Cells of a file, without empty lines and comments on top.

    Attributes:
        path: The file.
        separator: What separates cells.
        cells: Rows of cells without surrounding blanks; rows may differ in length.
        lines: The line in the file on which each row begins, counted from 1.
        comment: Words of the comment right above the first row, in small letters.
    """

    path: str
    separator: str
    cells: list[list[str]]
    lines: list[int]
    comment: tuple[str, ...] = ()

    def at(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.path}, line {self.lines[row]}"


def read_rows(
    path: str | Path, missing: str = "", separator: str | None = None, encoding: str | None = None
) -> Rows:
    """Rows of a file of separated cells, which may be quoted.

    The separator is the first of tab, semicolon, comma, bar and blanks that cuts the first line
    into several cells and the following ones into as many; failing that, the first that cuts the
    first line at all. A first line ``sep=;``, as Excel writes it, decides.

    Lines on top that begin with ``#`` are comments, except that the last of them counts as a header
    if it has as many cells as the line below (among blanks, only if that line holds a number).

    Args:
        path: The file, compressed or not.
        missing: Where to get such a file; said when there is none.
        separator: One character, if the rule finds the wrong one.
        encoding: See `read_text`.

    Raises:
        ConfigError: If the file cannot be read, is empty, or a quotation mark is not closed.
    """
    text = read_text(path, missing, encoding)
    if separator is not None and len(separator) != 1:
        raise ConfigError(f"{path}: separator must be one character, got {separator!r}.")
    lines = text.split("\n")
    said = re.fullmatch(r'"?sep=(.)"?', lines[0].rstrip())
    if said:
        lines[0], separator = "", separator or said[1]
    if separator is None:
        separator = _separator(lines)
    comment = _blank_comments(lines, separator)
    cells, numbers = [], []
    for number, row in _parsed(str(path), lines, separator):
        if any(row):
            cells.append(row)
            numbers.append(number)
    if not cells:
        raise ConfigError(f"{path} is empty. {missing}".strip())
    return Rows(str(path), separator, cells, numbers, comment)


def _separator(lines: list[str]) -> str:
    """What separates the cells of these lines."""
    some = [line for line in lines if line.strip() and not line.startswith("#")][:PROBED]
    able = []
    for mark in SEPARATORS:
        if not some or mark not in some[0].strip(" "):
            continue
        widths = [len(row) for row in _reader(some, mark, strict=False) if any(row)]
        if widths[0] > 1:
            able.append(mark)
            rest = set(widths[1:])
            if len(rest) <= 1 and rest <= {widths[0], widths[0] + 1}:
                return mark
    able = [mark for mark in able if mark != " "]
    return able[0] if able else ","


def _blank_comments(lines: list[str], separator: str) -> tuple[str, ...]:
    """Empty the comments on top, unless the last is a header; its words if it is none."""
    last = None
    for place, line in enumerate(lines):
        if line.lstrip().startswith("#"):
            last, lines[place] = (place, line.lstrip().lstrip("#").strip(" ")), ""
        elif line.strip():
            if last is None:
                return ()
            above = next(_reader([last[1]], separator, strict=False))
            below = next(_reader([line], separator, strict=False))
            sure = separator != " " or any(NUMBER.fullmatch(cell) for cell in below)
            if len(above) == len(below) > 1 and sure:
                lines[last[0]] = last[1]
                return ()
            return tuple(re.findall(r"\w+", last[1].lower()))
    return ()


def _reader(lines: Iterable[str], separator: str, strict: bool) -> Iterator[list[str]]:
    # Ends of lines stay: a quoted cell may hold one.
    text = (line.strip(" ") + "\n" for line in lines)
    return csv.reader(text, delimiter=separator, strict=strict, skipinitialspace=True)


def _parsed(path: str, lines: list[str], separator: str) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    read = 0  # lines asked for so far; a quoted cell may go over several

    def counted() -> Iterator[str]:
        nonlocal read
        for line in lines:
            read += 1
            yield line

    before = 0
    try:
        for row in _reader(counted(), separator, strict=True):
            rows.append((before + 1, [cell.strip() for cell in row]))
            before = read
    except csv.Error as error:
        raise ConfigError(
            f"{path}, line {before + 1}: {error}. Look for a quotation mark that is not closed, or "
            f"one within a quoted cell, which is to be doubled."
        ) from error
    return rows

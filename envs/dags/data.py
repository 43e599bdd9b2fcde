"""Data to learn graphs from: simulated linear Gaussian networks, and tables in CSV files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.readers import tables
from gflow.readers.rows import NUMBER, Rows, read_rows

SACHS = (
    "The protein-signalling data of Sachs et al. (2005) are distributed with the Causal Discovery "
    "Toolbox (github.com/FenTechSolutions/CausalDiscoveryToolbox, folder cdt/data/resources) as "
    "cyto_full_data.csv (7466 rows of 11 proteins) and cyto_full_target.csv (the consensus edges)."
)

HEADERS = (("cause", "effect"), ("source", "target"), ("from", "to"), ("parent", "child"))
"""Names of the two columns of a list of edges, in small letters."""


@dataclass(frozen=True)
class LinearGaussianNetwork:
    r"""x_j = sum over parents i of weight_ij x_i + noise.

    Attributes:
        adjacency: (d, d) bool, entry i, j for the edge i -> j.
        weights: (d, d) float64, zero where there is no edge.
        noise_std: Standard deviation of the noise of every variable.
    """

    adjacency: Tensor
    weights: Tensor
    noise_std: float

    def sample(self, rows: int, generator: torch.Generator | None = None) -> Tensor:
        """(rows, d) float64 independent observations."""
        d = len(self.adjacency)
        noise = torch.randn(rows, d, dtype=torch.float64, generator=generator) * self.noise_std
        mixing = torch.eye(d, dtype=torch.float64) - self.weights
        data: Tensor = torch.linalg.solve(mixing, noise, left=False)
        return data


def erdos_renyi_network(
    variables: int,
    expected_edges: float,
    noise_std: float = 0.1,
    weight_std: float = 1.0,
    generator: torch.Generator | None = None,
) -> LinearGaussianNetwork:
    """A random network: a random order, each pair joined with equal probability, normal weights.

    Papers give the noise as a number that some codes take for a variance and some for a standard
    deviation: here it is a standard deviation, 0.1 (the original DAG-GFlowNet) or 0.1 ** 0.5.

    Args:
        variables: d.
        expected_edges: Mean number of edges, at most d (d - 1) / 2.
        noise_std: Standard deviation of the noise.
        weight_std: Standard deviation of the weights.
        generator: Source of randomness.

    Raises:
        ConfigError: If there are fewer pairs than expected edges.
    """
    pairs = variables * (variables - 1) / 2
    if not 0 <= expected_edges <= pairs:
        raise ConfigError(
            f"erdos_renyi_network: expected_edges must lie between 0 and the number of pairs "
            f"{pairs:g}, got {expected_edges}."
        )
    if not noise_std > 0:
        raise ConfigError(f"erdos_renyi_network: noise_std must be positive, got {noise_std}.")
    coins = torch.rand(variables, variables, generator=generator)
    order = torch.randperm(variables, generator=generator)
    joined = (coins < expected_edges / max(pairs, 1)).triu(1)[order][:, order]
    size = (variables, variables)
    weights = torch.randn(size, dtype=torch.float64, generator=generator) * weight_std
    return LinearGaussianNetwork(joined, weights * joined, noise_std)


def read_table(path: str | Path, header: bool | None = None) -> tuple[list[str], Tensor]:
    """Names of the variables and (n, d) float64 observations of a table, see `readers.tables`.

    Args:
        path: The file: cells separated by commas, semicolons, tabs or blanks, compressed or not.
        header: Whether its first line holds names; by default, if it holds no numbers.

    Raises:
        ConfigError: If the file is missing or holds something else, with line and column.
    """
    table = tables.read_table(path, f"{SACHS} Download them and pass their paths.", header)
    tables.refuse_counters(table, "variable")
    data = table.numbers()
    if len(data) < 2:
        raise ConfigError(f"{path} has one row of numbers; graphs are learned from two or more.")
    return list(table.names), data


def read_edges(path: str | Path, names: list[str]) -> Tensor:
    """(d, d) bool adjacency of a list of edges, or of a table of an adjacency matrix.

    A list of edges has columns cause and effect (or source and target, from and to, parent and
    child) in any order, among which others are left out; or no header and two columns, the cause
    first. A matrix has the variables as header, in any order, and perhaps as row names; a 1 in the
    row of i and the column of j stands for i -> j.

    The consensus network that is distributed with the Sachs data is one; it holds the cycle
    PIP3 -> plcg -> PIP2 -> PIP3, so it is good for comparison and no state of `Dags`.

    Args:
        path: The file.
        names: Names of the variables, in order.

    Raises:
        ConfigError: If the file is missing, or names another variable, with the line.
    """
    rows = read_rows(path, f"{SACHS} Download them and pass their paths.")
    first = rows.cells[0]
    if len(rows.cells) > 1 and set(names) == set(first) - {""} and len(names) > 1:
        second = rows.cells[1]
        if len(names) > 2 or all(NUMBER.fullmatch(cell) for cell in second[-2:]):
            return _read_matrix(path, names)
    cause, effect, header = _columns(rows, set(names))
    number = {name: i for i, name in enumerate(names)}
    adjacency = torch.zeros(len(names), len(names), dtype=torch.bool)
    for at, row in enumerate(rows.cells):
        if at == 0 and header:
            continue
        if len(row) <= max(cause, effect) or (not header and len(row) != 2):
            raise ConfigError(f"{rows.at(at)}: an edge has a cause and an effect; this row: {row}.")
        ends = row[cause], row[effect]
        for end, what in zip(ends, ("cause", "effect"), strict=True):
            if end not in number:
                raise ConfigError(
                    f"{rows.at(at)}: the {what} {end!r} is none of the variables "
                    f"{', '.join(names)}."
                )
        if ends[0] == ends[1]:
            raise ConfigError(f"{rows.at(at)}: {ends[0]!r} cannot be its own cause.")
        adjacency[number[ends[0]], number[ends[1]]] = True
    return adjacency


def _columns(rows: Rows, variables: set[str]) -> tuple[int, int, bool]:
    """Columns of causes and of effects, and whether the first line says so."""
    first = [cell.lower() for cell in rows.cells[0]]
    for cause, effect in HEADERS:
        if cause in first and effect in first and not {*rows.cells[0]} <= variables:
            if first.count(cause) + first.count(effect) > 2:
                raise ConfigError(f"{rows.at(0)}: the columns {rows.cells[0]} repeat a name.")
            return first.index(cause), first.index(effect), True
    if len(first) == 2 and set(rows.cells[0]) <= variables:
        for cause, effect in HEADERS:
            if set(rows.comment) == {cause, effect}:
                return rows.comment.index(cause), rows.comment.index(effect), False
        return 0, 1, False
    known = ", ".join(f"{cause},{effect}" for cause, effect in HEADERS)
    raise ConfigError(
        f"{rows.at(0)}: {rows.cells[0]} is no edge between two of the variables "
        f"{', '.join(sorted(variables))}, and no header. Name the columns in the first line: "
        f"one of {known}."
    )


def _read_matrix(path: str | Path, names: list[str]) -> Tensor:
    """(d, d) bool adjacency of a table whose header are the variables."""
    rows = read_rows(path)
    table = tables.read_table(path, header=True)
    labels = [row[0] for row in rows.cells[1:]]
    named = len(rows.cells[1]) > len(names)
    if named and set(labels) != set(names) and not NUMBER.fullmatch(labels[0]):
        raise ConfigError(f"{path}: the rows are named {labels}, the columns {list(table.names)}.")
    order = labels if named and set(labels) == set(names) else list(table.names)
    if len(table.rows) != len(names):
        raise ConfigError(
            f"{path}: {len(table.rows)} rows for {len(names)} variables. A matrix of edges has a "
            f"row for each."
        )
    values = table.numbers(names)
    bad = ((values != 0) & (values != 1)).nonzero().tolist()
    if bad:
        row, column = bad[0]
        raise ConfigError(
            f"{table.at(row, names[column])}: {values[row, column]:g} is neither 0 nor 1, so this "
            f"is no matrix of edges."
        )
    adjacency = values[[order.index(name) for name in names]].bool()
    if bool(adjacency.diagonal().any()):
        loop = names[int(adjacency.diagonal().nonzero()[0])]
        raise ConfigError(f"{path}: {loop!r} cannot be its own cause.")
    return adjacency


def normalize(data: Tensor, log: bool = False, names: Sequence[str] | None = None) -> Tensor:
    """(n, d) columns with mean 0 and standard deviation 1.

    Args:
        data: (n, d), two rows or more.
        log: Take logarithms first, as is usual for concentrations, which are far from normal.
        names: d names of the columns, for messages.

    Raises:
        ConfigError: If a value is missing or infinite, a column is constant, or the logarithm does
            not exist.
    """

    def column(number: int) -> str:
        return f"column {number}" if names is None else f"column {names[number]!r}"

    if data.dim() != 2:
        raise ConfigError(f"normalize: data must be (n, d), got {tuple(data.shape)}.")
    data = data if data.is_floating_point() else data.to(torch.get_default_dtype())
    if len(data) < 2:
        raise ConfigError(f"normalize: the spread of {len(data)} row(s) is unknown; give more.")
    bad = (~data.isfinite()).nonzero().tolist()
    if bad:
        row, place = bad[0]
        raise ConfigError(
            f"normalize: row {row}, {column(place)} is {float(data[row, place])}, a missing or "
            f"infinite value. Leave out the row, or fill the value in."
        )
    if log and not bool((data > 0).all()):
        row, place = (~(data > 0)).nonzero()[0].tolist()
        raise ConfigError(
            f"normalize: log=True needs positive data, and row {row}, {column(place)} is "
            f"{float(data[row, place]):g}. Leave out such rows, or take no logarithms."
        )
    x = data.log() if log else data
    constant = (x == x[0]).all(0)
    if bool(constant.any()):
        which = column(int(constant.nonzero()[0]))
        raise ConfigError(f"normalize: {which} is constant. Leave it out.")
    spread = x.std(0)
    usable = (spread > 0) & spread.isfinite()
    if not bool(usable.all()):
        which = column(int((~usable).nonzero()[0]))
        raise ConfigError(f"normalize: the squares of {which} leave the range of floats. Scale it.")
    return (x - x.mean(0)) / spread

"""Undirected simple graphs from files: DIMACS, lists of edges, rudy's lists, matrices."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.readers.rows import NUMBER
from gflow.readers.text import read_text

HEADERS = frozenset(
    {"source", "target", "from", "to", "src", "dst", "u", "v", "node1", "node2", "weight", "w"}
)
"""Names of columns of lists of edges, in small letters."""

WEIGHTED = (
    "edges carry weights, which no environment of graphs reads. Leave the weights out "
    "(ignore_weights=True in Python) if the graph without them is meant."
)


@dataclass(frozen=True)
class Graph:
    """A graph with nodes 0 ... N - 1.

    Attributes:
        nodes: N.
        edges: (M, 2) int64 pairs of different nodes; repetitions and both directions may occur.
        names: N names of the nodes where they come from.
    """

    nodes: int
    edges: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """An edge of a file: its line number, two names and a weight."""

    number: int
    ends: tuple[str, str]
    weight: str = "1"


def read_graph(
    path: str | Path,
    ignore_weights: bool = False,
    counts: bool | None = None,
    encoding: str | None = None,
) -> Graph:
    """One graph of a file; its content tells the format.

    - DIMACS: ``p edge N M`` and lines ``e u v``, comments ``c``; nodes are 1 ... N.
    - A list of edges: two names per line, separated by blanks, commas, semicolons or tabs, perhaps
      a weight or what networkx writes (``{'weight': 2}``). The nodes are the names that occur,
      whole numbers in their order, others as they come. A first line is a header if it is made of
      known words (source, target, from, to, u, v, ...), or of words where all others are numbers.
    - rudy's list, as of the G-set: ``N M`` on top, then M edges with weights; nodes are 1 ... N, or
      0 ... N - 1 if there is a node 0.
    - A symmetric matrix of 0 and 1 with four rows or more.

    Args:
        path: The file, compressed or not.
        ignore_weights: Take the graph without its weights instead of refusing weights that are
            not all 1.
        counts: Whether the first of several lines of two numbers holds N and M, where both fit.
        encoding: See `read_text`.

    Raises:
        ConfigError: If it is no such graph, has a loop, arcs or weights; with the line.
    """
    text = read_text(path, encoding=encoding)
    lines = [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    _refuse_others(str(path), lines)
    if any(line.startswith("p ") for _, line in lines) and all(
        line.split()[0] in ("c", "p", "e", "a", "n", "d", "v", "x") for _, line in lines
    ):
        return _dimacs(str(path), lines, ignore_weights)
    rows = [(n, _cells(line)) for n, line in lines if line[0] not in "#%"]
    if not rows:
        raise ConfigError(f"{path} is empty: it holds no graph.")
    width = len(rows[0][1])
    if width > 3 and all(len(row) == width == len(rows) for _, row in rows):
        return _matrix(str(path), rows)
    nodes: int | None = None
    if _has_counts(str(path), rows, counts):
        nodes, announced = (int(word) for word in rows[0][1])
        rows = rows[1:]
        if len(rows) != announced:
            raise ConfigError(
                f"{path} announces {announced} edges in its first line, and {len(rows)} follow."
            )
    elif _has_header(rows):
        rows = rows[1:]
    edges = [_edge(str(path), number, row) for number, row in rows]
    _refuse_weights(str(path), edges, ignore_weights)
    return _numbered(str(path), edges, nodes)


def _refuse_others(path: str, lines: list[tuple[int, str]]) -> None:
    first = lines[0][1] if lines else ""
    if first.startswith(("<", "%%MatrixMarket", "graph", "digraph", "strict", "{", "[")):
        raise ConfigError(
            f"{path} begins with {first[:20]!r}: this format is not read. Read it with networkx or "
            f"SciPy, and pass the graph to GraphBatch.from_networkx or from_adjacency."
        )


def _cells(line: str) -> list[str]:
    """Names and weight of a line; a dictionary at the end stays whole."""
    head, brace, tail = line.partition("{")
    cells = [cell.strip("\"'") for cell in re.split(r"\s*[,;\t]\s*|\s+", head.strip()) if cell]
    return [*cells, brace + tail] if brace else cells


def _has_counts(path: str, rows: list[tuple[int, list[str]]], counts: bool | None) -> bool:
    first, rest = rows[0][1], [row for _, row in rows[1:]]
    if len(first) != 2 or not all(word.isdigit() for word in first):
        return False
    if rest and all(len(row) == 3 for row in rest):
        return True
    fits = int(first[1]) == len(rest) and all(
        word.isdigit() and int(word) <= int(first[0]) for row in rest for word in row[:2]
    )
    if fits and counts is None:
        raise ConfigError(
            f"{path}, line {rows[0][0]}: {' '.join(first)} may be the numbers of nodes and edges, "
            f"or an edge. Write 'source target' above the edges, or 'p edge {' '.join(first)}' and "
            f"edges 'e u v' (in Python, readers.graphs.read_graph takes counts=True or False)."
        )
    return bool(counts)


def _has_header(rows: list[tuple[int, list[str]]]) -> bool:
    first = [cell.lower() for cell in rows[0][1]]
    if len(first) < 2 or len(rows) < 2:
        return False
    numbers = all(NUMBER.fullmatch(cell) for _, row in rows[1:] for cell in row[:2])
    return set(first) <= HEADERS or (numbers and not any(NUMBER.fullmatch(c) for c in first))


def _edge(path: str, number: int, row: list[str]) -> Line:
    if not 2 <= len(row) <= 3:
        raise ConfigError(
            f"{path}, line {number}: an edge is two nodes, and perhaps a weight; got {row}."
        )
    weight = row[2] if len(row) == 3 else "1"
    if weight.startswith("{"):
        try:
            found = ast.literal_eval(weight)
            weight = str(found.get("weight", 1))
        except (ValueError, SyntaxError, AttributeError) as error:
            raise ConfigError(f"{path}, line {number}: {weight} is no dictionary.") from error
    if not NUMBER.fullmatch(weight):
        raise ConfigError(f"{path}, line {number}: the weight {weight!r} is no number.")
    return Line(number, (row[0], row[1]), weight)


def _refuse_weights(path: str, edges: list[Line], ignore_weights: bool) -> None:
    for edge in edges:
        if float(edge.weight) != 1 and not ignore_weights:
            raise ConfigError(f"{path}, line {edge.number} (weight {edge.weight}): {WEIGHTED}")


def _numbered(path: str, edges: list[Line], nodes: int | None) -> Graph:
    names: list[str] = list(dict.fromkeys(name for edge in edges for name in edge.ends))
    if nodes is not None or all(name.isdigit() for name in names):
        for edge in edges:
            for name in edge.ends:
                if not name.isdigit():
                    raise ConfigError(
                        f"{path}, line {edge.number}: {name!r} is no number of a node."
                    )
        edges = [Line(e.number, (str(int(e.ends[0])), str(int(e.ends[1])))) for e in edges]
        low = 0 if nodes is not None and any("0" in edge.ends for edge in edges) else 1
        known = {int(name) for edge in edges for name in edge.ends}
        names = [str(i) for i in (sorted(known) if nodes is None else range(low, nodes + low))]
    place = {name: i for i, name in enumerate(names)}
    for edge in edges:
        missing = [name for name in edge.ends if name not in place]
        if missing:
            raise ConfigError(
                f"{path}, line {edge.number}: there is no node {missing[0]}; the nodes are "
                f"{names[0]} ... {names[-1]}."
            )
        if edge.ends[0] == edge.ends[1]:
            raise ConfigError(
                f"{path}, line {edge.number}: the edge from {edge.ends[0]} to itself is a loop. "
                f"Leave it out."
            )
    pairs = [(place[a], place[b]) for a, b in (edge.ends for edge in edges)]
    return Graph(len(names), torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2), tuple(names))


def _dimacs(path: str, lines: list[tuple[int, str]], ignore_weights: bool) -> Graph:
    rows = [(number, line.split()) for number, line in lines if not line.startswith("c")]
    number, problem = rows[0]
    if problem[0] != "p" or len(problem) != 4 or not all(x.isdigit() for x in problem[2:]):
        raise ConfigError(f"{path}, line {number}: DIMACS wants 'p edge N M' first, got {problem}.")
    edges = []
    for number, row in rows[1:]:
        if row[0] != "e":
            raise ConfigError(
                f"{path}, line {number}: of DIMACS the lines 'e u v' are read, and this one is "
                f"{' '.join(row)!r}; arcs and weights of nodes have no place in a plain graph."
            )
        edges.append(_edge(path, number, row[1:]))
    _refuse_weights(path, edges, ignore_weights)
    distinct = len({frozenset(edge.ends) for edge in edges})
    announced = int(problem[3])
    if announced not in (len(edges), distinct, 2 * distinct):
        raise ConfigError(
            f"{path}, line {rows[0][0]}: {announced} edges are announced, and {len(edges)} lines "
            f"with {distinct} different ones follow. Is the file cut short? Else correct the line."
        )
    graph = _numbered(path, edges, int(problem[2]))
    if graph.names[:1] == ("0",):
        raise ConfigError(f"{path}: the nodes of DIMACS begin at 1, and there is a node 0.")
    return graph


def _matrix(path: str, rows: list[tuple[int, list[str]]]) -> Graph:
    for number, row in rows:
        other = [cell for cell in row if cell not in ("0", "1", "0.0", "1.0")]
        if other:
            raise ConfigError(
                f"{path}, line {number}: {other[0]!r} in a square of cells, which would be a "
                f"matrix of 0 and 1."
            )
    table = torch.tensor([[float(cell) for cell in row] for _, row in rows]).bool()
    if not torch.equal(table, table.T):
        row, column = (table != table.T).nonzero()[0].tolist()
        raise ConfigError(
            f"{path}: the matrix has an edge between rows {row + 1} and {column + 1} in one "
            f"direction only. Undirected graphs have symmetric matrices."
        )
    if bool(table.diagonal().any()):
        at = int(table.diagonal().nonzero()[0])
        raise ConfigError(f"{path}, line {rows[at][0]}: there is a 1 on the diagonal, a loop.")
    names = tuple(str(i) for i in range(len(table)))
    return Graph(len(table), table.triu().nonzero(), names)

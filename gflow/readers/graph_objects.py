"""Undirected simple graphs from what other libraries hold: networkx, PyG, matrices, pairs."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.readers.graphs import WEIGHTED, Graph


def pairs_of(value: Any, who: str) -> Tensor:
    """(M, 2) int64 edges: rows are edges, whatever the numbers.

    Args:
        value: (M, 2) whole numbers, a tensor, an array or nested lists; anything empty is none.
        who: Whose edges they are, for the message.

    Raises:
        ConfigError: If they have another shape, such as triples or PyG's (2, E), or are no whole
            numbers.
    """
    try:
        found = torch.as_tensor(np.asarray(value) if isinstance(value, list) else value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"{who}: edges are pairs of whole numbers (M, 2): {error}.") from error
    if found.numel() == 0:
        return torch.zeros(0, 2, dtype=torch.int64)
    shape = tuple(found.shape)
    hints = []
    if len(shape) == 2 and shape[1] == 3:
        hints.append("If the third column holds weights, leave it out: edges[:, :2].")
    if len(shape) == 2 and shape[0] == 2:
        hints.append("If the rows are sources and targets, as PyG has them, pass edges.T.")
    if len(shape) == 2 and shape[0] == shape[1] > 2:
        hints.append("Matrices are for GraphBatch.from_adjacency.")
    if len(shape) != 2 or shape[1] != 2:
        raise ConfigError(f"{who}: edges are pairs, (M, 2), got {shape}. {' '.join(hints)}".strip())
    whole = not found.is_floating_point() and not found.is_complex() and found.dtype != torch.bool
    if not whole and not (found.is_floating_point() and bool((found == found.long()).all())):
        raise ConfigError(
            f"{who}: edges are pairs of whole numbers, got {found.dtype} such as "
            f"{found[0].tolist()}. Matrices are for GraphBatch.from_adjacency."
        )
    return found.long().cpu()


def from_networkx(graph: Any, ignore_weights: bool = False) -> Graph:
    """A graph of networkx; nodes are numbered in the order in which they are listed.

    Parallel edges of a multigraph count once.

    Raises:
        ConfigError: If it is directed, has a loop, or weights that are not all 1.
    """
    if not hasattr(graph, "edges") or not hasattr(graph, "is_directed"):
        raise ConfigError(f"from_networkx: a graph of networkx is needed, got {type(graph)}.")
    if graph.is_directed():
        raise ConfigError(
            f"from_networkx: {graph} is directed. If the directions do not matter, pass "
            f"graph.to_undirected()."
        )
    place = {node: i for i, node in enumerate(graph.nodes)}
    pairs = []
    for u, v, data in graph.edges(data=True):
        if u == v:
            raise ConfigError(
                f"from_networkx: {graph} has a loop at {u!r}. Take loops out: "
                f"graph.remove_edges_from(networkx.selfloop_edges(graph))."
            )
        weight = data.get("weight", 1)
        if weight not in (None, 1) and not ignore_weights:
            raise ConfigError(
                f"from_networkx: the edge {u!r}, {v!r} has weight {weight}: {WEIGHTED}"
            )
        pairs.append((place[u], place[v]))
    return Graph(len(place), pairs_of(pairs, "from_networkx"), tuple(map(str, place)))


def from_pyg(data: Any, ignore_weights: bool = False) -> Graph:
    """A graph of PyG: its ``edge_index`` (2, E), both directions of every edge, and ``num_nodes``.

    Raises:
        ConfigError: If there is an edge without its reverse, a loop, or weights that are not all 1.
    """
    index = getattr(data, "edge_index", None)
    if index is None or not isinstance(index, Tensor) or index.dim() != 2 or len(index) != 2:
        raise ConfigError(
            f"from_pyg: an object with `edge_index` (2, E) is needed, got {type(data)}."
        )
    if getattr(data, "num_graphs", 1) != 1:
        raise ConfigError(
            f"from_pyg: this is a batch of {data.num_graphs} graphs; pass batch.to_data_list()."
        )
    edges = pairs_of(index.T, "from_pyg")
    nodes = int(data.num_nodes)  # PyG warns where it can only guess
    for name in ("edge_weight", "edge_attr"):
        weight = getattr(data, name, None)
        if weight is None or weight.numel() != len(edges) or ignore_weights:
            continue
        if bool((weight != 1).any()):
            raise ConfigError(f"from_pyg: `{name}` is not 1 everywhere: {WEIGHTED}")
    return _checked(Graph(nodes, edges, tuple(map(str, range(nodes)))), "from_pyg")


def from_adjacency(matrix: Any, ignore_weights: bool = False) -> Graph:
    """A graph of a symmetric (N, N) matrix: a tensor, an array, or a sparse matrix of SciPy.

    Raises:
        ConfigError: If it is not square or not symmetric, has a diagonal, or entries besides 0
            and 1.
    """
    if isinstance(matrix, Tensor):
        table = matrix.to_dense().cpu() if matrix.is_sparse else matrix.cpu()
    else:
        dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
        try:
            table = torch.as_tensor(np.asarray(dense))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"from_adjacency: no matrix of numbers: {error}.") from error
    if table.dim() != 2 or table.shape[0] != table.shape[1]:
        raise ConfigError(f"from_adjacency: needs (N, N), got {tuple(table.shape)}.")
    if table.dtype != torch.bool:
        odd = ((table != 0) & (table != 1)).nonzero().tolist()
        if odd and (not ignore_weights or bool(table.isnan().any())):
            u, v = odd[0]
            raise ConfigError(
                f"from_adjacency: entry {u}, {v} is {table[u, v].item():g}: {WEIGHTED}"
            )
    edges = (table != 0).nonzero()
    names = tuple(map(str, range(len(table))))
    return _checked(Graph(len(table), edges, names), "from_adjacency")


def _checked(graph: Graph, who: str) -> Graph:
    """The graph, if both directions of each edge are there and none is a loop."""
    forward = {tuple(edge) for edge in graph.edges.tolist()}
    for u, v in sorted(forward):
        if u == v:
            raise ConfigError(f"{who}: there is a loop at node {u}. Take loops out.")
        if (v, u) not in forward:
            raise ConfigError(
                f"{who}: the edge {u} -> {v} has no reverse, so the graph is directed. Add the "
                f"reverse edges if directions do not matter."
            )
    return graph

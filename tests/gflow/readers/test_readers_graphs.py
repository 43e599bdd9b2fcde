"""Graphs: every form gives the same edges, and what is no plain graph is refused with its place."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.envs.graphs.instances import GraphBatch
from gflow.errors import ConfigError
from gflow.readers.graphs import read_graph

Edges = list[tuple[int, int]]


@st.composite
def graphs(draw: st.DrawFn, least: int = 2) -> tuple[int, Edges]:
    """Nodes, and edges in any order and direction, all nodes joined so that lists hold them all."""
    nodes = draw(st.integers(least, 7))
    every = [(u, v) for u in range(nodes) for v in range(u)]
    chosen = {edge for edge in every if draw(st.booleans())}
    for v in range(nodes):
        if not any(v in edge for edge in chosen):
            chosen.add((max(v, (v + 1) % nodes), min(v, (v + 1) % nodes)))
    order = draw(st.permutations(sorted(chosen)))
    return nodes, [(v, u) if draw(st.booleans()) else (u, v) for u, v in order]


def sorted_edges(edges: Edges) -> list[list[int]]:
    return sorted([min(e), max(e)] for e in edges)


def listed(separator: str, base: int = 0, end: str = "", head: str = "") -> Callable[..., str]:
    def write(nodes: int, edges: Edges) -> str:
        return head + "".join(f"{u + base}{separator}{v + base}{end}\n" for u, v in edges)

    return write


def rudy(base: int) -> Callable[..., str]:
    def write(nodes: int, edges: Edges) -> str:
        return f"{nodes} {len(edges)}\n" + listed(" ", base, " 1")(nodes, edges)

    return write


def matrix(nodes: int, edges: Edges) -> str:
    table = nx.to_numpy_array(nx.Graph(edges), nodelist=range(nodes), dtype=int)
    return "\n".join(" ".join(map(str, row)) for row in table.tolist())


WRITERS: dict[str, Callable[..., str]] = {
    "dimacs": lambda n, e: (
        f"c a comment\np edge {n} {len(e)}\n" + "".join(f"e {u + 1} {v + 1}\n" for u, v in e)
    ),
    "dimacs, both directions": lambda n, e: (
        f"p col {n} {len(e)}\n" + "".join(f"e {u + 1} {v + 1}\ne {v + 1} {u + 1}\n" for u, v in e)
    ),
    "commas": listed(","),
    "tabs": listed("\t", 1, head="# comment\n"),
    "header": listed(";", head="Source;Target\n"),
    "unknown header": listed(",", head="first,second\n"),
    "weights of 1": listed(" ", end=" 1.0"),
    "networkx": listed(" ", end=" {}", head="# by networkx\n"),
    "networkx with data": listed(" ", end=" {'weight': 1, 'colour': 'a b'}"),
    "rudy": rudy(1),
    "rudy from 0": rudy(0),
}


@given(
    graph=graphs(),
    kind=st.sampled_from(sorted(WRITERS)),
    packed=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_edges_come_back_in_every_format(
    graph: tuple[int, Edges],
    kind: str,
    packed: bool,
    ending: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    nodes, edges = graph
    first, rest = edges[0], edges[1:]
    base = 1 if kind == "tabs" else 0
    ends = [max(e) + base for e in edges]
    if kind in ("commas", "tabs") and first[1] + base == len(rest) and max(ends) <= first[0] + base:
        return  # the first edge may be the numbers of nodes and edges: refused, see below
    raw = WRITERS[kind](nodes, edges).replace("\n", ending).encode("utf-8-sig")
    file = tmp_path_factory.mktemp("graph") / "file"
    file.write_bytes(gzip.compress(raw) if packed else raw)
    batch = GraphBatch.from_files([file])
    assert batch.sizes.tolist() == [nodes]
    assert batch.edges(0).tolist() == sorted_edges(edges)


@given(graph=graphs(least=4))
def test_matrices_come_back(
    graph: tuple[int, Edges], tmp_path_factory: pytest.TempPathFactory
) -> None:
    nodes, edges = graph
    file = tmp_path_factory.mktemp("graph") / "file"
    file.write_text(matrix(nodes, edges))
    assert GraphBatch.from_files([file]).edges(0).tolist() == sorted_edges(edges)


READ = {
    "names": ("raf mek\nmek erk\n", ("raf", "mek", "erk"), [[0, 1], [1, 2]]),
    "numbers in their order": ("10 2\n2 33\n", ("2", "10", "33"), [[0, 1], [0, 2]]),
    "words and numbers": ("a 1\n1 b\n", ("a", "1", "b"), [[0, 1], [1, 2]]),
    "isolated nodes of DIMACS": ("p edge 4 1\ne 2 4\n", ("1", "2", "3", "4"), [[1, 3]]),
    "isolated nodes of rudy": ("4 2\n2 4 1\n1 2 1\n", ("1", "2", "3", "4"), [[0, 1], [1, 3]]),
    "repetitions": ("0 1\n1 0\n0 1\n1 2\n", ("0", "1", "2"), [[0, 1], [1, 2]]),
}


@pytest.mark.parametrize("case", READ)
def test_graphs_that_are_read(case: str, tmp_path: Path) -> None:
    text, names, edges = READ[case]
    file = tmp_path / "file"
    file.write_text(text)
    assert read_graph(file).names == names
    assert GraphBatch.from_files([file]).edges(0).tolist() == edges


REFUSED = {
    "empty": ("", "is empty: it holds no graph"),
    "weights": ("0 1 1\n1 2 -3\n", "line 2 .weight -3.: edges carry weights.*ignore_weights=True"),
    "weights of rudy": ("3 2\n1 2 5\n2 3 1\n", "line 2 .weight 5.: edges carry weights"),
    "weights of networkx": ("0 1 {'weight': 3}\n", "line 1 .weight 3.: edges carry weights"),
    "weights with header": ("u,v,weight\n0,1,0.5\n", "line 2 .weight 0.5.: edges carry weights"),
    "a word for a weight": ("0 1 red\n1 2 red\n", "line 1: the weight 'red' is no number"),
    "broken data": ("0 1 {'weight': \n", "line 1: .* is no dictionary"),
    "a loop": ("0 1\n2 2\n", "line 2: the edge from 2 to itself is a loop. Leave it out"),
    "one node in a line": ("0 1\n2\n", r"line 2: an edge is two nodes, .* got \['2'\]"),
    "too many": ("0 1 1 7\n", "line 1: an edge is two nodes"),
    "counts or an edge": (
        "3 2\n1 2\n2 3\n",
        "line 1: 3 2 may be the numbers of nodes and",
    ),
    "rudy, cut short": ("4 3\n1 2 1\n2 3 1\n", "announces 3 edges in its first line, and 2 follow"),
    "rudy, out of range": (
        "2 2\n1 2 1\n2 3 1\n",
        "line 3: there is no node 3; the nodes are",
    ),
    "DIMACS, out of range": ("p edge 2 1\ne 1 3\n", "line 2: there is no node 3; the nodes are 1"),
    "DIMACS from 0": ("p edge 3 1\ne 0 1\n", "the nodes of DIMACS begin at 1"),
    "DIMACS, cut short": ("p edge 3 3\ne 1 2\n", "3 edges are announced, and 1 lines with 1 diff"),
    "DIMACS, weights of nodes": (
        "p edge 2 1\nn 1 5\ne 1 2\n",
        "line 2: of DIMACS the lines 'e u",
    ),
    "DIMACS, arcs": ("p sp 2 1\na 1 2 7\n", "line 2: .* arcs and weights of nodes have no place"),
    "DIMACS, no problem line": (
        "c x\ne 1 2\np edge 2 1\n",
        "line 2: DIMACS wants 'p edge N M'",
    ),
    "matrix, one direction": (
        "0 1 0 0\n0 0 0 0\n0 0 0 0\n0 0 0 0\n",
        "an edge between rows 1 and 2 in one direction only",
    ),
    "matrix, weights": ("0 2 0 0\n2 0 0 0\n0 0 0 0\n0 0 0 0\n", "line 1: '2' in a square of cells"),
    "matrix, a loop": ("0 1 0 0\n1 1 0 0\n0 0 0 0\n0 0 0 0\n", "line 2: there is a 1 on the diag"),
    "GraphML": ("<?xml version='1.0'?>", "this format is not read. Read it with networkx"),
    "Matrix Market": ("%%MatrixMarket matrix\n1 1 1\n", "this format is not read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_are_named_with_their_place(case: str, tmp_path: Path) -> None:
    text, message = REFUSED[case]
    file = tmp_path / "file.txt"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        GraphBatch.from_files([file])


def test_the_caller_may_decide(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("3 2\n1 2\n2 3\n")
    assert read_graph(file, counts=True).edges.tolist() == [[0, 1], [1, 2]]
    assert sorted(map(sorted, read_graph(file, counts=False).edges.tolist())) == [
        [0, 1], [1, 2], [1, 2],
    ]  # fmt: skip
    file.write_text("0 1 5\n1 2 -3\n")
    assert GraphBatch.from_files([file], ignore_weights=True).edges(0).tolist() == [[0, 1], [1, 2]]


# ---------------------------------------------------------------- objects of other libraries


@pytest.mark.slow
@given(graph=graphs())
def test_edges_come_back_from_every_library(graph: tuple[int, Edges]) -> None:
    data = pytest.importorskip("torch_geometric.data")
    sparse = pytest.importorskip("scipy.sparse")
    nodes, edges = graph
    wanted = sorted_edges(edges)
    plain = nx.empty_graph(nodes)
    plain.add_edges_from(edges)
    multi = nx.MultiGraph(plain)
    multi.add_edges_from(edges[:2])
    table = nx.to_numpy_array(plain, dtype=int)
    index = torch.tensor([*edges, *((v, u) for u, v in edges)]).T
    found = [
        GraphBatch.from_edges([nodes], [edges]),
        GraphBatch.from_edges([nodes], [np.array(edges)]),
        GraphBatch.from_edges([nodes], [torch.tensor(edges).double()]),
        GraphBatch.from_edges([nodes], [np.array(edges, dtype=np.uint16)]),
        GraphBatch.from_networkx([plain]),
        GraphBatch.from_networkx(plain),
        GraphBatch.from_networkx([multi]),
        GraphBatch.from_pyg([data.Data(edge_index=index, num_nodes=nodes)]),
        GraphBatch.from_pyg(data.Data(edge_index=index, x=torch.zeros(nodes, 2))),
        GraphBatch.from_adjacency([table]),
        GraphBatch.from_adjacency([torch.tensor(table).bool()]),
        GraphBatch.from_adjacency([torch.tensor(table).double().to_sparse()]),
        GraphBatch.from_adjacency([sparse.csr_matrix(table)]),
        GraphBatch.from_adjacency([table.tolist()]),
    ]
    for batch in found:
        assert batch.sizes.tolist() == [nodes]
        assert batch.edges(0).tolist() == wanted


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([(0, 1, 5), (1, 2, 3)], r"graph 0: edges are pairs, \(M, 2\), got \(2, 3\). If the third"),
        ([(0, 1, 5), (1, 2, 3), (2, 3, 1)], r"got \(3, 3\). If the third column holds weights"),
        (torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), r"got \(2, 4\). If the rows are sources and"),
        (torch.eye(4).long(), r"got \(4, 4\). Matrices are for GraphBatch.from_adjacency"),
        (torch.tensor([[False, True], [True, False]]), "whole numbers, got torch.bool"),
        ([0, 1, 1, 2], r"edges are pairs, \(M, 2\), got \(4,\)"),
        ([[0.5, 1.0]], "whole numbers, got torch.float"),
        ([[float("nan"), 1.0]], "whole numbers, got torch.float"),
        ([(0, 1), (1, 2, 3)], "edges are pairs of whole numbers"),
        ([("a", "b")], "edges are pairs of whole numbers"),
        ([{(0, 1)}], "edges are pairs of whole numbers"),
        ([(0, 0)], r"the edge \(0, 0\). Edges join two different"),
    ],
)
def test_edges_of_another_shape_are_never_read_as_pairs(edges: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphBatch.from_edges([6], [edges])


def test_sizes_are_whole_numbers() -> None:
    with pytest.raises(ConfigError, match="sizes are whole numbers, got .3.5."):
        GraphBatch.from_edges([3.5], [[(0, 1)]])  # type: ignore[list-item]


@pytest.mark.parametrize("nothing", [[], torch.zeros(0, 2), torch.zeros(2, 0), np.zeros((0, 2))])
def test_no_edges_are_no_edges(nothing: Any) -> None:
    assert GraphBatch.from_edges([3], [nothing]).edges(0).tolist() == []


def weighted(kind: type[Any] = nx.Graph) -> Any:
    graph = kind()
    graph.add_weighted_edges_from([(0, 1, 5), (1, 2, -3), (0, 2, 1)])
    return graph


def test_networkx_graphs_that_are_not_plain() -> None:
    with pytest.raises(ConfigError, match="edge 0, 1 has weight 5: edges carry weights"):
        GraphBatch.from_networkx([weighted()])
    with pytest.raises(ConfigError, match="has weight 5"):
        GraphBatch.from_networkx([weighted(nx.MultiGraph)])
    assert len(GraphBatch.from_networkx([weighted()], ignore_weights=True).edges(0)) == 3
    ones = nx.Graph()
    ones.add_weighted_edges_from([("a", "b", 1.0)])
    assert GraphBatch.from_networkx([ones]).edges(0).tolist() == [[0, 1]]
    with pytest.raises(ConfigError, match="is directed. .*graph.to_undirected"):
        GraphBatch.from_networkx([nx.DiGraph([(0, 1)])])
    with pytest.raises(ConfigError, match="has a loop at 'a'. .*selfloop_edges"):
        GraphBatch.from_networkx([nx.Graph([("a", "a")])])
    with pytest.raises(ConfigError, match="a graph of networkx is needed, got <class 'list'>"):
        GraphBatch.from_networkx([[(0, 1)]])
    with pytest.raises(ConfigError, match="at least one graph, each with a node"):
        GraphBatch.from_networkx([nx.Graph()])


def test_pyg_graphs_that_are_not_plain() -> None:
    data = pytest.importorskip("torch_geometric.data")
    both = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ConfigError, match="the edge 0 -> 1 has no reverse"):
        GraphBatch.from_pyg([data.Data(edge_index=both[:, :1], num_nodes=2)])
    with pytest.raises(ConfigError, match="there is a loop at node 1"):
        GraphBatch.from_pyg([data.Data(edge_index=torch.tensor([[1], [1]]), num_nodes=2)])
    heavy = data.Data(edge_index=both, edge_attr=torch.tensor([[2.0], [2.0]]), num_nodes=2)
    with pytest.raises(ConfigError, match="`edge_attr` is not 1 everywhere: edges carry weights"):
        GraphBatch.from_pyg([heavy])
    assert len(GraphBatch.from_pyg([heavy], ignore_weights=True).edges(0)) == 1
    features = data.Data(edge_index=both, edge_attr=torch.zeros(2, 3), num_nodes=2)
    assert len(GraphBatch.from_pyg([features]).edges(0)) == 1
    with pytest.raises(ConfigError, match="a batch of 2 graphs; pass batch.to_data_list"):
        GraphBatch.from_pyg([data.Batch.from_data_list([features, features])])
    with pytest.raises(ConfigError, match="with `edge_index` .2, E. is needed"):
        GraphBatch.from_pyg([nx.Graph([(0, 1)])])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0, 2], [2, 0]], "entry 0, 1 is 2: edges carry weights"),
        ([[0, 1], [0, 0]], "the edge 0 -> 1 has no reverse"),
        ([[1, 0], [0, 0]], "there is a loop at node 0"),
        ([[0, 1, 0], [1, 0, 0]], r"needs \(N, N\), got \(2, 3\)"),
        ([[0, float("nan")], [float("nan"), 0]], "entry 0, 1 is nan"),
        ([["a"]], "no matrix of numbers"),
    ],
)
def test_matrices_that_are_not_plain(table: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphBatch.from_adjacency([table])
    assert len(GraphBatch.from_adjacency([[[0, 2], [2, 0]]], ignore_weights=True).edges(0)) == 1

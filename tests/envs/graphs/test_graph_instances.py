import math
from collections.abc import Callable

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.envs.graphs.instances import GraphBatch, barabasi_albert, erdos_renyi, rb_graphs
from gflow.errors import ConfigError


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_flat_batch_holds_the_graphs_of_networkx(seed: int, p: float) -> None:
    originals = [nx.gnp_random_graph(n, p, seed=seed + n) for n in (1, 4, 7)]
    batch = GraphBatch.from_networkx(originals)
    assert len(batch) == 3
    assert batch.sizes.tolist() == [1, 4, 7]
    assert batch.num_nodes == 7
    for g, graph in enumerate(originals):
        n = len(graph)
        dense = torch.from_numpy(nx.to_numpy_array(graph, dtype=bool))
        assert torch.equal(batch.adjacency[g, :n, :n], dense)
        assert batch.adjacency[g].sum() == dense.sum()
        assert {tuple(e) for e in batch.edges(g).tolist()} == {
            tuple(sorted(e)) for e in graph.edges
        }
        assert batch.degree[g, :n].tolist() == [d for _, d in graph.degree]
    assert bool((batch.edge_index[0].diff() >= 0).all())  # sorted by source
    both = {tuple(edge) for edge in batch.edge_index.T.tolist()}
    assert both == {(v, u) for u, v in both}


def test_select_keeps_order_and_graphs() -> None:
    batch = erdos_renyi(5, (3, 9), 0.5, seeded(0))
    some = batch.select([3, 0])
    assert some.sizes.tolist() == [int(batch.sizes[3]), int(batch.sizes[0])]
    assert torch.equal(some.edges(0), batch.edges(3))
    assert torch.equal(some.edges(1), batch.edges(0))


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: erdos_renyi(3, (20, 30), 0.2, g),
        lambda g: barabasi_albert(3, (20, 30), 3, g),
        lambda g: rb_graphs(3, g, (6, 8), (3, 5), (0.3, 0.9), (15, 40)),
    ],
)
def test_the_seed_decides_and_nothing_else(draw: Callable[[torch.Generator], GraphBatch]) -> None:
    a, b, c = draw(seeded(1)), draw(seeded(1)), draw(seeded(2))
    assert torch.equal(a.offset, b.offset)
    assert torch.equal(a.edge_index, b.edge_index)
    assert a.edge_index.shape != c.edge_index.shape or not torch.equal(a.edge_index, c.edge_index)


def test_erdos_renyi_has_the_expected_number_of_edges() -> None:
    batch = erdos_renyi(200, 30, 0.3, seeded(0))
    mean = 0.3 * 30 * 29 / 2
    spread = math.sqrt(mean * 0.7 / 200)
    assert abs(batch.edge_index.shape[1] / 2 / 200 - mean) < 4 * spread


def test_barabasi_albert_grows_by_m_edges_and_prefers_the_old() -> None:
    batch = barabasi_albert(60, 40, 2, seeded(0))
    assert all(len(batch.edges(g)) == 2 + 2 * (40 - 3) for g in range(60))
    mean = batch.degree.double().mean(0)
    assert bool((batch.degree.sum(1) == 2 * 76).all())
    assert mean[:4].mean() > 3 * mean[-10:].mean()


def test_rb_graphs_are_joined_cliques() -> None:
    groups, size = 8, 4
    batch = rb_graphs(20, seeded(3), groups, size, (0.3, 0.8), (groups * size, groups * size))
    block = torch.arange(groups * size) // size
    for g in range(20):
        inside = block[:, None] == block
        inside &= ~torch.eye(groups * size, dtype=torch.bool)
        assert bool(batch.adjacency[g][inside].all())
        crossing = batch.adjacency[g].view(groups, size, groups, size).sum((1, 3))
        crossing = crossing.masked_fill(torch.eye(groups, dtype=torch.bool), 0)
        # Every joined pair of groups got the same number of edges, or a multiple of it.
        counts = crossing[crossing > 0]
        assert bool((counts % counts.min() == 0).logical_or(counts == size * size).all())


def test_rb_graphs_have_the_published_sizes() -> None:
    batch = rb_graphs(10, seeded(0))
    assert bool(((batch.sizes >= 200) & (batch.sizes <= 300)).all())
    assert bool((batch.degree[batch.exists] > 0).all())


@pytest.mark.parametrize(
    ("sizes", "edges", "message"),
    [
        ([3], [[(0, 3)]], r"nodes 0 \.\.\. 2 and the edge \(0, 3\)"),
        ([3], [[(1, 1)]], r"edge \(1, 1\)"),
        ([], [], "at least one graph"),
        ([2, 2], [[(0, 1)]], "1 lists of edges"),
    ],
)
def test_bad_graphs_are_refused(
    sizes: list[int], edges: list[list[tuple[int, int]]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphBatch.from_edges(sizes, edges)


def test_impossible_generators_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 <= m < nodes"):
        barabasi_albert(1, 3, 3, seeded(0))
    with pytest.raises(ConfigError, match=r"p must lie in \[0, 1\], got 1\.5"):
        erdos_renyi(1, 3, 1.5, seeded(0))
    with pytest.raises(ConfigError, match="never give 500 to 600 nodes"):
        rb_graphs(1, seeded(0), 3, 3, nodes=(500, 600))

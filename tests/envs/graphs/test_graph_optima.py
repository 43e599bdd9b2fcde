import itertools
from collections.abc import Callable, Set

import networkx as nx
import pytest
import torch

from gflow.envs.graphs.independent_set import Clique, IndependentSet
from gflow.envs.graphs.instances import GraphBatch, erdos_renyi, rb_graphs
from gflow.envs.graphs.optima import clique_cover, degree_greedy, optimum
from gflow.errors import ConfigError

pytest.importorskip("scipy")


def size(graph: nx.Graph, nodes: Set[int]) -> int:
    return len(nodes)


def is_free(graph: nx.Graph, nodes: Set[int]) -> bool:
    return not graph.subgraph(nodes).edges


def best(
    graph: nx.Graph,
    value: Callable[[nx.Graph, Set[int]], int],
    allowed: Callable[[nx.Graph, Set[int]], bool] = lambda graph, s: True,
    largest: bool = True,
) -> int:
    nodes = list(graph)
    every = itertools.chain.from_iterable(
        itertools.combinations(nodes, k) for k in range(len(nodes) + 1)
    )
    values = [value(graph, set(s)) for s in every if allowed(graph, set(s))]
    return max(values) if largest else min(values)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.7])
def test_optima_equal_brute_force(p: float) -> None:
    batch = erdos_renyi(4, (2, 7), p, torch.Generator().manual_seed(1))
    for g in range(4):
        graph = nx.Graph()
        graph.add_nodes_from(range(int(batch.sizes[g])))
        graph.add_edges_from(batch.edges(g).tolist())
        free = optimum(batch, g, "independent_set")
        assert free.proven
        assert not graph.subgraph(free.nodes).edges
        assert len(free.nodes) == free.value
        assert free.value == best(graph, size, is_free)
        full = optimum(batch, g, "clique")
        assert full.value == max(len(c) for c in nx.find_cliques(graph))
        small = optimum(batch, g, "dominating_set")
        assert nx.is_dominating_set(graph, small.nodes)
        assert small.value == best(graph, size, nx.is_dominating_set, False)
        cut = optimum(batch, g, "cut")
        assert cut.value == best(graph, nx.cut_size)
        assert cut.value == nx.cut_size(graph, cut.nodes)


def test_clique_cover_holds_cliques_and_all_edges() -> None:
    joined = rb_graphs(1, torch.Generator().manual_seed(0), 6, 4, nodes=(20, 24)).adjacency[0]
    cliques = clique_cover(joined)
    covered = torch.zeros_like(joined)
    for clique in cliques:
        pairs = clique[:, None] & clique & ~torch.eye(len(joined), dtype=torch.bool)
        assert bool(joined[pairs].all())
        covered |= pairs
    assert torch.equal(covered, joined)
    assert len(cliques) < int(joined.sum()) // 4


def test_greedy_takes_the_fewest_rivals_first() -> None:
    # A star with a path: greedy starts at a leaf and finds all of them.
    star = GraphBatch.from_edges([7, 3], [[(0, i) for i in range(1, 7)], [(0, 1), (1, 2)]])
    states = degree_greedy(IndependentSet(star), torch.tensor([0, 1]))
    assert states.label.tolist() == [[0, 1, 1, 1, 1, 1, 1], [1, 0, 1, 3, 3, 3, 3]]
    states = degree_greedy(Clique(star), torch.tensor([0, 1]))
    assert (states.label == 1).sum(-1).tolist() == [2, 2]


def test_greedy_ends_in_maximal_sets() -> None:
    batch = erdos_renyi(5, (10, 20), 0.3, torch.Generator().manual_seed(2))
    env = IndependentSet(batch)
    states = degree_greedy(env, torch.arange(5))
    assert bool(env.is_terminal(states).all())
    for g in range(5):
        inside = states.label[g] == 1
        assert not bool(batch.adjacency[g][inside][:, inside].any())
        assert int(inside.sum()) <= optimum(batch, g).value


def test_unknown_problem_is_refused() -> None:
    with pytest.raises(ConfigError, match="There is no problem 'matching'"):
        optimum(erdos_renyi(1, 3, 0.5, torch.Generator().manual_seed(0)), 0, "matching")  # type: ignore[arg-type]

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow.envs.dags.env import all_dags
from gflow.envs.dags.metrics import (
    Marginals,
    edge_auroc,
    edge_average_precision,
    expected_edges,
    expected_shd,
    markov_blankets,
    off_diagonal,
)
from gflow.errors import ConfigError, ShapeError


def some_graphs(d: int, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    graphs = all_dags(d)
    return graphs[torch.randint(len(graphs), (count,), generator=generator)]


@given(seed=st.integers(0, 10**6))
def test_marginals_count_what_networkx_finds(seed: int) -> None:
    d, count = 4, 6
    graphs = some_graphs(d, count, seed)
    log_weight = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    edge, path, blanket = torch.zeros(3, d, d)
    for graph, weight in zip(graphs, log_weight.softmax(0), strict=True):
        net = nx.from_numpy_array(graph.numpy(), create_using=nx.DiGraph)
        moral = nx.moral_graph(net)
        for i in range(d):
            for j in range(d):
                edge[i, j] += weight * net.has_edge(i, j)
                path[i, j] += weight * (i != j and nx.has_path(net, i, j))
                blanket[i, j] += weight * moral.has_edge(i, j)
    got = Marginals.of(graphs, log_weight + 5)
    torch.testing.assert_close(got.edge, edge)
    torch.testing.assert_close(got.path, path)
    torch.testing.assert_close(got.blanket, blanket)
    assert expected_edges(graphs, log_weight) == pytest.approx(float(edge.sum()))


def test_equal_weights_are_the_default() -> None:
    graphs = some_graphs(4, 10, 0)
    one, other = Marginals.of(graphs), Marginals.of(graphs, torch.zeros(10))
    for mine, theirs in zip(vars(one).values(), vars(other).values(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert one.correlations(other) == pytest.approx({"edge": 1, "path": 1, "blanket": 1})


def test_blanket_of_a_collider_joins_its_parents() -> None:
    graph = torch.tensor([[[0, 0, 1], [0, 0, 1], [0, 0, 0]]]).bool()
    assert off_diagonal(markov_blankets(graph)[0]).all()
    assert not markov_blankets(graph)[0].diagonal().any()
    chain = torch.tensor([[[0, 1, 0], [0, 0, 1], [0, 0, 0]]]).bool()
    assert not markov_blankets(chain)[0, 0, 2]


@given(seed=st.integers(0, 10**6))
def test_shd_counts_edits_of_pairs(seed: int) -> None:
    graphs = some_graphs(4, 5, seed)
    truth = some_graphs(4, 1, seed + 1)[0]
    edits = []
    for graph in graphs:
        mine, theirs = ({tuple(e) for e in g.nonzero().tolist()} for g in (graph, truth))
        edits.append(len({frozenset(edge) for edge in mine ^ theirs}))
    assert expected_shd(graphs, truth) == pytest.approx(sum(edits) / 5)


def test_shd_of_a_reversal_is_one() -> None:
    graph = torch.tensor([[0, 1], [0, 0]]).bool()
    assert expected_shd(graph[None], graph.T) == 1
    assert expected_shd(graph[None], graph) == 0


@given(seed=st.integers(0, 10**6), diagonal=st.booleans())
def test_auroc_counts_pairs_in_order(seed: int, diagonal: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    edge = torch.randint(0, 4, (4, 4), generator=generator) / 4  # with ties
    truth = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]).bool()
    pairs = [(i, j) for i in range(4) for j in range(4) if diagonal or i != j]
    yes = [float(edge[p]) for p in pairs if truth[p]]
    no = [float(edge[p]) for p in pairs if not truth[p]]
    wins = [(y > n) + 0.5 * (y == n) for y in yes for n in no]
    assert edge_auroc(edge, truth, diagonal) == pytest.approx(sum(wins) / len(wins))
    precision = [
        sum(y >= at for y in yes) / (sum(y >= at for y in yes) + sum(n >= at for n in no))
        for at in yes
    ]
    got = edge_average_precision(edge, truth, diagonal)
    assert got == pytest.approx(sum(precision) / len(precision))


def test_the_diagonal_flatters() -> None:
    truth = torch.tensor([[0, 1], [0, 0]])
    edge = torch.tensor([[0.0, 0.4], [0.6, 0.0]])
    assert edge_auroc(edge, truth) == 0
    assert edge_auroc(edge, truth, diagonal=True) == pytest.approx(2 / 3)


def test_complaints() -> None:
    with pytest.raises(ConfigError, match="edge_auroc: the true graph has 0 edges of 6 pairs"):
        edge_auroc(torch.zeros(3, 3), torch.zeros(3, 3))
    with pytest.raises(ShapeError, match="`truth` must have shape"):
        edge_average_precision(torch.zeros(3, 3), torch.zeros(2, 2))
    with pytest.raises(ConfigError, match="has a cycle"):
        Marginals.of(torch.ones(1, 2, 2).bool())
    with pytest.raises(ShapeError, match="`log_weight` must have shape"):
        expected_shd(torch.zeros(3, 2, 2).bool(), torch.zeros(2, 2).bool(), torch.zeros(2))


def test_what_is_no_number_is_refused() -> None:
    edge, truth = torch.full((3, 3), 0.5), torch.eye(3).roll(1, 1) > 0
    edge[0, 1] = torch.nan
    for measure in (edge_auroc, edge_average_precision):
        with pytest.raises(ConfigError, match=f"{measure.__name__}: `edge` holds nan in row 0"):
            measure(edge, truth)
    graphs = torch.stack([truth, truth.mT])
    assert expected_edges(graphs, torch.tensor([0.0, -torch.inf])) == 3
    for weights, message in (
        ([0.0, torch.nan], "`log_weight` holds nan in row 1"),
        ([torch.inf, 0.0], "`log_weight` holds inf in row 0"),
        ([-torch.inf, -torch.inf], "all graphs have the weight 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            expected_edges(graphs, torch.tensor(weights))

import os
from pathlib import Path

import pytest
import torch

from gflow.envs.dags.data import (
    LinearGaussianNetwork,
    erdos_renyi_network,
    normalize,
    read_edges,
    read_table,
)
from gflow.envs.dags.env import Dags, all_dags, count_paths
from gflow.envs.dags.metrics import expected_shd
from gflow.envs.dags.scores import BGe
from gflow.errors import ConfigError

SACHS = Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_networks_have_the_expected_edges_and_no_cycle() -> None:
    generator = torch.Generator().manual_seed(0)
    networks = [erdos_renyi_network(5, 4.0, generator=generator) for _ in range(400)]
    graphs = torch.stack([network.adjacency for network in networks])
    count_paths(graphs)  # refuses cycles
    edges = graphs.sum((1, 2)).double()
    assert abs(float(edges.mean()) - 4) < 0.4  # five standard errors: 10 pairs at 0.4
    assert float(edges.var()) == pytest.approx(2.4, abs=0.8)
    assert graphs.double().mean(0)[~torch.eye(5).bool()].min() > 0.1  # all directions
    for network in networks[:5]:
        assert torch.equal(network.weights != 0, network.adjacency)


def test_samples_have_the_covariance_of_the_network() -> None:
    weights = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    network = LinearGaussianNetwork(weights != 0, weights, noise_std=0.5)
    x = network.sample(200_000, torch.Generator().manual_seed(0))
    # x1 = 2 x0 + e, x2 = -x1 + e with var e = 0.25
    wanted = torch.tensor([[0.25, 0.5, -0.5], [0.5, 1.25, -1.25], [-0.5, -1.25, 1.5]])
    torch.testing.assert_close(x.T.cov(), wanted, rtol=0, atol=0.02)


def test_much_data_finds_the_graph_up_to_equivalence() -> None:
    weights = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    network = LinearGaussianNetwork(weights != 0, weights, noise_std=0.5)  # alone in its class
    x = network.sample(2000, torch.Generator().manual_seed(0))
    graphs = all_dags(3)
    value = BGe(x)(Dags(3).states(graphs))
    assert torch.equal(graphs[value.argmax()], network.adjacency)
    assert expected_shd(graphs, network.adjacency, value) < 0.4


def test_tables_and_edges_of_files(tmp_path: Path) -> None:
    table, edges = tmp_path / "data.csv", tmp_path / "edges.csv"
    table.write_text("raf,mek,erk\n1.0,2,3\n4,5.5,7\n")
    edges.write_text('"Cause","Effect"\n"raf","mek"\n"mek","erk"\n')
    names, data = read_table(table)
    assert names == ["raf", "mek", "erk"]
    torch.testing.assert_close(data, torch.tensor([[1.0, 2, 3], [4, 5.5, 7]]))
    assert read_edges(edges, names).nonzero().tolist() == [[0, 1], [1, 2]]
    torch.testing.assert_close(normalize(data).std(0), torch.ones(3))
    torch.testing.assert_close(normalize(data, log=True), normalize(data.log()))


def test_complaints(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file .*missing.csv.*Sachs.*cyto_full_data"):
        read_table(tmp_path / "missing.csv")
    bad = tmp_path / "bad.csv"
    bad.write_text("")
    with pytest.raises(ConfigError, match="is empty; a header"):
        read_table(bad)
    bad.write_text("a,b\n1,2\n3\n")
    with pytest.raises(ConfigError, match="must hold 2 numbers"):
        read_table(bad)
    bad.write_text("a,b\n1,x\n")
    with pytest.raises(ConfigError, match="must hold 2 numbers: could not convert"):
        read_table(bad)
    bad.write_text("cause,effect\na,c\n")
    with pytest.raises(ConfigError, match=r"\['a', 'c'\] is no edge between two of the variables"):
        read_edges(bad, ["a", "b"])
    with pytest.raises(ConfigError, match="column 1 is constant"):
        normalize(torch.tensor([[1.0, 2.0], [2.0, 2.0]]))
    with pytest.raises(ConfigError, match="log=True needs positive data"):
        normalize(torch.zeros(2, 1), log=True)
    with pytest.raises(ConfigError, match="number of pairs 3, got 4"):
        erdos_renyi_network(3, 4)
    with pytest.raises(ConfigError, match="noise_std must be positive, got 0"):
        erdos_renyi_network(3, 2, noise_std=0)


@pytest.mark.skipif(not (SACHS / "sachs_data.csv").exists(), reason="no Sachs data here")
def test_sachs() -> None:
    names, data = read_table(SACHS / "sachs_data.csv")
    assert data.shape == (7466, 11)
    edges = read_edges(SACHS / "sachs_edges.csv", names)
    assert int(edges.sum()) == 18
    with pytest.raises(ConfigError, match="has a cycle"):
        count_paths(edges[None])
    score = BGe(normalize(data, log=True))
    acyclic = edges.clone()
    acyclic[names.index("PIP3"), names.index("plcg")] = False
    env = Dags(11, score)
    assert float(env.log_reward(env.states(acyclic[None]))) > 1000

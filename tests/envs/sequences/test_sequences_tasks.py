"""`gflow train bits`, `tfbind` and `rna`, run as a user runs them."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.envs.sequences.env import AnyOrder, Autoregressive
from gflow.envs.sequences.rna_task import RNATask

pytestmark = pytest.mark.usefixtures("sketches")

QUICK = ["--steps=3", "--eval-samples=20", "--quiet=True", "--width=16", "--batch-size=8"]


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, task: str, *flags: str) -> dict[str, Any]:
    assert main(["train", task, *QUICK, f"--out={folder}", *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["metrics"]
    return found


@pytest.mark.parametrize("flags", [[], ["--order=any"], ["--network=transformer", "--heads=2"]])
@pytest.mark.parametrize("objective", ["tb", "db"])
def test_bits(tmp_path: Path, flags: list[str], objective: str) -> None:
    small = ["--bits=16", "--word=4", "--modes=5", f"--objective={objective}"]
    found = train(tmp_path / "run", "bits", *small, *flags)
    assert 0 <= found["modes_in_sample"] <= 5
    assert 0 <= found["nearest_mode"] <= 16
    assert -1 <= found["test_spearman"] <= 1


def test_bits_are_sampled_as_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "run", "bits", "--bits=16", "--word=4")
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "-n", "3"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 3
    assert all(len(row["object"]) == 16 and set(row["object"]) <= {"0", "1"} for row in rows)


@pytest.mark.slow
def test_tfbind_says_when_its_landscape_is_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gflow.envs.sequences.tfbind_task import TFBindTask

    monkeypatch.setattr(TFBindTask, "exact_limit", 0)  # the exact law takes seconds
    found = train(tmp_path / "run", "tfbind", "--order=left_to_right")
    assert "This landscape is made up" in capsys.readouterr().out
    assert 0 <= found["modes_in_sample"] <= 328
    assert main(["train", "tfbind", f"--table={tmp_path / 'none.txt'}"]) == 2
    assert "There is no table of E-scores" in capsys.readouterr().err


@pytest.mark.parametrize("order", ["left_to_right", "any"])
def test_rna_writes_the_designs_that_fold(
    tmp_path: Path, order: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rna = pytest.importorskip("RNA")
    target = "(((((....)))))"
    flags = [f"--target={target}", "--workers=0", f"--order={order}", "--steps=10"]
    found = train(tmp_path / "run", "rna", *flags)
    assert 0 <= found["solved"] <= 1
    with (tmp_path / "run" / "designs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    values = [float(row["agreement"]) for row in rows]
    assert values == sorted(values, reverse=True)
    for row in rows:
        structure, energy = rna.fold(row["sequence"])
        assert structure == row["structure"] == target
        assert float(row["energy_kcal_per_mol"]) == pytest.approx(energy, abs=0.01)
    assert f"{len(rows)} designs fold into the target" in capsys.readouterr().out


def test_rna_is_listed_without_vienna() -> None:
    assert isinstance(RNATask.cheap(), Autoregressive)
    assert not isinstance(RNATask.cheap(), AnyOrder)

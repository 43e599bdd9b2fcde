"""What a run leaves beside its numbers: where it was resumed, its objects, its page."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from gflow.cli.main import main
from gflow.envs.grids.task import HypergridTask as Grid
from gflow.tasks.task import Context
from gflow.training.json_lines import read_objects

WORDS = "hypergrid --side 4 --eval-every 10 --eval-samples 20 --quiet --width 16".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "run"
    assert main(["train", *WORDS, "--steps", "20", "--out", str(path)]) == 0
    assert main(["resume", str(path), "--steps", "30"]) == 0
    return path


def test_where_it_was_resumed(folder: Path) -> None:
    about = json.loads((folder / "about.json").read_text())
    assert about["resumed"] == [20]
    assert about["command"].startswith("gflow train hypergrid ")
    assert "--steps 30" in about["command"]
    assert set(about["versions"]) == {"gflow", "python", "torch", "numpy"}


def test_best_objects_and_samples(folder: Path) -> None:
    rows = read_objects(folder / "objects.jsonl")
    best = [row["reward"] for row in rows if row["set"] == "best"]
    assert best == sorted(best, reverse=True)
    assert best[0] > best[-1]
    assert len(best) == len({row["object"] for row in rows if row["set"] == "best"}) <= 16
    assert sum(row["set"] == "sample" for row in rows) == 20


def test_exact_numbers(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    error = abs(summary["exact"]["log_z"] - summary["metrics"]["log_z"])
    assert error == pytest.approx(summary["metrics"]["log_z_error"], rel=1e-5)
    accuracy = 100 * min(
        1.0, summary["metrics"]["expected_reward"] / summary["exact"]["mean_reward"]
    )
    assert accuracy == pytest.approx(summary["metrics"]["reward_accuracy"], rel=1e-5)


def test_pictures_in_between_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where drawing takes random numbers from wherever it can."""
    drawn = []
    usual = Grid.artifacts

    def artifacts(self: Grid, context: Context, folder: Path) -> dict[str, Path]:
        torch.rand(3), random.random(), np.random.rand()
        torch.rand(3, generator=context.trainer.generator)
        drawn.append(context.trainer.step)
        return usual(self, context, folder)

    monkeypatch.setattr(Grid, "artifacts", artifacts)
    numbers = []
    for every in ("0", "10"):
        path = tmp_path / every
        words = ["--steps", "30", "--pictures-every", every, "--out", str(path)]
        assert main(["train", *WORDS, *words]) == 0
        rows = read_objects(path / "metrics.jsonl")
        numbers.append([{k: v for k, v in row.items() if k != "timing"} for row in rows])
    assert drawn == [30, 10, 20, 30]
    assert numbers[0] == numbers[1]
    assert main(["train", *WORDS, "--pictures-every", "15", "--out", str(tmp_path / "no")]) == 2


def test_the_page(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "finished after 30 steps" in page
    assert "resumed at step 20" in page
    assert "exact " in page


def test_a_new_run_in_its_place_forgets_it(folder: Path) -> None:
    words = ["--steps", "10", "--out", str(folder), "--overwrite"]
    assert main(["train", *WORDS, *words]) == 0
    assert json.loads((folder / "about.json").read_text())["resumed"] == []

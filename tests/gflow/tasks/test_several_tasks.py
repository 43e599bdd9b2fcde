"""Tasks with several scores, run as a user runs them."""

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.behaviours.base import OnPolicy
from gflow.behaviours.front import FrontReplay
from gflow.behaviours.hindsight import Hindsight
from gflow.cli.main import main
from gflow.conditions.preferences import DirichletPreferences, UniformDirections
from gflow.envs.architectures.data import all_cells, write_cell
from gflow.envs.architectures.task import ArchitectureTask, read_table
from gflow.envs.grids.landscapes_task import LandscapesTask
from gflow.envs.molecules.task import MoleculesTask
from gflow.errors import ConfigError
from gflow.memory.pareto import non_dominated
from gflow.rewards.scalarizations import Goals, LogProduct, LogSum, Preferences
from gflow.tasks.run import Run
from gflow.tasks.several import enumerated_front

TINY = ["--side=8", "--width=8", "--depth=1", "--steps=6", "--batch-size=16", "--eval-every=3"]


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(task: str, folder: Path, *flags: str) -> dict[str, Any]:
    words = ["train", task, *flags, "--eval-samples=60", "--quiet=True", f"--out={folder}"]
    assert main(words) == 0
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    metrics: dict[str, Any] = summary["metrics"]
    return metrics


@pytest.mark.parametrize(
    ("objective", "combine"),
    [
        pair
        if pair in {("tb", "goals"), ("db", "sum")}
        else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(["tb", "db"], ["sum", "product", "preferences", "goals"])
    ],
)
def test_landscapes(tmp_path: Path, combine: str, objective: str) -> None:
    flags = [f"--combine={combine}", f"--objective={objective}", *TINY]
    metrics = train("landscapes", tmp_path / "run", *flags)
    assert 0 < metrics["hypervolume_ratio"] <= 1
    assert metrics["archive_igd_plus"] >= 0
    assert metrics["hausdorff"] == max(metrics["gd_plus"], metrics["igd_plus"])
    assert metrics["archive_size"] >= 1
    assert ("tv" in metrics) == (combine in ("sum", "product"))
    assert ("focus_accuracy" in metrics) == (combine == "goals")
    assert (tmp_path / "run" / "front.png").stat().st_size > 5000
    assert main(["sample", str(tmp_path / "run"), "-n", "3"]) == 0


@pytest.mark.slow
def test_a_run_resumes_with_its_front(tmp_path: Path) -> None:
    flags = ["--combine=goals", "--beta-shape=4", "--front-share=0.2", *TINY]
    whole = train("landscapes", tmp_path / "whole", *flags)
    again = train("landscapes", tmp_path / "again", *flags)
    assert whole == again
    run = Run.open(tmp_path / "whole")
    assert run.front is not None
    assert run.context.front is run.front
    assert len(run.front) == whole["archive_size"]
    scores = run.front.scores
    assert bool(non_dominated(scores).all())
    torch.testing.assert_close(run.context.env.scores(run.front.states), scores)


def test_options_become_what_they_say() -> None:
    assert isinstance(LandscapesTask().scalarization(), LogSum)
    product = LandscapesTask(combine="product", weights=(1.0, 3.0)).scalarization()
    assert isinstance(product, LogProduct)
    assert product.weights is not None
    assert product.weights.tolist() == [0.25, 0.75]
    task = LandscapesTask(combine="preferences", beta_shape=16.0)
    env = task.environment()
    rule, draw, encoder = task.scalarization(), task.condition(env), task.condition_encoder(env)
    assert isinstance(rule, Preferences)
    assert rule.beta is None
    assert isinstance(draw, DirichletPreferences)
    assert draw.beta is not None
    assert draw.beta.shape == 16
    assert encoder is not None
    assert encoder.out_features == 34
    plain = OnPolicy()
    assert task.behaviour(env, plain) is plain
    goals = LandscapesTask(combine="goals", cosine=0.9, limit=0.5, beta=3.0, hindsight=0.4)
    env, rule = goals.environment(), goals.scalarization()
    assert isinstance(rule, Goals)
    assert (rule.cosine, rule.limit, rule.beta) == (0.9, 0.5, 3.0)
    assert isinstance(goals.condition(env), UniformDirections)
    behaviour = goals.behaviour(env, plain)
    assert isinstance(behaviour, Hindsight)
    assert behaviour.share == 0.4
    assert LandscapesTask(combine="goals", hindsight=0.0).behaviour(env, plain) is plain
    both = LandscapesTask(combine="goals", front_share=0.2).behaviour(env, plain)
    assert isinstance(both, FrontReplay)
    assert both.share == 0.2
    assert isinstance(both.inner, Hindsight)
    assert both.inner.inner is plain


def test_weights_are_refused_where_they_would_not_be_read() -> None:
    for combine in ("preferences", "goals"):
        with pytest.raises(ConfigError, match=f"combine={combine} draws others"):
            LandscapesTask(combine=combine, weights=(1.0, 3.0)).environment()


def test_the_front_of_a_task_is_that_of_its_options() -> None:
    assert len(enumerated_front(LandscapesTask(functions=("currin", "beale")))) == 8
    assert len(enumerated_front(LandscapesTask(functions=("branin", "shubert")))) == 14


@pytest.mark.slow
def test_an_architecture_is_found_and_judged(tmp_path: Path) -> None:
    table = read_table("synthetic")
    judge = tmp_path / "judge.csv"
    with judge.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["cell", "hours"])
        for number, cell in enumerate(all_cells().tolist()):
            rows.writerow([write_cell(cell), number / 156.25])
    flags = ["--steps=4", "--batch-size=8", "--width=8", "--eval-every=2", f"--judge={judge}"]
    metrics = train("architecture", tmp_path / "run", *flags)
    lines = (tmp_path / "run" / "cells.tsv").read_text().splitlines()
    value, cell = lines[0].split("\t")
    row = [write_cell(c) for c in all_cells().tolist()].index(cell)
    assert float(value) == pytest.approx(float(table.values[row, 0]), abs=1e-3)
    assert (
        metrics["best_accuracy"] == metrics["best_short"] == pytest.approx(float(value), abs=1e-3)
    )
    assert metrics["best_long"] == pytest.approx(float(table.values[row, 1]))
    assert metrics["best_hours"] == pytest.approx(row / 156.25)
    assert metrics["regret"] == pytest.approx(
        float(table.values[:, 0].max()) - float(value), abs=1e-3
    )
    assert 0 < metrics["tv"] < 1
    values = [float(line.split("\t")[0]) for line in lines]
    assert values == sorted(values, reverse=True)


@pytest.mark.slow
def test_architectures_by_several_scores(tmp_path: Path) -> None:
    flags = ["--scores", "long", "lightness", "--combine=preferences", "--steps=3"]
    metrics = train("architecture", tmp_path / "run", *flags, "--width=8", "--batch-size=8")
    assert 0 < metrics["hypervolume_ratio"] <= 1
    assert (tmp_path / "run" / "front.png").exists()
    task = ArchitectureTask(scores=("long", "lightness"))
    assert task.environment().num_scores == 2
    assert ArchitectureTask().environment().num_scores == 0
    assert ArchitectureTask(column="long").rewarded == "long"


@pytest.mark.slow
def test_molecules_by_goals(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    flags = ["--steps=2", "--batch-size=8", "--workers=0", "--width=8", "--depth=1"]
    flags += ["--vocabulary-size=20", "--max-fragments=3", "--combine=goals"]
    metrics = train("molecules", tmp_path / "run", *flags)
    assert "focus_accuracy" in metrics
    assert (tmp_path / "run" / "front.png").exists()
    assert (tmp_path / "run" / "molecules.png").exists()
    plain = MoleculesTask(vocabulary_size=20, workers=0).environment()
    assert plain.num_scores == 0
    both = MoleculesTask(vocabulary_size=20, workers=0, vector=True).environment()
    assert both.num_scores == 2
    assert both.condition_dim == 0

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
from gflow.conditions.several import GoalConditions, PreferenceConditions
from gflow.envs.architectures.data import all_cells, write_cell
from gflow.envs.architectures.task import ArchitectureTask, read_table
from gflow.envs.grids.landscapes_task import LandscapesTask
from gflow.envs.grids.task import HypergridTask
from gflow.envs.molecules.task import MoleculesTask
from gflow.errors import ConfigError, IncompatibleError
from gflow.memory.pareto import non_dominated
from gflow.rewards.scalarizations import Goals, LogProduct, LogSum, Preferences
from gflow.runs.run import Run
from gflow.tasks.conditional import conditions_of
from gflow.tasks.several import enumerated_front

pytestmark = pytest.mark.usefixtures("sketches")

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


@pytest.mark.slow
@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize(
    ("objective", "how"),
    [
        pair
        if pair in {("tb", "goals"), ("db", "sum")}
        else pytest.param(*pair, marks=pytest.mark.slow)
        for pair in itertools.product(["tb", "db"], ["sum", "product", "preferences", "goals"])
    ],
)
def test_landscapes(tmp_path: Path, how: str, objective: str) -> None:
    told = how in ("preferences", "goals")
    flags = [f"--condition={how}" if told else f"--combine={how}", f"--objective={objective}"]
    flags += TINY
    metrics = train("landscapes", tmp_path / "run", *flags)
    assert 0 < metrics["hypervolume_ratio"] <= 1
    assert metrics["archive_igd_plus"] >= 0
    assert metrics["hausdorff"] == max(metrics["gd_plus"], metrics["igd_plus"])
    assert metrics["archive_size"] >= 1
    assert 0 < metrics["tv"] < 1
    assert ("tv_at_0.5_0.5" in metrics) == (how == "preferences")
    assert ("tv_at_1_0" in metrics) == told
    assert ("focus_accuracy" in metrics) == (how == "goals")
    assert (tmp_path / "run" / "front.png").stat().st_size > 5000
    assert main(["sample", str(tmp_path / "run"), "-n", "3"]) == 0


@pytest.mark.slow
def test_a_run_resumes_with_its_front(tmp_path: Path) -> None:
    flags = ["--condition=goals", "--condition-beta-shape=4", "--front-share=0.2", *TINY]
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
    plain, task = OnPolicy(), LandscapesTask(front_share=0.2, beta=3.0)
    assert LandscapesTask().behaviour(task.environment(), plain) is plain
    told = conditions_of(task, PreferenceConditions(beta_shape=16.0), task.environment())
    assert isinstance(told.env.reward.scalarization, Preferences)
    assert told.env.reward.scalarization.beta is None
    assert isinstance(told.plain.reward.scalarization, LogSum)
    assert isinstance(told.draw, DirichletPreferences)
    assert told.draw.beta is not None
    assert told.draw.beta.shape == 16
    encoder = task.condition_encoder(told.env)
    assert encoder is not None
    assert encoder.out_features == 2 * 16 + 32
    assert isinstance(told.behaviour(task, plain), FrontReplay)
    goals = GoalConditions(cosine=0.9, limit=0.5, hindsight=0.4)
    told = conditions_of(task, goals, task.environment())
    rule = told.env.reward.scalarization
    assert isinstance(rule, Goals)
    assert (rule.cosine, rule.limit, rule.beta) == (0.9, 0.5, 3.0), "beta is that of the task"
    assert isinstance(told.draw, UniformDirections)
    both = told.behaviour(task, plain)
    assert isinstance(both, FrontReplay)
    assert both.share == 0.2
    assert isinstance(both.inner, Hindsight)
    assert both.inner.share == 0.4
    assert both.inner.inner is plain
    never = conditions_of(LandscapesTask(), GoalConditions(hindsight=0.0), task.environment())
    assert never.behaviour(LandscapesTask(), plain) is plain


def test_conditions_on_scores_are_refused_where_there_are_none() -> None:
    env = HypergridTask().environment()
    with pytest.raises(IncompatibleError, match="one number as its reward.* --vector"):
        conditions_of(HypergridTask(), GoalConditions(), env)
    weighted = LandscapesTask(weights=(1.0, 3.0)).environment()
    with pytest.raises(IncompatibleError, match=r"\[0.25, 0.75\].* of a fixed combination"):
        PreferenceConditions().environment(weighted)
    with pytest.raises(ConfigError, match=r"beta=2 fixes what beta_shape=4 draws"):
        PreferenceConditions(beta=2.0, beta_shape=4.0)
    with pytest.raises(ConfigError, match="at least 2 marks"):
        PreferenceConditions(marks=1)
    task = LandscapesTask()
    told = conditions_of(task, PreferenceConditions(), task.environment())
    with pytest.raises(IncompatibleError, match="take the place of what HyperGrid is told already"):
        GoalConditions().environment(told.env)


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
    flags = ["--scores", "long", "lightness", "--condition=preferences", "--steps=3"]
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
    flags += ["--vocabulary-size=20", "--max-fragments=3", "--vector"]
    flags += ["--condition=goals"]
    metrics = train("molecules", tmp_path / "run", *flags)
    assert "focus_accuracy" in metrics
    assert (tmp_path / "run" / "front.png").exists()
    assert (tmp_path / "run" / "molecules.csv").exists()
    plain = MoleculesTask(vocabulary_size=20, workers=0).environment()
    assert plain.num_scores == 0
    both = MoleculesTask(vocabulary_size=20, workers=0, vector=True).environment()
    assert both.num_scores == 2
    assert both.condition_dim == 0

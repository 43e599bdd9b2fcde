import json
from pathlib import Path
from typing import Literal

import pytest
import torch

from gflow.cli.main import main
from gflow.envs.graphs.optima import optimum
from gflow.envs.graphs.task import IndependentSetTask, held_out
from gflow.runs.run import Run
from gflow.tasks.options import RunConfig
from gflow.tasks.task import RunOptions
from gflow.training.trainer import TrainConfig

pytestmark = pytest.mark.usefixtures("sketches")


def test_a_run_reports_held_out_sizes(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    task = IndependentSetTask(train_graphs=4, held_out=3, samples=4, width=8, depth=1)
    options = RunOptions(eval_samples=4, quiet=True, threads=1)
    run = Run.create(RunConfig.of(task, TrainConfig(2, 4), options), tmp_path / "run")
    summary = run.train()
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert summary["environment"] == "mis"
    assert 0.5 < metrics["ratio_to_optimum"] <= metrics["best_ratio_to_optimum"] <= 1
    assert 0.8 < metrics["greedy_ratio_to_optimum"] <= 1
    env, best, greedy = held_out(task)
    assert metrics["mean_optimum"] == pytest.approx(float(best.mean()))
    assert best.tolist() == [optimum(env.graphs, g).value for g in range(3)]
    assert bool((greedy <= best).all())
    assert "3 held-out graphs" in task.report(run.context)


def test_own_graphs_come_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_default_dtype(torch.float32)
    star, ring = tmp_path / "star.csv", tmp_path / "ring.col"
    star.write_text("source,target\nhub,a\nhub,b\nhub,c\n")
    ring.write_text("p edge 4 4\ne 1 2\ne 2 3\ne 3 4\ne 4 1\n")
    words = ["train", "mis", "--files", str(star), str(ring), "--steps=2", "--samples=4"]
    words += ["--width=8", "--depth=1", "--eval-samples=4", "--quiet=True"]
    assert main([*words, f"--out={tmp_path / 'run'}"]) == 0
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert metrics["mean_optimum"] == 2.5  # the leaves of the star; two of the ring
    assert "2 graphs of files" in capsys.readouterr().out
    star.write_text("hub,a,2\n")
    assert main([*words, f"--out={tmp_path / 'other'}"]) == 2
    assert "star.csv, line 1 (weight 2): edges carry weights" in capsys.readouterr().err


def test_held_out_graphs_are_others() -> None:
    task = IndependentSetTask(graphs="er", train_graphs=2)
    train, test = task.environment().graphs, task.batch_of(2, task.graph_seed + 1)
    same = train.edge_index.shape == test.edge_index.shape
    assert not (same and torch.equal(train.edge_index, test.edge_index))


@pytest.mark.parametrize("kind", ["rb", "er", "ba"])
def test_sizes_are_as_asked(kind: Literal["rb", "er", "ba"]) -> None:
    graphs = IndependentSetTask(graphs=kind, size="medium").batch_of(3, 0)
    assert bool(((graphs.sizes >= 60) & (graphs.sizes <= 100)).all())


def test_one_log_z_for_all_graphs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "mis", "--objective=tb", "--train-graphs=3", f"--out={tmp_path}"]) == 2
    assert "one log Z for all conditions" in capsys.readouterr().err


@pytest.mark.slow
def test_branching_trains_on_graphs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_default_dtype(torch.float32)
    words = ["train", "mis", "--train-graphs=6", "--held-out=2", "--samples=2", "--width=8"]
    words += ["--batch-size=16", "--eval-samples=4", "--quiet=True", "--behaviour=branching"]
    small = [*words, "--repeat=4", "--steps=3"]
    assert main([*small, f"--out={tmp_path / 'run'}"]) == 0
    metrics = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]
    assert 0.5 < metrics["ratio_to_optimum"] <= 1
    assert main([*words, "--whole=0", f"--out={tmp_path / 'refused'}"]) == 2
    assert "whole must lie in" in capsys.readouterr().err

"""`gflow train stochastic-grid` and `noisy-tfbind`, run as a user runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow import Objective, enumerate_states
from gflow.cli.main import main
from gflow.envs.noise import StochasticGrid
from gflow.envs.noise.grid_task import StochasticGridTask
from gflow.envs.noise.metrics import expected_metrics
from gflow.envs.noise.tfbind_task import NoisyTFBindTask
from gflow.exact.expected import Form, expected_flows
from gflow.exact.tabular import TabularPolicy
from gflow.objectives import DetailedBalance, ExpectedDetailedBalance
from gflow.tasks.task import Context
from gflow.training import TrainConfig, Trainer

pytestmark = pytest.mark.usefixtures("sketches")


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, task: str, *flags: str) -> dict[str, Any]:
    quick = ["--eval-samples=20", "--quiet=True", f"--out={folder}", "--width=32", "--seed=1"]
    assert main(["train", task, *quick, *flags]) == 0
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["metrics"]
    return found


@pytest.mark.parametrize("form", ["tree", "dag"])
def test_figures_vanish_at_expected_flows_of_the_form_that_is_meant(form: Form) -> None:
    torch.set_default_dtype(torch.float64)
    env = StochasticGrid(2, 4)
    graph = enumerate_states(env)
    log_pb = graph.uniform_log_pb()
    policy = TabularPolicy.solved(graph, expected_flows(graph, form, log_pb))

    def figures(objective: Objective) -> dict[str, float]:
        trainer = Trainer(env, policy, objective, TrainConfig(steps=1))
        return expected_metrics(Context(StochasticGridTask(side=4), env, trainer, None, graph))

    found = figures(ExpectedDetailedBalance(graph=form))
    assert found["tv_expected"] < 1e-9
    assert found["tv_reward"] > 0.01
    other = figures(ExpectedDetailedBalance(graph="tree" if form == "dag" else "dag"))
    assert other["tv_expected"] > 0.01
    assert other["tv_reward"] == found["tv_reward"]
    assert (figures(DetailedBalance())["tv_expected"] < 1e-9) == (form == "tree")


@pytest.mark.usefixtures("rendered")
@pytest.mark.slow
@pytest.mark.parametrize("graph", ["tree", "dag"])
def test_the_grid_approaches_expected_flows(tmp_path: Path, graph: str) -> None:
    flags = ["--side=4", "--steps=400", "--lr=0.01", "--batch-size=32", f"--graph={graph}"]
    found = train(tmp_path, "stochastic-grid", *flags)
    assert found["tv_expected"] < 0.04
    assert found["tv"] == pytest.approx(found["tv_expected"])
    assert found["tv_reward"] > 2 * found["tv_expected"]
    assert found["log_z_error"] < 0.1
    assert (tmp_path / "distribution.png").stat().st_size > 5000


@pytest.mark.slow
def test_baselines_are_measured_too(tmp_path: Path) -> None:
    flags = ["--side=3", "--steps=3", "--objective=naive_realised"]
    found = train(tmp_path / "run", "stochastic-grid", *flags)
    assert 0 < found["tv_expected"] < 1
    assert found["tv"] == pytest.approx(found["tv_reward"])


def test_letters_without_noise_are_an_ordinary_gflownet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NoisyTFBindTask, "exact_limit", 0)  # the exact law takes seconds
    found = train(
        tmp_path / "run", "noisy-tfbind", "--steps=3", "--batch-size=8", "--token-noise=0"
    )
    assert "This landscape is made up" in capsys.readouterr().out
    assert 0 < found["mean_reward"] < 1
    assert "tv_expected" not in found
    assert main(["train", "noisy-tfbind", f"--table={tmp_path / 'none.txt'}"]) == 2
    assert "There is no table of E-scores" in capsys.readouterr().err
    assert main(["train", "noisy-tfbind", "--token-noise=1.5"]) == 2
    assert "--token-noise must lie in [0, 1]" in capsys.readouterr().err


@pytest.mark.slow
def test_noisy_letters_have_exact_figures(tmp_path: Path) -> None:
    flags = ["--steps=60", "--batch-size=32", "--token-noise=0.25", "--kernel=learned"]
    found = train(tmp_path, "noisy-tfbind", *flags)
    assert found["tv_expected"] < 0.3
    assert found["tv_reward"] > found["tv_expected"] + 0.1
    assert found["log_z_error"] == pytest.approx(8.56472 - found["log_z"], abs=1e-4)

"""`gflow pretrain --explore novelty`: another sampler, trained beside, finds what to learn from."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.behaviours import Explorer
from gflow.behaviours.base import OnPolicy
from gflow.cli.main import main
from gflow.envs.grids.task import HypergridTask
from gflow.objectives import GenerativeAugmentation
from gflow.outcomes import OutcomeConditioned, Stored
from gflow.tasks.registry import task_class

SMALL = ["--side=4", "--width=32", "--steps=60", "--eval-every=30", "--eval-samples=20"]
SMALL += ["--ema=0", "--batch-size=16", "--lr=0.01", "--checkpoint-every=10", "--quiet=True"]


@pytest.fixture(autouse=True)
def _single_precision(undrawn: None) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


@pytest.mark.slow
def test_what_the_explorer_finds_is_learned(tmp_path: Path) -> None:
    words = ["pretrain", "hypergrid", *SMALL, "--explore=novelty", f"--out={tmp_path / 'run'}"]
    assert main(words) == 0
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    for name in ("success_even", "success_visited"):
        assert found["untrained"][name] < 0.2 < 0.4 < found["metrics"][name]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert last["objects_stored"] > 12
    assert last["explorer_novelty"] > 0


def test_the_explorer_has_the_tasks_network_and_no_conditions() -> None:
    kind: Any = task_class("pretrain hypergrid")
    task = kind(explore="novelty", side=4, width=24)
    env = task.environment()
    assert OutcomeConditioned(HypergridTask(side=4).environment()).name == env.name
    stored = task.behaviour(env, OnPolicy()).inner
    assert isinstance(stored, Stored)
    assert isinstance(stored.inner, Explorer)
    seeker = stored.inner.trainer
    assert isinstance(seeker.objective, GenerativeAugmentation)
    assert seeker.env.condition_dim == 0
    assert type(seeker.policy).__name__ == "MLPPolicy"
    objects = seeker.env.initial(2)
    assert seeker.env.log_reward(objects).tolist() == [-7.0, -7.0]
    torch.manual_seed(0)
    one = task.behaviour(env, OnPolicy()).inner.inner.trainer.config.seed
    torch.manual_seed(1)
    assert task.behaviour(env, OnPolicy()).inner.inner.trainer.config.seed != one


def test_what_the_policy_would_do_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "hypergrid", *SMALL, "--explore=novelty"]
    assert main([*words, "--retried=0.5"]) == 2
    assert "with --explore novelty" in capsys.readouterr().err
    assert main([*words, "--behaviour=incomplete"]) == 2
    assert "with --explore novelty" in capsys.readouterr().err

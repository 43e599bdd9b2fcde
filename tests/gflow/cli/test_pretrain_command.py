"""`gflow pretrain` and `gflow finetune`: ordinary runs, stopped and resumed, turned to rewards."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow
from gflow.cli.main import main
from gflow.envs.grids.task import HypergridTask
from gflow.outcomes import Amortised, OutcomePolicy
from gflow.outcomes.flows import OutcomeFlows
from gflow.tasks.registry import task_class
from gflow.training.json_lines import read_jsonl

SMALL = ["--side=4", "--width=32", "--steps=60", "--eval-every=30", "--eval-samples=20"]
SMALL += ["--ema=0", "--batch-size=16", "--lr=0.01", "--checkpoint-every=10", "--quiet=True"]


@pytest.fixture(autouse=True)
def _single_precision(undrawn: None) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    assert main(["pretrain", "hypergrid", *SMALL, f"--out={folder}"]) == 0
    torch.set_default_dtype(before)
    return folder


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, "one line"
    return said


@pytest.mark.slow
def test_a_sampler_of_outcomes_learns_what_it_is_told(pretrained: Path) -> None:
    found = summary(pretrained)
    assert found["environment"] == "pretrain-hypergrid"
    for name in ("success_even", "success_visited"):
        assert found["untrained"][name] < 0.2 < 0.4 < found["metrics"][name]
    trained = gflow.load(pretrained)
    assert isinstance(trained.policy, OutcomePolicy)
    told = torch.tensor([[3.0, 2.0]]).expand(50, -1)
    built = trained.sample(50, condition=told)
    assert (built == told).all(-1).double().mean() > 0.3


@pytest.mark.slow
def test_three_rewards_from_one_run(pretrained: Path, tmp_path: Path) -> None:
    """Conversion without training comes closer to each reward than an untrained sampler."""
    for reward in ("corners", "cosine", "deceptive"):
        out = tmp_path / reward
        words = ["finetune", str(pretrained), "--how", "converted", "--reward", reward]
        assert main([*words, f"--out={out}", "--quiet=True"]) == 0
        found = summary(out)
        assert found["step"] == 0
        assert found["metrics"]["tv"] < 0.3


@pytest.mark.slow
def test_the_amortised_predictor_is_an_ordinary_run(pretrained: Path, tmp_path: Path) -> None:
    """Trained, resumed to the same numbers, loaded again, with the flows frozen."""
    words = ["finetune", str(pretrained), "--task", "hypergrid", *SMALL[:-1], "--quiet=True"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*words, f"--out={whole}"]) == 0
    assert main([*words, "--steps=30", f"--out={parts}"]) == 0
    assert main(["resume", str(parts), "--steps=60"]) == 0
    a, b = (summary(folder)["metrics"] for folder in (whole, parts))
    assert a == b
    assert summary(whole)["metrics"]["tv"] < summary(whole)["untrained"]["tv"]
    trained = gflow.load(whole)
    assert isinstance(trained.objective, Amortised)
    frozen, there = trained.objective.flows.policy, gflow.load(pretrained).policy
    for mine, theirs in zip(frozen.parameters(), there.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_options_of_pretraining_are_the_defaults(pretrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main(["finetune", str(pretrained), "--how=converted", f"--out={out}", "--quiet"]) == 0
    task = gflow.load(out).context.task
    assert task.side == 4  # type: ignore[attr-defined]
    assert task.pretrained == str(pretrained)  # type: ignore[attr-defined]


def test_scratch_is_the_task_itself(pretrained: Path, tmp_path: Path) -> None:
    words = ["finetune", str(pretrained), "--how", "scratch", *SMALL, "--steps=3"]
    words.remove("--steps=60")
    assert main([*words, f"--out={tmp_path / 'run'}"]) == 0
    assert type(gflow.load(tmp_path / "run").context.task) is HypergridTask


def test_in_python(pretrained: Path) -> None:
    """The same by gflow.fit, and by hand for an environment that is there already."""
    fitted = gflow.fit("amortised hypergrid", pretrained=str(pretrained), side=4, steps=3)
    assert fitted.step == 3
    trained = gflow.load(pretrained)
    env = HypergridTask(side=4, reward="cosine").environment()
    policy = trained.converted(env)
    assert isinstance(trained.outcome_flows, OutcomeFlows)
    batch = gflow.Sampler(env).forward(policy, 20)
    assert len(batch) == 20


def test_refusals(pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(pretrained)
    said = refused(capsys, "finetune", run, "--task", "hypergrid", "--side", "5", "--how=converted")
    assert "other states or moves" in said
    assert "its kind" in refused(capsys, "finetune", run, "--task", "bits", "--bits", "8")
    assert "way to fine-tune" in refused(capsys, "finetune", run, "--how", "somehow")
    assert "holds no run" in refused(capsys, "finetune", str(tmp_path))
    assert "one folder" in refused(capsys, "finetune", "--how", "converted")
    assert "--explore policy" in refused(
        capsys, "pretrain", "hypergrid", "--behaviour", "local_search", f"--out={tmp_path}"
    )
    assert "sums of the flows of a pre-trained sampler" in refused(
        capsys, "train", "hypergrid", "--objective=gflow.outcomes.amortised:Amortised"
    )
    hot = ("--condition", "temperature", f"--out={tmp_path}")
    for words in (
        ["pretrain", "hypergrid"],
        ["finetune", run],
        ["finetune", run, "--how=converted"],
    ):
        assert "Leave --condition out" in refused(capsys, *words, *hot)
    assert main(["pretrain"]) == 2
    assert main(["finetune"]) == 2
    assert main(["pretrain", "hypergrid", "--help"]) == 0
    assert "--explore" in capsys.readouterr().out


def test_classes_of_wrapped_tasks() -> None:
    cls = task_class("pretrain hypergrid")
    task = cls(side=3)  # type: ignore[call-arg]
    assert task.environment().condition_dim == 2
    assert task.name == "pretrain-hypergrid"
    assert task.backward == "uniform"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_killed_and_resumed_to_the_same_numbers(starter: Any, tmp_path: Path) -> None:
    """kill -9 in the middle, then gflow resume: rows and weights of a run that was left alone."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    words = ["-m", "gflow", "pretrain", "hypergrid", *SMALL, "--steps=150"]
    words.remove("--steps=60")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert starter.run([*words, f"--out={whole}"], env=env).returncode == 0
    process = starter.start([*words, f"--out={killed}"], env=env)
    checkpoint, deadline = killed / "checkpoints" / "last.pt", time.monotonic() + 60
    first = 0.0
    while time.monotonic() < deadline:
        if checkpoint.exists():
            first = first or checkpoint.stat().st_mtime
            if checkpoint.stat().st_mtime > first:
                break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "summary.json").exists()
    assert main(["resume", str(killed)]) == 0
    rows = [
        [{k: v for k, v in row.items() if k != "timing"} for row in read_jsonl(f / "metrics.jsonl")]
        for f in (whole, killed)
    ]
    assert rows[0] == rows[1]
    policies = [gflow.load(folder).policy.state_dict() for folder in (whole, killed)]
    assert all(torch.equal(policies[0][key], policies[1][key]) for key in policies[0])

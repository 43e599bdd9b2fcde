"""Backward policies and replay from the command line, run as a user runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.backward.choice import BACKWARD_POLICIES
from gflow.cli.main import main
from gflow.policies.split import SplitPolicy
from gflow.runs.run import Run
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import TASKS
from gflow.tasks.signature import choices_of, options_of
from gflow.training.json_lines import read_jsonl

pytestmark = pytest.mark.usefixtures("sketches")

SECOND_NETWORK = tuple(k for k, c in BACKWARD_POLICIES.items() if c.network != "none")
BITS = ["--bits=16", "--word=4", "--modes=4"]
QUICK = ["--eval-samples=20", "--quiet=True", "--width=16", "--batch-size=8"]


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "pessimistic" else pytest.param(kind, marks=pytest.mark.slow)
        for kind in BACKWARD_POLICIES
    ],
)
def test_every_backward_policy_by_its_name(tmp_path: Path, kind: str) -> None:
    flags = ["--side=4", "--steps=20", "--objective=subtb", f"--backward={kind}"]
    found = train(tmp_path / "run", "hypergrid", *flags)
    assert ("backward_loss" in found) == (kind in SECOND_NETWORK and kind != "separate")
    run = Run.open(tmp_path / "run")
    policy = run.context.trainer.policy
    assert isinstance(policy, SplitPolicy) == (kind in SECOND_NETWORK)
    assert policy.backward == ("learned" if kind in SECOND_NETWORK else kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pessimistic", "tlm", "learned_maxent"])
def test_a_run_that_stopped_goes_on_with_its_fit(tmp_path: Path, kind: str) -> None:
    flags = ["--side=4", "--steps=12", "--eval-every=6", f"--backward={kind}", "--replay=30"]
    flags += ["--checkpoint-every=6", "--replay-draw=prt", "--replay-rebuild=backward"]
    whole = train(tmp_path / "whole", "hypergrid", *flags)
    run = Run.create(
        RunConfig.from_dict(Run.open(tmp_path / "whole").config.to_dict()), tmp_path / "cut"
    )
    for _ in range(6):
        run.context.trainer.train_step()
    run.save()
    run.close()
    (tmp_path / "cut" / "metrics.jsonl").write_text(
        (tmp_path / "whole" / "metrics.jsonl").read_text()
    )
    assert main(["resume", str(tmp_path / "cut")]) == 0
    last = read_jsonl(tmp_path / "cut" / "metrics.jsonl")[-1]
    for name in ("tv", "log_z", "elbo"):
        assert last[name] == whole[name]


@pytest.mark.parametrize(
    ("task", "flags", "kind"),
    [
        ("sets", ["--items=6", "--size=3"], "tlm"),
        pytest.param("bits", [*BITS, "--order=any"], "learned_maxent", marks=pytest.mark.slow),
        ("bits", [*BITS, "--network=transformer", "--heads=2"], "pessimistic"),
        pytest.param("dags", ["--variables=3", "--edges=2"], "tlm", marks=pytest.mark.slow),
    ],
    ids=["sets", "bits", "transformer", "dags"],
)
def test_other_tasks(tmp_path: Path, task: str, flags: list[str], kind: str) -> None:
    found = train(tmp_path / "run", task, *flags, "--steps=3", f"--backward={kind}")
    assert found["backward_loss"] >= 0


def test_every_task_with_a_perceptron_offers_them() -> None:
    for name in ("hypergrid", "sets", "spins", "tfbind", "bits", "rna"):
        (option,) = (o for o in options_of(TASKS[name]) if o.name == "backward")
        assert set(BACKWARD_POLICIES) <= set(choices_of(option.hint))


@pytest.mark.slow
def test_replay_and_exploration_have_flags(tmp_path: Path) -> None:
    flags = ["--side=4", "--steps=8", "--replay=40", "--replay-keep=diverse", "--replay-draw=rank"]
    flags += ["--replay-rebuild=backward", "--augment=2", "--augment-objects=3", "--ema=0.9"]
    flags += ["--ema-sampling=0.3", "--trajectory-epsilon=0.1", "--replay-distinct=True"]
    assert train(tmp_path / "run", "hypergrid", *flags)["augmented_loss"] >= 0

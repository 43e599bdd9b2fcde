"""A step that fails loses nothing of the steps before it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli.main import main
from gflow.errors import RewardError
from gflow.training.json_lines import read_jsonl
from gflow.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("sketches")

TRAIN = ["train", "hypergrid", "--side=4", "--width=8", "--steps=20", "--eval-every=8"]
TRAIN += ["--eval-samples=20", "--checkpoint-every=5", "--epsilon=0.1", "--quiet"]


def results(folder: Path) -> Any:
    rows = [{**row, "timing": None} for row in read_jsonl(folder / "metrics.jsonl")]
    return rows, json.loads((folder / "summary.json").read_text())["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("error", [RewardError("no reward"), ValueError("a bug of the user's")])
def test_the_steps_before_are_saved_and_the_step_is_repeated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    assert main([*TRAIN, f"--out={tmp_path / 'alone'}"]) == 0
    loss_of = Trainer.loss_of

    def fail(self: Trainer, batch: Any, objective: Any) -> Any:
        if self.step == 12:  # of which the checkpoint of step 10 knows nothing
            raise error
        return loss_of(self, batch)

    out = tmp_path / "failed"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "loss_of", fail)
        if isinstance(error, RewardError):
            assert main([*TRAIN, f"--out={out}"]) == 2
        else:
            with pytest.raises(ValueError, match="a bug of the user's"):
                main([*TRAIN, f"--out={out}"])
    said = capsys.readouterr().err
    assert "Step 13 failed; what came before is saved." in said
    assert f"gflow resume {out}" in said
    steps: list[int] = []

    def noted(self: Trainer, batch: Any, objective: Any) -> Any:
        steps.append(self.step)
        return loss_of(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "loss_of", noted)
        assert main(["resume", str(out)]) == 0
    assert steps == list(range(12, 20))
    assert results(out) == results(tmp_path / "alone")
    assert_equal_policies(out, tmp_path / "alone")


def assert_equal_policies(one: Path, other: Path) -> None:
    found = [
        torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["state"]["trainer"]
        for folder in (one, other)
    ]
    torch.testing.assert_close(found[0]["policy"], found[1]["policy"], rtol=0, atol=0)

"""Runs that end early, or keep checkpoints: from flags, and resumed to the same numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import gflow
from gflow.cli.main import main
from gflow.cli.train_flags import parse
from gflow.errors import ConfigError
from gflow.runs.run import Run
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import TASKS
from gflow.training.json_lines import read_jsonl

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = (
    "--side 3 --width 8 --batch-size 4 --quiet --eval-samples 8 --eval-every 2 "
    "--checkpoint-every 3 --steps 40"
)


def config(flags: str) -> RunConfig:
    return parse(TASKS["hypergrid"], f"{SMALL} {flags}".split())


EARLY = "--stop-metric ess --patience 3 --min-delta 100 --keep-best log_z_error --keep-every 5"
"""The first report counts, and three without a gain end it: at step 8."""


def state(run: Run) -> dict[str, Any]:
    return {
        "weights": [p.tolist() for p in run.context.trainer.policy.parameters()],
        "halting": run.halting.state_dict(),
        "numbers": run.context.numbers,
    }


def told(run: Run) -> list[dict[str, Any]]:
    rows = read_jsonl(run.files.metrics)
    return [{key: value for key, value in row.items() if key != "timing"} for row in rows]


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_a_run_ends_early_and_a_killed_one_likewise(tmp_path: Path) -> None:
    whole = Run.create(config(EARLY), tmp_path / "whole")
    summary = whole.train()
    whole.close()
    assert (whole.context.trainer.step, summary["step"]) == (8, 8)
    assert summary["ended"].startswith("ess has not improved for 3 reports")
    for killed in (4, 7):
        folder = tmp_path / f"killed-{killed}"
        broken = Run.create(config(EARLY), folder)
        broken.begin()
        for _ in range(killed):  # as `train` does it, up to a kill
            broken._step(None)
            broken._watch()
            if broken.context.trainer.step % 3 == 0:
                broken.save()
        broken.close()
        again = Run.resume(folder)
        again.train()
        again.close()
        assert state(again) == state(whole)
        assert told(again) == told(whole)
        names = [kept(folder), kept(whole.folder)]
        assert names[0] == names[1] == ["best.pt", "last.pt", "step-5.pt"]
    once = Run.resume(tmp_path / "whole")
    once.train()
    assert once.context.trainer.step == 8, "it has ended"
    once.close()
    on = Run.resume(tmp_path / "whole", steps=40)
    on.train()
    on.close()
    assert on.context.trainer.step == 14, "asked for more, it waits anew"


def test_checkpoints_that_are_kept_are_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run.create(config("--keep-best ess --keep-every 4 --steps 9"), tmp_path / "run")
    run.train()
    run.close()
    rows = {row["step"]: row["ess"] for row in read_jsonl(run.files.metrics)}
    del rows[0]
    best = max(rows, key=lambda step: rows[step])
    folder = str(tmp_path / "run")
    assert gflow.load(folder, "best").step == best
    assert gflow.load(folder, "step-4").step == 4
    assert gflow.load(folder).step == 9
    assert main(["eval", folder, "--checkpoint", "step-8", "--samples", "8"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 8
    with pytest.raises(ConfigError, match=r"no checkpoint 'step-5' .* best, last, step-4, step-8"):
        gflow.load(folder, "step-5")
    with pytest.raises(ConfigError, match="no checkpoint"):
        gflow.load(folder, "../../elsewhere")


def test_time_ends_a_run_and_another_process_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def late(run: Run, after: int) -> Run:
        calls = iter(range(1000))
        run.halting.began, run.halting.clock = 0.0, lambda: 61.0 * (next(calls) >= after)
        return run

    first = late(Run.create(config("--minutes 1 --steps 7"), tmp_path / "run"), 2)
    summary = first.train()
    first.close()
    assert (summary["step"], summary["ended"]) == (3, "1 minutes are over")
    second = Run.resume(tmp_path / "run")
    summary = second.train()
    second.close()
    assert summary["step"] == 7
    assert "ended" not in summary
    plain = Run.create(config("--steps 7"), tmp_path / "plain")
    plain.train()
    plain.close()
    assert state(plain)["weights"] == state(second)["weights"]
    steps = [[row["step"] for row in read_jsonl(one.files.metrics)] for one in (plain, second)]
    assert steps[0] == steps[1]
    capsys.readouterr()


def test_what_is_watched_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patience=3 is about ending early, .* set stop_metric"):
        config("--patience 3")
    with pytest.raises(ConfigError, match="'log_z' should be small or large"):
        config("--stop-metric log_z")
    run = Run.create(config("--stop-metric top_score"), tmp_path / "run")
    with pytest.raises(ConfigError, match="no metric 'top_score' to watch; reports have .*elbo"):
        run.train()
    run.close()
    assert torch.get_default_dtype() == torch.float64


def test_the_command_says_that_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "hypergrid", *f"{SMALL} {EARLY}".split(), "--out", out]) == 0
    said = capsys.readouterr().out
    assert "Ended early: ess has not improved" in said
    assert f"gflow resume {out} --steps N (N in all)" in said

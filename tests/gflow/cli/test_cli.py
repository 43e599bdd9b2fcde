"""The command line, run as a user runs it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gflow.cli.main import main
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import TASKS
from gflow.training.json_lines import read_jsonl
from tests.gflow.runs.wandb_records import history, records

pytestmark = pytest.mark.usefixtures("sketches")

SMALL = ["--side=4", "--width=16", "--steps=40", "--eval-every=20", "--eval-samples=50"]


@pytest.fixture(autouse=True)
def _single_precision() -> Any:
    """Runs use torch's own default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def train(folder: Path, *flags: str) -> dict[str, Any]:
    assert main(["train", "hypergrid", *SMALL, f"--out={folder}", "--quiet=True", *flags]) == 0
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def numbers(summary: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in summary.items() if k != "timing"}


def complaint(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert main(words) == 2
    return capsys.readouterr().err


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize(
    "objective",
    [
        "tb",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("fm", "db", "mdb", "vargrad", "subtb")
        ),
    ],
)
def test_every_objective_trains_and_leaves_a_whole_folder(tmp_path: Path, objective: str) -> None:
    summary = train(tmp_path / "run", f"--objective={objective}")
    assert summary["objective"] == objective
    assert summary["metrics"]["tv"] < summary["untrained"]["tv"]
    for name in ("config.yaml", "metrics.jsonl", "checkpoints/last.pt", "curves.png"):
        assert (tmp_path / "run" / name).exists()
    assert (tmp_path / "run" / "distribution.png").stat().st_size > 5000
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [0, 20, 40]
    assert rows[-1]["tv"] == summary["metrics"]["tv"]


@pytest.mark.slow
def test_the_seed_decides_the_numbers(tmp_path: Path) -> None:
    first, again = train(tmp_path / "a", "--seed=1"), train(tmp_path / "b", "--seed=1")
    other = train(tmp_path / "c", "--seed=2")
    assert numbers(first) == numbers(again)
    assert first["metrics"]["tv"] != other["metrics"]["tv"]


@pytest.mark.parametrize("accept", [pytest.param("greedy", marks=pytest.mark.slow), "metropolis"])
def test_local_search_trains_and_reports(tmp_path: Path, accept: str) -> None:
    flags = ["--behaviour=local_search", "--iterations=3", f"--accept={accept}"]
    summary = train(tmp_path / "run", *flags, "--prefix=resampled", "--local-search-steps=2")
    metrics = summary["metrics"]
    assert metrics["tv"] < summary["untrained"]["tv"]
    assert 0 < metrics["acceptance"] < 1
    assert metrics["reward_calls"] == 16
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert saved["behaviour"]["accept"] == accept
    assert RunConfig.from_dict(saved).behaviour.settings["steps"] == 2


@pytest.mark.slow
def test_incomplete_trajectories_train(tmp_path: Path) -> None:
    summary = train(tmp_path / "run", "--behaviour=incomplete", "--objective=db")
    assert summary["metrics"]["tv"] < summary["untrained"]["tv"]


def test_impossible_behaviours(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", "hypergrid", f"--out={tmp_path / 'x'}"]
    said = complaint(capsys, [*words, "--behaviour=local"])
    assert "no behaviour named 'local'" in said
    assert "it needs whole trajectories" in complaint(capsys, [*words, "--behaviour=incomplete"])
    local = [*words, "--behaviour=local_search"]
    assert "whole number" in complaint(capsys, [*local, "--local-search-steps=many"])
    assert "no filter named" in complaint(capsys, [*local, "--accept=best"])
    assert not (tmp_path / "x" / "config.yaml").exists()


GRID = [
    "hypergrid",
    "--side=4",
    "--replay=64",
    "--epsilon=0.1",
    "--epsilon-steps=300",
    "--width=16",
]
GRID += ["--steps=160", "--eval-every=30"]
SEARCH = [*GRID, "--behaviour=local_search", "--iterations=3", "--accept=metropolis"]
GAME = ["tictactoe", "--width=4", "--blocks=1", "--head-width=2", "--batch-size=16", "--threads=1"]
GAME += ["--steps=60", "--eval-every=12"]
MEMORY = ["--behaviour=refreshed", "--initial=64", "--added=32", "--refreshed-every=9"]
MEMORY += ["--capacity=128", "--chunk=40"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [GRID, SEARCH, [*GAME, "--replay=64"], [*GAME, *MEMORY]],
    ids=["on_policy", "local_search", "game", "memory of games"],
)
def test_killed_run_resumes_to_the_same_numbers(
    starter: Any, tmp_path: Path, more: list[str]
) -> None:
    """kill -9 in the middle; the summary equals that of a run that was left alone."""
    flags = ["--checkpoint-every=7", "--ema=0.9", "--lr-half-life=200", "--quiet=True"]
    flags += ["--eval-samples=50"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start = ["-m", "gflow", "train", *more, *flags]
    assert starter.run([*start, f"--out={whole}"]).returncode == 0
    process = starter.start([*start, f"--out={broken}"])
    rows = broken / "metrics.jsonl"
    limit = time.monotonic() + 60
    while not (rows.exists() and rows.read_text().count("\n") >= 3):
        assert time.monotonic() < limit, "the run did not get going"
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "summary.json").exists()
    assert starter.run(["-m", "gflow", "resume", str(broken)]).returncode == 0
    a, b = (json.loads((f / "summary.json").read_text()) for f in (whole, broken))
    assert numbers(a) == numbers(b)
    clean = [
        [{k: v for k, v in row.items() if k != "timing"} for row in read_jsonl(f / "metrics.jsonl")]
        for f in (whole, broken)
    ]
    assert clean[0] == clean[1]


@pytest.mark.slow
def test_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ["--side=4", "--width=16", "--steps=100000", "--eval-every=100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gflow", "train", "hypergrid", *flags, f"--out={folder}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 60
    while not (folder / "checkpoints" / "last.pt").exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"gflow resume {folder}" in out
    saved = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    assert saved["state"]["trainer"]["step"] > 0


@pytest.mark.slow
def test_eval_and_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = train(tmp_path / "run")
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "run"), "--samples", "50"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["metrics"]["tv"] == summary["metrics"]["tv"]
    assert main(["sample", str(tmp_path / "run"), "-n", "7"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 7
    assert all(row["reward"] > 0 and row["object"].startswith("(") for row in rows)


@pytest.mark.slow
def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in [*TASKS, "fm", "db", "mdb", "tb", "vargrad", "subtb"]:
        assert name in out
    assert "  mdb on molecules, " in out
    assert "it needs an environment in which every state may stop" in out


def test_unknown_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "Did you mean 'hypergrid'" in complaint(capsys, ["train", "hypergird"])
    said = complaint(capsys, ["train", "hypergrid", "--objective=subbt", f"--out={tmp_path / 'x'}"])
    assert "no objective named 'subbt'" in said
    assert "Did you mean 'subtb'" in said
    assert not (tmp_path / "x").exists() or not (tmp_path / "x" / "config.yaml").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--behaviour=local"],
        ["--objective=subbt"],
        ["--behaviour=local_search", "--batch-size=4"],
        ["--behaviour=local_search", "--batch-size=8", "--replay=50"],
        ["--replay=5", "--replay-draw=prt"],
    ],
    ids=" ".join,
)
def test_what_is_refused_leaves_no_folder_and_overwrites_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: list[str]
) -> None:
    words = ["train", "hypergrid", *SMALL, *flags]
    complaint(capsys, [*words, f"--out={tmp_path / 'a' / 'b'}"])
    assert not (tmp_path / "a").exists()
    kept = tmp_path / "kept"
    (kept / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "summary.json", "metrics.jsonl", "checkpoints/last.pt"):
        (kept / name).write_text("before")
    complaint(capsys, [*words, f"--out={kept}", "--overwrite=True"])
    for name in ("config.yaml", "summary.json", "metrics.jsonl", "checkpoints/last.pt"):
        assert (kept / name).read_text() == "before"


def test_impossible_pair(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", "hypergrid", "--ending=forced", "--objective=mdb", f"--out={tmp_path / 'x'}"]
    said = complaint(capsys, words)
    assert "needs an environment in which every state may stop" in said
    assert "one can train db, " in said


@pytest.mark.slow
def test_folders_are_not_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    train(tmp_path / "run")
    said = complaint(capsys, ["train", "hypergrid", *SMALL, f"--out={tmp_path / 'run'}"])
    assert "holds a run already" in said
    assert "gflow resume" in said
    train(tmp_path / "run", "--overwrite=True")


def test_unwritable_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = complaint(capsys, ["train", "hypergrid", *SMALL, f"--out={tmp_path / 'file' / 'run'}"])
    assert "cannot be written" in said
    assert "--out" in said


@pytest.mark.slow
def test_checkpoint_of_other_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    train(tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["train"]["lr"] = 0.5
    file.write_text(yaml.safe_dump(config))
    said = complaint(capsys, ["resume", str(tmp_path / "run")])
    assert "train.lr was 0.001 and is 0.5" in said
    config["train"]["learning_rate"] = 0.5
    file.write_text(yaml.safe_dump(config))
    assert "unknown key train.learning_rate" in complaint(capsys, ["resume", str(tmp_path / "run")])
    (tmp_path / "run" / "checkpoints" / "last.pt").write_bytes(b"nonsense")
    config["train"].pop("learning_rate")
    file.write_text(yaml.safe_dump(config))
    assert "damaged" in complaint(capsys, ["eval", str(tmp_path / "run")])
    assert "holds no run" in complaint(capsys, ["resume", str(tmp_path)])


@pytest.mark.parametrize("name", sorted(TASKS))
def test_configuration_round_trip(name: str) -> None:
    cls = TASKS[name]
    from gflow.cli.train_flags import parse

    config = parse(cls, ["--seed=3", "--track", "wandb"])
    text = yaml.safe_dump(config.to_dict())
    assert RunConfig.from_dict(yaml.safe_load(text)) == config


@pytest.mark.slow
def test_wandb_and_tensorboard(
    starter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    line = ["-m", "gflow", "train", "hypergrid", *SMALL, "--quiet=True"]
    flags = [f"--out={tmp_path / 'run'}", "--pictures-every", "20", "--track", "wandb"]
    flags.append("tensorboard")
    assert starter.run([*line, *flags]).returncode == 0
    assert (
        starter.run(["-m", "gflow", "resume", str(tmp_path / "run"), "--steps", "60"]).returncode
        == 0
    )
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    begun = [r.run for file in files for r in records(file) if r.WhichOneof("record_type") == "run"]
    assert [(run.display_name, run.run_group) for run in begun] == [("run", "hypergrid-tb")], (
        "the part of the resumed run is the whole run"
    )
    assert list(begun[0].tags) == ["hypergrid", "tb", "on_policy"]
    rows = [row for file in files for row in history(file)]
    assert [row["_step"] for row in rows] == ["0", "20", "40", "60"]
    drawn = ["distribution.path" in row for row in rows]
    assert drawn == [False, True, True, True], "while it trains, and at both ends"
    assert rows[3]["objects.nrows"] != "0"
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("tv")] == [0, 20, 40, 60]
    assert [e.step for e in events.Images("distribution")] == [20, 40, 60]
    assert [e.step for e in events.Tensors("objects/text_summary")] == [40, 60]

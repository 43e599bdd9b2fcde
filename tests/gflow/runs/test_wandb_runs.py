"""Runs as W&B has them offline: killed and resumed, in a sweep; read back from its files."""

import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gflow.training.json_lines import read_jsonl
from gflow.training.offline_parts import earlier_parts, pictures_of, set_aside
from gflow.training.services import RunLabel, WandbTracker
from gflow.training.tracking import JsonlTracker
from tests.gflow.runs.wandb_records import history, records

WORDS = "--side 4 --width 16 --eval-every 20 --eval-samples 20 --quiet --track wandb".split()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_TAGS", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def parts(folder: Path) -> list[Path]:
    """What `wandb sync` would send."""
    return sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))


def begun(part: Path) -> Any:
    return next(r.run for r in records(part) if r.WhichOneof("record_type") == "run")


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_run_that_was_killed_is_one_run(starter: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["--steps", "100000", "--checkpoint-every", "20", "--pictures-every", "40"]
    process = starter.start(
        ["-m", "gflow", "train", "hypergrid", *WORDS, *words, f"--out={folder}"]
    )
    reports, limit = folder / "metrics.jsonl", time.monotonic() + 120
    while not (reports.exists() and reports.read_text().count("\n") >= 4):
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (killed,) = parts(folder)
    done = len(read_jsonl(reports)) * 20
    more = ["-m", "gflow", "resume", str(folder), "--steps", str(done + 20)]
    assert starter.run(more).returncode == 0
    (whole,) = parts(folder)
    assert whole != killed
    assert begun(whole).run_id in killed.name, "the same run"
    rows = history(whole)
    assert [int(row["_step"]) for row in rows] == list(range(0, done + 40, 20))
    mine = {row["step"]: row["tv"] for row in read_jsonl(reports)}
    assert {int(row["_step"]): float(row["tv"]) for row in rows} == pytest.approx(mine)
    drawn = [int(row["_step"]) for row in rows if "distribution.path" in row]
    assert 40 in drawn, "what was drawn before the kill"
    assert drawn[-1] == done + 20
    assert int(rows[-1]["objects.nrows"]) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_runs_of_a_sweep_are_a_group(
    starter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_TAGS", "first, second")
    spec = {
        "method": "grid",
        "metric": {"name": "tv", "goal": "minimize"},
        "command": ["gflow", "train", "hypergrid", *WORDS, "--steps=2", "${args}"],
        "parameters": {"lr": {"values": [1e-3, 1e-2]}},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(spec))
    out = tmp_path / "rates"
    line = ["-m", "gflow", "sweep", str(tmp_path / "sweep.yaml"), "--out", str(out)]
    assert starter.run(line).returncode == 0
    runs = [begun(part) for name in ("000", "001") for part in parts(out / name)]
    assert [(run.display_name, run.run_group) for run in runs] == [
        ("000", "rates"),
        ("001", "rates"),
    ]
    assert [run.project for run in runs] == ["mine"] * 2
    assert list(runs[0].tags) == ["hypergrid", "tb", "on_policy", "first", "second"]
    assert len({run.run_id for run in runs}) == 2


def part(folder: Path, day: int, *pictures: str) -> Path:
    found = folder / f"offline-run-{day}_000000-abc"
    (found / "files" / "media" / "images").mkdir(parents=True)
    (found / "run-abc.wandb").write_bytes(b"")
    for name in pictures:
        (found / "files" / "media" / "images" / name).write_bytes(b"")
    return found


def test_parts_and_their_pictures(tmp_path: Path) -> None:
    first = part(tmp_path, 1, "best_objects_40_0f.png", "law_80_aa.png", "law.png")
    second, present = part(tmp_path, 2), part(tmp_path, 3)
    (tmp_path / "offline-run-1_000000-other").mkdir()
    assert earlier_parts(tmp_path, "abc", present) == [first, second]
    assert {step: list(named) for step, named in pictures_of(first).items()} == {
        40: ["best_objects"],
        80: ["law"],
    }
    set_aside([first, second])
    assert earlier_parts(tmp_path, "abc", present) == []
    assert (tmp_path / "replaced" / first.name / "run-abc.wandb").exists()
    (part(tmp_path, 4) / "run-abc.wandb.synced").write_bytes(b"")
    assert earlier_parts(tmp_path, "abc", present) == [], "it was uploaded, and goes on from there"


class FakeRun:
    """Of W&B, in a part of its own."""

    id, offline = "abc", True

    def __init__(self, folder: Path) -> None:
        self.dir, self.rows = str(part(folder, 9) / "files"), list[Any]()

    def log(self, numbers: dict[str, Any], step: int) -> None:
        self.rows.append((step, numbers))


def tracker(run: FakeRun, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]) -> WandbTracker:
    def init(**options: Any) -> FakeRun:
        asked.update(options)
        return run

    module = SimpleNamespace(init=init, Image=lambda path: Path(path).name)
    monkeypatch.setitem(sys.modules, "wandb", module)
    label = RunLabel("abc", "run", "group", ("a", "b"))
    return WandbTracker(Path(run.dir).parent, {}, label)


def test_the_new_part_begins_with_all_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = JsonlTracker(tmp_path / "metrics.jsonl")
    reports.log(0, {"tv": 0.5})
    reports.log(40, {"tv": 0.25})
    first = part(tmp_path, 1, "law_40_0f.png")
    run = FakeRun(tmp_path)
    tracked = tracker(run, monkeypatch, {})
    tracked.catch_up(reports.path)
    assert run.rows == [(0, {"tv": 0.5}), (40, {"tv": 0.25}), (40, {"law": "law_40_0f.png"})]
    assert not first.exists()
    tracked.catch_up(reports.path)
    assert len(run.rows) == 3, "there is nothing before"


def test_variables_of_wandb_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    for name in ("WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_TAGS"):
        monkeypatch.delenv(name, raising=False)
    tracker(FakeRun(tmp_path / "1"), monkeypatch, asked)
    assert [asked[key] for key in ("id", "name", "group", "tags")] == [
        "abc", "run", "group", ("a", "b"),
    ]  # fmt: skip
    monkeypatch.setenv("WANDB_NAME", "mine")
    monkeypatch.setenv("WANDB_RUN_GROUP", "ours")
    monkeypatch.setenv("WANDB_TAGS", "c, d,")
    tracker(FakeRun(tmp_path / "2"), monkeypatch, asked)
    assert [asked[key] for key in ("name", "group", "tags")] == ["mine", "ours", (*"abcd",)]

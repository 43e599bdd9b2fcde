"""Trackers: lines that survive a kill, and one protocol for all."""

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gflow.errors import ConfigError, MissingExtraError
from gflow.training.json_lines import read_jsonl
from gflow.training.services import TRACKERS, open_tracker
from gflow.training.tracking import ConsoleTracker, JsonlTracker, Trackers


def test_lines_are_numbers_with_the_clock_apart(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "log.jsonl")
    tracker.log(1, {"loss": 0.5})
    tracker.log(2, {"loss": 0.25})
    rows = read_jsonl(tmp_path / "log.jsonl")
    assert [{k: v for k, v in row.items() if k != "timing"} for row in rows] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25},
    ]
    assert all(row["timing"]["seconds"] >= 0 for row in rows)
    JsonlTracker(tmp_path / "log.jsonl")
    assert read_jsonl(tmp_path / "log.jsonl") == [], "a new run begins a new file"


def test_a_resumed_log_has_each_step_once(tmp_path: Path) -> None:
    """Killed in the middle of a line, after steps that no checkpoint holds."""
    path = tmp_path / "log.jsonl"
    tracker = JsonlTracker(path)
    for step in range(1, 6):
        tracker.log(step, {"loss": step})
    whole = path.read_text()
    path.write_text(whole + '{"step": 6, "lo')
    assert [row["step"] for row in read_jsonl(path)] == [1, 2, 3, 4, 5]
    resumed = JsonlTracker(path, resume_step=3)
    resumed.log(4, {"loss": 40})
    assert [(row["step"], row["loss"]) for row in read_jsonl(path)] == [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 40),
    ]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_resuming_without_a_log_starts_one(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "log.jsonl", resume_step=3)
    tracker.log(4, {"loss": 1.0})
    assert [row["step"] for row in read_jsonl(tmp_path / "log.jsonl")] == [4]


def test_the_console_prints_one_line_per_report() -> None:
    out = io.StringIO()
    tracker = ConsoleTracker(10, out=out)
    tracker.progress(1)
    assert out.getvalue() == "", "no bar where nobody looks"
    tracker.log(5, {"loss": 0.123456, "count": 3})
    assert out.getvalue() == "step      5  loss 0.1235  count 3\n"
    tracker.picture("law", Path("law.png"))
    assert "picture law: law.png" in out.getvalue()
    tracker.finish({})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar() -> None:
    out = Terminal()
    tracker = ConsoleTracker(10, out=out)
    for step in (5, 10):
        tracker.progress(step)
    assert "[###############               ] 5/10" in out.getvalue()
    assert "] 10/10  0 s left" in out.getvalue()


class Recorder:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def log(self, step: int, numbers: dict[str, float]) -> None:
        self.calls.append(("log", step, numbers))

    def picture(self, name: str, path: Path) -> None:
        self.calls.append(("picture", name, path))

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.calls.append(("table", name, rows))

    def finish(self, summary: dict[str, Any]) -> None:
        self.calls.append(("finish", summary))


def test_several_trackers_hear_the_same() -> None:
    one, two = Recorder(), Recorder()
    both = Trackers(one, two)
    both.log(1, {"loss": 2.0})
    both.picture("a", Path("b"))
    both.table("objects", [{"object": "x"}])
    both.finish({"loss": 2.0})
    assert one.calls == two.calls
    assert [c[0] for c in one.calls] == ["log", "picture", "table", "finish"]


class FakeRun:
    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.summary: dict[str, Any] = {}
        self.ended = False

    def log(self, numbers: dict[str, Any], step: int | None = None) -> None:
        self.rows.append((step, numbers))

    def finish(self) -> None:
        self.ended = True


def test_weights_and_biases_is_offline_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = FakeRun(), {}

    def init(**options: Any) -> FakeRun:
        asked.update(options)
        return run

    monkeypatch.setitem(
        sys.modules, "wandb", SimpleNamespace(init=init, Image=lambda p: f"image {p}")
    )
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tracker = open_tracker("wandb", tmp_path, {"lr": 0.1})
    tracker.log(3, {"loss": 1.0})
    tracker.picture("law", Path("law.png"))
    tracker.finish({"tv": 0.5})
    assert asked["mode"] == "offline"
    assert asked["config"] == {"lr": 0.1}
    assert run.rows[0] == (3, {"loss": 1.0})
    assert (run.summary, run.ended) == ({"tv": 0.5}, True)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match="pip install 'wandb>="):
        open_tracker("wandb", tmp_path, {})


def test_unknown_trackers_are_refused(tmp_path: Path) -> None:
    assert set(TRACKERS) == {"tensorboard", "wandb"}
    with pytest.raises(ConfigError, match="no tracker 'mlflow'; known: tensorboard, wandb"):
        open_tracker("mlflow", tmp_path, {})

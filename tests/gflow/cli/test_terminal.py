"""A run in a terminal of its own: Ctrl-C, a closed terminal, kill -9; and what is left then."""

import os
import pty
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gflow.cli import main as cli
from gflow.training.json_lines import read_jsonl

ROOT = Path(cli.__file__).parents[2]

# Objects are never remembered, so that every step asks a worker.
TRIPLES = """
import os, time
import torch
from custom_environment import Triples
from gflow.rewards.pool import WorkerPool
from gflow.rewards.remembering import HostReward

HERE = os.path.dirname(os.path.abspath(__file__))

def score(items):
    with open(os.path.join(HERE, "worker"), "w") as file:
        file.write(str(os.getpid()))
    while os.path.exists(os.path.join(HERE, "hang")):
        time.sleep(0.01)
    return [float(sum(item)) / 4 for item in items]

class Slow(Triples):
    def __init__(self, n: int = 8):
        super().__init__(n)
        words = lambda states: [tuple(row) for row in states.tolist()]
        self.reward = HostReward(words, score, WorkerPool(1), capacity=0)
"""


NEVER = 1_000_000


class Terminal:
    """A command of gflow in the foreground of a new terminal."""

    def __init__(self, starter: Any, *words: str) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}"}
        self.screen, theirs = pty.openpty()
        self.program = starter.start(["-m", "gflow", *words], env=environment, terminal=theirs)
        os.close(theirs)
        self.text = b""

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def close(self) -> None:
        os.close(self.screen)

    def wait(self, seconds: float = 60) -> int:
        """The exit code; everything that was shown is in `text`."""
        limit = time.monotonic() + seconds
        os.set_blocking(self.screen, False)
        while time.monotonic() < limit:
            try:
                self.text += os.read(self.screen, 10_000)
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # it has ended
                code: int = self.program.wait()
                return code
        raise AssertionError(f"it did not end: {self.text.decode()}")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "slow_triples.py").write_text(TRIPLES)
    yield tmp_path
    (tmp_path / "hang").unlink(missing_ok=True)


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def begin(starter: Any, place: Path, every: int = 17) -> Terminal:
    """A run that has done some steps, with a checkpoint every so many."""
    words = ["train", f"{place / 'slow_triples.py'}:Slow", "--steps=1000000", "--batch-size=4"]
    words += [
        "--eval-every=1000000",
        f"--checkpoint-every={every}",
        "--eval-samples=2",
        "--width=8",
    ]
    terminal = Terminal(starter, *words, f"--out={place / 'run'}")
    until((place / "run" / "checkpoints" / "last.pt").exists)
    if every < NEVER:
        until(lambda: step(place) >= every)
    else:
        time.sleep(1.5)
        assert step(place) == 0
    return terminal


def step(place: Path) -> int:
    saved: dict[str, Any] = torch.load(place / "run" / "checkpoints" / "last.pt", weights_only=True)
    found: int = saved["state"]["trainer"]["step"]
    return found


def worker_ends(place: Path) -> bool:
    pid = (place / "worker").read_text()
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
def test_ctrl_c_saves_the_step_that_had_begun(place: Path, starter: Any) -> None:
    terminal = begin(starter, place, NEVER)
    terminal.type(b"\x03")
    assert terminal.wait() == 130
    assert step(place) > 0
    said = terminal.text.decode()
    assert "Stopping after this step and saving. Once more to stop at once." in said
    assert f"Stopped at step {step(place)}. Continue with: gflow resume {place / 'run'}" in said
    assert "WorkerError" not in said
    assert "Traceback" not in said
    until(lambda: worker_ends(place))
    assert not (place / "run" / "run.lock").exists()


@pytest.mark.slow
def test_ctrl_c_twice_gets_out_of_a_reward_that_hangs(place: Path, starter: Any) -> None:
    terminal = begin(starter, place)
    (place / "hang").touch()
    time.sleep(1.0)
    terminal.type(b"\x03")
    time.sleep(1.0)
    assert not worker_ends(place)
    terminal.type(b"\x03")
    assert terminal.wait(20) == 130
    said = terminal.text.decode()
    assert "Stopped in the middle of step" in said
    assert f"the checkpoint of step {step(place)} is lost" in said
    until(lambda: worker_ends(place), 10)


@pytest.mark.slow
def test_a_closed_terminal_saves_as_well(place: Path, starter: Any) -> None:
    terminal = begin(starter, place, NEVER)
    terminal.close()
    assert terminal.program.wait() in (120, 130)  # 120: nobody is there to read the end
    assert step(place) > 0
    until(lambda: worker_ends(place))


@pytest.mark.slow
def test_kill_9_leaves_no_worker_and_a_run_that_goes_on(place: Path, starter: Any) -> None:
    terminal = begin(starter, place)
    (place / "hang").touch()
    time.sleep(1.0)
    terminal.program.send_signal(signal.SIGKILL)
    terminal.wait()
    until(lambda: worker_ends(place), 10)
    (place / "hang").unlink()
    at = step(place)
    assert (place / "run" / "run.lock").exists()
    resumed = Terminal(starter, "resume", str(place / "run"), "--steps", str(at + 3))
    assert resumed.wait() == 0
    assert step(place) == at + 3
    assert [row["step"] for row in read_jsonl(place / "run" / "metrics.jsonl")] == [0, at + 3]


@pytest.mark.slow
def test_killed_before_the_first_checkpoint(place: Path, starter: Any) -> None:
    (place / "hang").touch()
    words = ["train", f"{place / 'slow_triples.py'}:Slow", "--steps=4", "--batch-size=4"]
    words += ["--eval-samples=2", "--width=8"]
    terminal = Terminal(starter, *words, f"--out={place / 'run'}")
    until((place / "worker").exists)
    terminal.program.send_signal(signal.SIGKILL)
    terminal.wait()
    (place / "hang").unlink()
    assert sorted(p.name for p in (place / "run").iterdir()) == [
        "about.json", "checkpoints", "config.yaml", "metrics.jsonl", "run.lock",
    ]  # fmt: skip
    assert Terminal(starter, "resume", str(place / "run")).wait() == 0
    assert Terminal(starter, *words, f"--out={place / 'other'}").wait() == 0
    ours, theirs = (
        [{k: v for k, v in row.items() if k != "timing"} for row in read_jsonl(f / "metrics.jsonl")]
        for f in (place / "run", place / "other")
    )
    assert ours == theirs

"""Trackers: where the numbers of a run go. One protocol; the console and JSON lines are here."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from gflow.training.atomic import named, write_text
from gflow.training.json_lines import read_lines, to_json

Numbers = dict[str, float]


class Tracker(Protocol):
    """Receives the numbers of a run."""

    def log(self, step: int, numbers: Numbers) -> None:
        """Numbers at a step."""

    def picture(self, name: str, path: Path) -> None:
        """A picture that was written to `path`."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A table of objects."""

    def finish(self, summary: dict[str, Any]) -> None:
        """The run is over; its summary."""


class ConsoleTracker:
    """One line per report; on a terminal a progress bar in between.

    A terminal that is closed, or a reader that went away, does not stop the run.

    Args:
        steps: Number of steps of the whole run.
        names: Which numbers to print, in order; all if empty.
        out: Where to print.
    """

    def __init__(self, steps: int, names: tuple[str, ...] = (), out: TextIO | None = None) -> None:
        self.steps, self.names, self.out = steps, names, out or sys.stdout
        self.started, self.first_step = time.monotonic(), -1

    def progress(self, step: int) -> None:
        """Redraw the bar, on terminals only."""
        if self.first_step < 0:
            self.first_step = step
        if not self.out.isatty():
            return
        done = step / max(self.steps, 1)
        elapsed = time.monotonic() - self.started
        left = elapsed / max(step - self.first_step, 1) * (self.steps - step)
        bar = "#" * int(30 * done)
        self._show(f"\r[{bar:<30}] {step}/{self.steps}  {left:.0f} s left ")

    def log(self, step: int, numbers: Numbers) -> None:
        """Print one line."""
        clear = "\r\033[K" if self.out.isatty() else ""
        names = [name for name in self.names or numbers if name in numbers]
        shown = "  ".join(f"{name} {_short(numbers[name])}" for name in names)
        self._show(f"{clear}step {step:>6}  {shown}\n")

    def picture(self, name: str, path: Path) -> None:
        """Say where it is."""
        self._show(f"picture {name}: {path}\n")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing: the command prints its own result."""

    def _show(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self.out.write(text)
            self.out.flush()


class JsonlTracker:
    """One JSON object per report, appended to a file; the clock is kept apart under "timing".

    Args:
        path: The file.
        resume_step: Rows of later steps are dropped: they belong to work that was lost. Negative
            for a new run, which begins a new file.
        kept: Which other steps stay; all by default.

    Attributes:
        damaged: Numbers of the lines that could not be read on resuming; they are in `aside` now.
        aside: Where they went.
    """

    def __init__(
        self, path: Path, resume_step: int = -1, kept: Callable[[int], bool] | None = None
    ) -> None:
        self.path, self.aside = path, path.with_suffix(".damaged")
        self.started, self.damaged = time.monotonic(), list[int]()
        if resume_step < 0:
            write_text(path, "")
        elif path.exists():
            rows, damaged = read_lines(path)
            if damaged and not path.read_bytes().endswith(b"\n"):
                damaged.pop()  # cut by a kill; its step is done again
            if damaged:
                self.damaged = [number for number, _ in damaged]
                with self.aside.open("ab") as file:
                    file.write(b"".join(line + b"\n" for _, line in damaged))
            mine = [row for row in rows if row["step"] <= resume_step]
            mine = [row for row in mine if kept is None or kept(row["step"])]
            write_text(path, "".join(to_json(row) + "\n" for row in mine))

    def log(self, step: int, numbers: Numbers) -> None:
        """Append one line, or, if the disk is full, nothing.

        Raises:
            OSError: The file cannot be written.
        """
        timing = {"seconds": round(time.monotonic() - self.started, 3)}
        line = to_json({"step": step, **numbers, "timing": timing}) + "\n"
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a") as file:
                file.write(line)
        except OSError as e:
            with contextlib.suppress(OSError):
                os.truncate(self.path, size)
            raise named(e, self.path) from None

    def picture(self, name: str, path: Path) -> None:
        """Nothing."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing."""


class Trackers:
    """Several trackers as one."""

    def __init__(self, *trackers: Tracker) -> None:
        self.trackers = trackers

    def log(self, step: int, numbers: Numbers) -> None:
        """To each."""
        for tracker in self.trackers:
            tracker.log(step, numbers)

    def picture(self, name: str, path: Path) -> None:
        """To each."""
        for tracker in self.trackers:
            tracker.picture(name, path)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """To each."""
        for tracker in self.trackers:
            tracker.table(name, rows)

    def finish(self, summary: dict[str, Any]) -> None:
        """To each."""
        for tracker in self.trackers:
            tracker.finish(summary)


def _short(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Trackers: where the numbers of a run go. One protocol; console, JSON lines, TensorBoard, W&B."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from gflow.errors import ConfigError, GFlowError, MissingExtraError
from gflow.training.atomic import named, write_text
from gflow.training.json_lines import read_lines, to_json

Numbers = dict[str, float]


class Tracker(Protocol):
    """Receives the numbers of a run."""

    def log(self, step: int, numbers: Numbers) -> None:
        """Numbers at a step."""

    def picture(self, name: str, path: Path) -> None:
        """A picture that was written to `path`."""

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

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing."""


class TensorBoardTracker:
    """Scalars and pictures as TensorBoard event files.

    Args:
        folder: Where the event files go.
        resume_step: Events of later steps are hidden, all of them if it is negative.
    """

    def __init__(self, folder: Path, resume_step: int = -1) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as e:
            raise MissingExtraError("tensorboard", "track", "TensorBoardTracker") from e
        self.writer = SummaryWriter(str(folder), purge_step=resume_step + 1)

    def log(self, step: int, numbers: Numbers) -> None:
        """Write scalars."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, name: str, path: Path) -> None:
        """Write the picture."""
        import matplotlib.image

        pixels = matplotlib.image.imread(path)[..., :3]
        self.writer.add_image(name, pixels, dataformats="HWC")

    def finish(self, summary: dict[str, Any]) -> None:
        """Close the files."""
        self.writer.close()


class WandbTracker:
    """Weights & Biases, offline unless WANDB_MODE says otherwise.

    Args:
        folder: Where W&B keeps its files.
        config: Configuration to record.
        project: Name of the project.
    """

    def __init__(self, folder: Path, config: dict[str, Any], project: str = "gflow") -> None:
        try:
            import wandb
        except ImportError as e:
            raise MissingExtraError("wandb", "track", "WandbTracker") from e
        self.wandb = wandb
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self.run = wandb.init(project=project, dir=str(folder), config=config, mode=mode)

    def log(self, step: int, numbers: Numbers) -> None:
        """Log scalars."""
        self.run.log(numbers, step=step)

    def picture(self, name: str, path: Path) -> None:
        """Log the picture."""
        self.run.log({name: self.wandb.Image(str(path))})

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary and close the run."""
        self.run.summary.update(summary)
        self.run.finish()


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

    def finish(self, summary: dict[str, Any]) -> None:
        """To each."""
        for tracker in self.trackers:
            tracker.finish(summary)


class Forgiving:
    """A tracker that may fail without stopping the run, whose own files hold all numbers.

    Args:
        name: What to call it.
        tracker: The tracker.
    """

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name = name
        self.tracker: Tracker | None = tracker

    def log(self, step: int, numbers: Numbers) -> None:
        """Numbers at a step."""
        self._try("log", step, numbers)

    def picture(self, name: str, path: Path) -> None:
        """A picture."""
        self._try("picture", name, path)

    def finish(self, summary: dict[str, Any]) -> None:
        """The run is over."""
        self._try("finish", summary)

    def _try(self, method: str, *arguments: Any) -> None:
        if self.tracker is None:
            return
        try:
            getattr(self.tracker, method)(*arguments)
        except Exception as e:  # whatever a server, a full disk or another package may raise
            self.tracker = None
            print(
                f"{self.name} failed ({_first_line(e)}) and gets no more numbers; the run goes on, "
                f"and metrics.jsonl has them.",
                file=sys.stderr,
            )


TRACKERS = ("tensorboard", "wandb")


def open_tracker(name: str, folder: Path, config: dict[str, Any], resume_step: int = -1) -> Tracker:
    """A tracker by name: "tensorboard" or "wandb".

    Raises:
        ConfigError: Unknown name, or it cannot start.
        MissingExtraError: If its package is not installed.
    """
    try:
        if name == "tensorboard":
            return TensorBoardTracker(folder / "tensorboard", resume_step)
        if name == "wandb":
            return WandbTracker(folder, config)
    except GFlowError:
        raise
    except Exception as e:  # whatever the package raises: no account, no network, no space
        raise ConfigError(
            f"The tracker {name!r} could not start: {_first_line(e)}. Leave it out of --track, or "
            f"see its own documentation (W&B needs no account with WANDB_MODE=offline)."
        ) from e
    raise ConfigError(f"There is no tracker {name!r}; known: {', '.join(TRACKERS)}.")


def open_trackers(
    names: Sequence[str], folder: Path, config: dict[str, Any], resume_step: int = -1
) -> list[Tracker]:
    """Trackers by name, each of which may fail later without stopping the run.

    Raises:
        ConfigError: Unknown name, or one cannot start; none is left open then.
        MissingExtraError: If a package is not installed.
    """
    opened: list[Tracker] = []
    try:
        for name in names:
            opened.append(Forgiving(name, open_tracker(name, folder, config, resume_step)))
    except BaseException:
        for tracker in opened:
            tracker.finish({})
        raise
    return opened


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _short(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

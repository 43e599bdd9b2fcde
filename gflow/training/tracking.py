"""Trackers: where the numbers of a run go. One protocol; console, JSON lines, TensorBoard, W&B."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol, TextIO

from gflow.errors import ConfigError, MissingExtraError

Numbers = dict[str, float]


class Tracker(Protocol):
    """Receives the numbers of a run."""

    def log(self, step: int, numbers: Numbers) -> None:
        """Numbers at a step."""

    def picture(self, name: str, path: Path) -> None:
        """A picture that was written to `path`."""

    def finish(self, summary: dict[str, Any]) -> None:
        """The run is over; its final figures."""


class ConsoleTracker:
    """One line per report; on a terminal a progress bar in between.

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
        self.out.write(f"\r[{bar:<30}] {step}/{self.steps}  {left:.0f} s left ")
        self.out.flush()

    def log(self, step: int, numbers: Numbers) -> None:
        """Print one line."""
        if self.out.isatty():
            self.out.write("\r\033[K")
        names = [name for name in self.names or numbers if name in numbers]
        shown = "  ".join(f"{name} {_short(numbers[name])}" for name in names)
        print(f"step {step:>6}  {shown}", file=self.out, flush=True)

    def picture(self, name: str, path: Path) -> None:
        """Say where it is."""
        print(f"picture {name}: {path}", file=self.out, flush=True)

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing: the command prints its own result."""


class JsonlTracker:
    """One JSON object per report, appended to a file; the clock is kept apart under "timing".

    Args:
        path: The file.
        resume_step: Lines of later steps are dropped: they belong to work that was lost.
    """

    def __init__(self, path: Path, resume_step: int | None = None) -> None:
        self.path = path
        self.started = time.monotonic()
        if resume_step is None:
            path.write_text("")
        elif path.exists():
            kept = [row for row in read_jsonl(path) if row["step"] <= resume_step]
            partial = path.with_suffix(".partial")
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept))
            partial.replace(path)

    def log(self, step: int, numbers: Numbers) -> None:
        """Append one line."""
        timing = {"seconds": round(time.monotonic() - self.started, 3)}
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **numbers, "timing": timing}) + "\n")

    def picture(self, name: str, path: Path) -> None:
        """Nothing."""

    def finish(self, summary: dict[str, Any]) -> None:
        """Nothing."""


class TensorBoardTracker:
    """Scalars and pictures as TensorBoard event files.

    Args:
        folder: Where the event files go.
        purge_step: On resuming, hide events from this step on.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as e:
            raise MissingExtraError("tensorboard", "track", "TensorBoardTracker") from e
        self.writer = SummaryWriter(str(folder), purge_step=purge_step)

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


TRACKERS = ("tensorboard", "wandb")


def open_tracker(
    name: str, folder: Path, config: dict[str, Any], resume_step: int | None = None
) -> Tracker:
    """A tracker by name: "tensorboard" or "wandb".

    Raises:
        ConfigError: Unknown name.
        MissingExtraError: If its package is not installed.
    """
    if name == "tensorboard":
        return TensorBoardTracker(folder / "tensorboard", resume_step)
    if name == "wandb":
        return WandbTracker(folder, config)
    raise ConfigError(f"There is no tracker {name!r}; known: {', '.join(TRACKERS)}.")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a last line cut by a kill is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _short(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

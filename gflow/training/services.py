"""Trackers of other packages: TensorBoard and W&B; a failure of theirs does not stop a run."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gflow.errors import ConfigError, GFlowError, MissingExtraError
from gflow.training.json_lines import read_jsonl
from gflow.training.offline_parts import earlier_parts, pictures_of, set_aside
from gflow.training.tracking import Numbers, Tracker


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
        self.writer, self.step = SummaryWriter(str(folder), purge_step=resume_step + 1), 0

    def log(self, step: int, numbers: Numbers) -> None:
        """Write scalars."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.step = step

    def picture(self, name: str, path: Path) -> None:
        """Write the picture."""
        import matplotlib.image

        pixels = matplotlib.image.imread(path)[..., :3]
        self.writer.add_image(name, pixels, self.step, dataformats="HWC")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the table as text."""
        if not rows:
            return
        heads = list(rows[0])
        lines = [heads, ["---"] * len(heads)]
        lines += [[str(row.get(head, "")) for head in heads] for row in rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        self.writer.add_text(name, text, self.step)

    def finish(self, summary: dict[str, Any]) -> None:
        """Close the files."""
        self.writer.close()


@dataclass(frozen=True)
class RunLabel:
    """What a run is called where many are looked at together.

    Attributes:
        id: Of this run, also after it was resumed.
        name: Of its folder.
        group: Of the sweep that it belongs to, or what is trained by what.
        tags: Environment, objective, behaviour.
    """

    id: str
    name: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()


class WandbTracker:
    """Weights & Biases, offline unless WANDB_MODE says otherwise.

    A run that is resumed goes on under its id; offline, its new part begins with all that came
    before (`catch_up`), so that `wandb sync` makes one whole run of it, also after a kill. W&B's
    own variables go before the label: WANDB_NAME, WANDB_RUN_GROUP; tags in WANDB_TAGS are added.

    Args:
        folder: Where W&B keeps its files.
        config: Configuration to record.
        label: What the run is called; by default W&B's own choice.
        project: Name of the project; WANDB_PROJECT by default, or gflow.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        label: RunLabel | None = None,
        project: str = "",
    ) -> None:
        try:
            import wandb
        except ImportError as e:
            raise MissingExtraError("wandb", "track", "WandbTracker") from e
        self.wandb, self.step = wandb, 0
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        named: dict[str, Any] = {}
        if label is not None:
            named = {
                "id": label.id,
                "name": os.environ.get("WANDB_NAME", label.name),
                "group": os.environ.get("WANDB_RUN_GROUP", label.group),
                "tags": (*label.tags, *_words(os.environ.get("WANDB_TAGS", ""))),
                "resume": "allow",
            }
        self.run = wandb.init(
            project=project or os.environ.get("WANDB_PROJECT", "gflow"),
            dir=str(folder),
            config=config,
            mode=mode,
            **named,
        )

    def log(self, step: int, numbers: Numbers) -> None:
        """Log scalars."""
        self.run.log(numbers, step=step)
        self.step = step

    def catch_up(self, reports: Path) -> None:
        """Offline, tell what a run that is resumed has told before, pictures included.

        Args:
            reports: Its metrics.jsonl, as far as the run goes on from it.
        """
        if not self.run.offline:
            return
        present = Path(self.run.dir).parent
        parts = earlier_parts(present.parent, self.run.id, present)
        if not parts:
            return
        shown: dict[int, dict[str, Path]] = {}
        for part in parts:
            for step, named in pictures_of(part).items():
                shown.setdefault(step, {}).update(named)
        for row in read_jsonl(reports):
            numbers = {k: v for k, v in row.items() if isinstance(v, int | float) and k != "step"}
            self.log(row["step"], numbers)
            for name, path in shown.get(row["step"], {}).items():
                self.picture(name, path)
        set_aside(parts)

    def picture(self, name: str, path: Path) -> None:
        """Log the picture."""
        self.run.log({name: self.wandb.Image(str(path))}, step=self.step)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log the table."""
        heads: list[str | int] = list(dict.fromkeys(head for row in rows for head in row))
        data = [[row.get(str(head)) for head in heads] for row in rows]
        self.run.log({name: self.wandb.Table(columns=heads, data=data)}, step=self.step)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary and close the run."""
        self.run.summary.update(summary)
        self.run.finish()


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

    def catch_up(self, reports: Path) -> None:
        """What a run that is resumed told before, to those who lost it."""
        if hasattr(self.tracker, "catch_up"):
            self._try("catch_up", reports)

    def picture(self, name: str, path: Path) -> None:
        """A picture."""
        self._try("picture", name, path)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A table of objects."""
        self._try("table", name, rows)

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


def open_tracker(
    name: str,
    folder: Path,
    config: dict[str, Any],
    resume_step: int = -1,
    label: RunLabel | None = None,
) -> Tracker:
    """A tracker by name: "tensorboard" or "wandb".

    Raises:
        ConfigError: Unknown name, or it cannot start.
        MissingExtraError: If its package is not installed.
    """
    try:
        if name == "tensorboard":
            return TensorBoardTracker(folder / "tensorboard", resume_step)
        if name == "wandb":
            return WandbTracker(folder, config, label)
    except GFlowError:
        raise
    except Exception as e:  # whatever the package raises: no account, no network, no space
        raise ConfigError(
            f"The tracker {name!r} could not start: {_first_line(e)}. Leave it out of --track, or "
            f"see its own documentation (W&B needs no account with WANDB_MODE=offline)."
        ) from e
    raise ConfigError(f"There is no tracker {name!r}; known: {', '.join(TRACKERS)}.")


def open_trackers(
    names: Sequence[str],
    folder: Path,
    config: dict[str, Any],
    resume_step: int = -1,
    label: RunLabel | None = None,
) -> list[Forgiving]:
    """Trackers by name, each of which may fail later without stopping the run.

    Raises:
        ConfigError: Unknown name, or one cannot start; none is left open then.
        MissingExtraError: If a package is not installed.
    """
    opened: list[Forgiving] = []
    try:
        for name in names:
            tracker = open_tracker(name, folder, config, resume_step, label)
            opened.append(Forgiving(name, tracker))
    except BaseException:
        for tracker in opened:
            tracker.finish({})
        raise
    return opened


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""Callbacks of the trainer: early stopping, time limits, checkpoints, progress, trackers.

A callback is any function of the trainer, the whole trajectories of a step, and its record, which
is empty where none is due. Those here are objects, as what they remember goes into checkpoints.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gflow.bounds import Count, Natural, NotNegative, Positive
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.training.checkpoint import save_checkpoint
from gflow.training.improvement import Goal, Improvement, Patience
from gflow.training.ledger import Record
from gflow.training.services import open_tracker
from gflow.training.tracking import ConsoleTracker, Numbers
from gflow.trajectories import Trajectories

if TYPE_CHECKING:
    from gflow.training.trainer import Trainer

LINES = 20
"""Lines that a run prints in all with progress."""


class TrainingCallback:
    """A callback with a memory, which a trainer's `state_dict` holds."""

    def __call__(self, trainer: "Trainer", trajectories: Trajectories[Any], record: Record) -> None:
        """See a step."""

    def finish(self, trainer: "Trainer") -> None:
        """Training is over: its steps are done, or it was stopped."""

    def numbers(self) -> dict[str, float]:
        """What an evaluation of a run says of all that was seen; nothing by default."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What the next call depends on; nothing by default."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


class EarlyStopping(TrainingCallback):
    """Stops the trainer when a number of its records has not improved for a while.

        Trainer(env, policy, objective, config, callbacks=[EarlyStopping("loss", patience=20)])

    Args:
        metric: Of the records: `loss`, `mean_log_reward`, `log_z` and others.
        patience: Records without an improvement.
        goal: Whether small or large values are good; "auto" by the name.
        min_delta: What an improvement must be more than.
    """

    @checked
    def __init__(
        self,
        metric: str = "loss",
        patience: Count = 10,
        goal: Goal = "auto",
        min_delta: NotNegative = 0.0,
    ) -> None:
        self.patience = Patience(metric, patience, goal, min_delta)

    def __call__(self, trainer: "Trainer", trajectories: Trajectories[Any], record: Record) -> None:
        """Look at the record, if there is one."""
        reason = self.patience.spent(trainer.step, record) if record else ""
        if reason:
            trainer.stop(reason)

    def state_dict(self) -> dict[str, Any]:
        """The best value and the waiting."""
        return self.patience.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.patience.load_state_dict(state)

    def __repr__(self) -> str:
        return f"EarlyStopping({self.patience.metric!r}, patience={self.patience.patience})"


class TimeLimit(TrainingCallback):
    """Stops the trainer after so many minutes of this process.

    Args:
        minutes: From the first step that it sees.
        clock: Gives seconds.
    """

    @checked
    def __init__(self, minutes: Positive, clock: Callable[[], float] = time.monotonic) -> None:
        self.minutes, self.clock, self._began = minutes, clock, None

    def __call__(self, trainer: "Trainer", trajectories: Trajectories[Any], record: Record) -> None:
        """Look at the clock."""
        if self._began is None:
            self._began = self.clock()
        if self.clock() - self._began >= 60 * self.minutes:
            trainer.stop(f"{self.minutes:g} minutes are over")

    _began: float | None

    def __repr__(self) -> str:
        return f"TimeLimit({self.minutes:g})"


class Checkpoints(TrainingCallback):
    """Writes the state of the trainer: every so many steps, and where a number is best.

    `load_checkpoint(path)` reads one, `Trainer.load_state_dict` takes it.

    Args:
        folder: Where: `step-N.pt`, `best.pt`.
        every: Steps between; 0 for none.
        best: A number of the records; empty for none.
        goal: Whether small or large values of it are good; "auto" by the name.

    Raises:
        ConfigError: If nothing is asked for.
    """

    @checked
    def __init__(
        self, folder: str | Path, every: Natural = 0, best: str = "", goal: Goal = "auto"
    ) -> None:
        if not every and not best:
            raise ConfigError(
                "Checkpoints: nothing is kept. Set every, a number of steps, or best, a metric."
            )
        self.folder, self.every = Path(folder), every
        self.best = Improvement(best, goal) if best else None

    def __call__(self, trainer: "Trainer", trajectories: Trajectories[Any], record: Record) -> None:
        """Write what is due."""
        if self.best is not None and record and self.best.better(trainer.step, record):
            self._write(trainer, "best.pt")
        if self.every and trainer.step % self.every == 0:
            self._write(trainer, f"step-{trainer.step}.pt")

    def _write(self, trainer: "Trainer", name: str) -> None:
        state = trainer.state_dict()
        if trainer.ranks.first:
            save_checkpoint(self.folder / name, state, {})

    def state_dict(self) -> dict[str, Any]:
        """The best value."""
        return {} if self.best is None else self.best.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        if self.best is not None:
            self.best.load_state_dict(state)

    def __repr__(self) -> str:
        best = "" if self.best is None else f", best={self.best.metric!r}"
        return f"Checkpoints({str(self.folder)!r}, every={self.every}{best})"


class Progress(TrainingCallback):
    """A line of numbers now and then, and on terminals a bar between.

    Args:
        steps: Of the whole training.
    """

    def __init__(self, steps: int) -> None:
        self.console, self.between = ConsoleTracker(steps), max(1, steps // LINES)
        self._shown = -1

    def __call__(self, trainer: "Trainer", trajectories: Trajectories[Any], record: Record) -> None:
        """Redraw the bar; print a line if one is due."""
        if not trainer.ranks.first:
            return
        self.console.progress(trainer.step)
        if record and trainer.step // self.between != self._shown:
            self._shown = trainer.step // self.between
            self.console.log(trainer.step, record)


@runtime_checkable
class Logs(Protocol):
    """What a tracker must do at least."""

    def log(self, step: int, numbers: Numbers) -> None:
        """Numbers at a step."""


class Told(TrainingCallback):
    """Hands records to a tracker, and at the end tells it that training is over.

    Args:
        tracker: An object with `log(step, numbers)`, and `finish(summary)` if it likes; or the name
            of a service: wandb, tensorboard.
        folder: Where services keep their files.
        settings: What they note of the run.

    Raises:
        ConfigError: If it is neither.
    """

    def __init__(
        self, tracker: Any, folder: str | Path = "runs", settings: dict[str, Any] | None = None
    ) -> None:
        if isinstance(tracker, str):
            tracker = open_tracker(tracker, Path(folder), settings or {})
        if not isinstance(tracker, Logs):
            raise ConfigError(
                f"A tracker has a method log(step, numbers), and may have finish(summary); or it "
                f"is wandb or tensorboard. Got {tracker!r}."
            )
        self.tracker: Any = tracker
        self._last: Record = {}

    def __call__(self, trainer: "Trainer", trajectories: Trajectories[Any], record: Record) -> None:
        """Hand the record on, if there is one."""
        if record and trainer.ranks.first:
            self._last = record
            self.tracker.log(trainer.step, dict(record))

    def finish(self, trainer: "Trainer") -> None:
        """Say that it is over."""
        if trainer.ranks.first and hasattr(self.tracker, "finish"):
            self.tracker.finish(dict(self._last))


def told_of(progress: bool, tracker: Any, steps: int, settings: Any) -> list[TrainingCallback]:
    """The callbacks that `Trainer(progress=, tracker=)` asks for."""
    found: list[TrainingCallback] = [Progress(steps)] if progress else []
    if tracker is not None:
        found.append(Told(tracker, settings=dict(vars(settings))))
    return found


def state_of(callbacks: tuple[Any, ...]) -> dict[str, Any]:
    """What callbacks remember, by place and class."""
    return {
        f"{number} {type(one).__name__}": one.state_dict()
        for number, one in enumerate(callbacks)
        if isinstance(one, TrainingCallback)
    }


def load_state_of(callbacks: tuple[Any, ...], state: dict[str, Any]) -> None:
    """Take back what `state_of` gave; callbacks that were not there begin anew."""
    for number, one in enumerate(callbacks):
        if isinstance(one, TrainingCallback):
            one.load_state_dict(state.get(f"{number} {type(one).__name__}") or one.state_dict())

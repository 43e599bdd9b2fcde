"""When a run ends before its steps are done, and which checkpoints it keeps beside the last."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gflow.errors import ConfigError
from gflow.report.definitions import definition
from gflow.tasks.task import RunOptions
from gflow.training.improvement import Improvement, Patience

BEST = "best.pt"
MEASURED = ("tv", "l1", "jsd", "kl", "pearson", "spearman", "log_z_error", "mean_reward")
"""Metrics that the first report has, if any has them."""


class Halting:
    """What `--stop-metric`, `--minutes`, `--keep-best` and `--keep-every` ask for.

    Args:
        options: Of the run.
        clock: Gives seconds.

    Attributes:
        reason: Why the run ended early, as its metric says; empty if it did not.
        late: Why it ends now, as its time is over: another process may go on.
    """

    def __init__(self, options: RunOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self.options, self.clock, self.began = options, clock, clock()
        self.reason, self.late = "", ""
        self.stop: Patience | None = None
        self.best: Improvement | None = None
        if options.stop_metric:
            self.stop = Patience(
                options.stop_metric, options.patience, options.stop_goal, options.min_delta
            )
        if options.keep_best:
            self.best = Improvement(options.keep_best, options.best_goal)

    @property
    def ended(self) -> str:
        """Why to end; empty if not."""
        return self.reason or self.late

    def watch(self) -> None:
        """Look at the clock."""
        minutes = self.options.minutes
        if minutes and self.clock() - self.began >= 60 * minutes:
            self.late = f"{minutes:g} minutes are over"

    def judge(self, step: int, numbers: Mapping[str, float]) -> bool:
        """Take a report; whether it is the best one.

        Raises:
            ConfigError: If a metric that is watched is not among its numbers.
        """
        if self.stop is not None and step:
            self.reason = self.stop.spent(step, numbers)
        return self.best is not None and bool(step) and self.best.better(step, numbers)

    def known(self, numbers: Mapping[str, float]) -> None:
        """Refuse metrics that the first report does not have, and no training record either.

        Raises:
            ConfigError: With the names that there are.
        """
        for one in (self.stop, self.best):
            if one is None or one.metric in numbers:
                continue
            later = one.metric.endswith("loss") or definition(one.metric)  # of training records
            if one.metric in MEASURED or not later:
                Improvement(one.metric, "min").better(0, {**numbers, "loss": 0.0})

    def kept(self, step: int) -> str:
        """The name of the checkpoint that is due at a step; empty if none is."""
        every = self.options.keep_every
        return f"step-{step}.pt" if every and step and step % every == 0 else ""

    def again(self) -> None:
        """Go on: the waiting begins anew."""
        self.reason = ""
        if self.stop is not None:
            self.stop.again()

    def state_dict(self) -> dict[str, Any]:
        """Best values, waiting, and whether it ended."""
        return {
            "reason": self.reason,
            "stop": None if self.stop is None else {self.stop.metric: self.stop.state_dict()},
            "best": None if self.best is None else {self.best.metric: self.best.state_dict()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; what is watched since begins anew."""
        self.reason = state["reason"] if self.stop is not None else ""
        for one, saved in ((self.stop, state["stop"]), (self.best, state["best"])):
            if one is not None and saved and one.metric in saved:
                one.load_state_dict(saved[one.metric])


def checkpoint_named(folder: Path, name: str) -> Path:
    """The file of a checkpoint: last, best, or a step.

    Args:
        folder: Of the checkpoints.
        name: "last", "best", or "step-N".

    Raises:
        ConfigError: There is none of that name.
    """
    path = folder / f"{name.removesuffix('.pt')}.pt"
    if path.parent != folder or (not path.exists() and name != "last"):
        there = sorted(file.stem for file in folder.glob("*.pt"))
        raise ConfigError(
            f"There is no checkpoint {name!r} in {folder}; there are: {', '.join(there) or 'none'}."
            f" `gflow train ... --keep-best METRIC` and `--keep-every N` keep others than the last."
        )
    return path

"""Runs trained together, each in its own folder as if it were by itself."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gflow.errors import IncompatibleError
from gflow.runs.interrupt import interruptible
from gflow.runs.run import Run
from gflow.stacked.alike import apart, refusal
from gflow.stacked.commit import save_together
from gflow.stacked.trainer import StackedTrainer
from gflow.training.tracking import ConsoleTracker


@dataclass
class Grouped:
    """How runs fall apart.

    Attributes:
        stacks: Runs to train together, at least two each.
        alone: Runs to train by themselves, each with the reason.
    """

    stacks: list[list[Run]] = field(default_factory=list)
    alone: list[tuple[Run, str]] = field(default_factory=list)


def grouped(runs: Sequence[Run], most: int) -> Grouped:
    """Which runs go together.

    Args:
        runs: Fresh or resumed.
        most: Of a stack.
    """
    found, left = Grouped(), []
    for run in runs:
        reason = refusal(run.context.trainer) or _halts(run)
        if reason is None:
            left.append(run)
        else:
            found.alone.append((run, reason))
    while left:
        first, *rest = left
        stack, left, reason = [first], [], "there is no other run"
        for run in rest:
            same = run.config.task == first.config.task
            differs = apart(first.context.trainer, run.context.trainer, same)
            if differs is None and len(stack) < most:
                stack.append(run)
            else:
                left.append(run)
                reason = differs or reason
        if len(stack) > 1:
            found.stacks.append(stack)
        else:
            found.alone.append((first, f"no other run goes with it: {reason}"))
    return found


def _halts(run: Run) -> str | None:
    """Why a run ends or keeps checkpoints by itself, or None."""
    options = run.config.run
    for name in ("stop_metric", "minutes", "keep_best", "keep_every"):
        if getattr(options, name):
            return f"--{name.replace('_', '-')} looks at one run, and a stack goes on together"
    return None


class StackedRuns:
    """Runs that are trained in one process by stacked networks.

    Args:
        runs: At one step, in folders of one folder, which go together (see `grouped`).

    Raises:
        IncompatibleError: If they cannot be stacked, with the reason.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs, self.home = list(runs), runs[0].folder.parent
        same = all(run.config.task == runs[0].config.task for run in runs)
        trainers = [run.context.trainer for run in runs]
        self.stack = StackedTrainer(trainers, same)
        self.stack.check()

    def train(self) -> bool:
        """Train all to their end, reporting and saving each; False if interrupted.

        A step that fails leaves all runs saved at the step before it, whoever was to blame.

        Raises:
            FolderError: A file cannot be written; the last checkpoints are whole.
        """
        config = self.runs[0].config
        steps, every = config.train.steps, config.run.checkpoint_every
        for run in self.runs:
            run.begin()
        console = ConsoleTracker(steps, out=sys.stdout)
        began = time.monotonic() - sum(run.seconds for run in self.runs)
        with interruptible() as interrupted:
            while self.stack.step < steps and not interrupted:
                self._step(steps)
                share = (time.monotonic() - began) / len(self.runs)
                for run in self.runs:
                    run.seconds = share
                console.progress(self.stack.step)
                if self.stack.step % every == 0 or self.stack.step == steps:
                    self.save()
            if self.stack.step < steps:
                self.save()
                return False
        for run in self.runs:
            run.finish()
        return True

    def _step(self, steps: int) -> None:
        """A step of all runs, and their reports where they are due."""
        before = [run.context.trainer.generator.get_state() for run in self.runs]
        at = self.stack.step
        try:
            records = self.stack.train_step()
        except Exception:  # a reward that fails, a loss that is no number
            if self.stack.step == at:
                for run, state in zip(self.runs, before, strict=True):
                    run.context.trainer.generator.set_state(state)
                self.save()
            raise
        last = self.stack.step == steps
        if not records[0] and not last:
            return
        if last:
            self.stack.hand_back()
        for run, record in zip(self.runs, records, strict=True):
            run.report(record or None)

    def save(self) -> None:
        """Write the checkpoints of all runs, all or none.

        Raises:
            FolderError: One cannot be written.
        """
        self.stack.hand_back()
        save_together(self.home, self.runs)


def stacked(runs: Sequence[Run]) -> StackedRuns | str:
    """Runs as a stack, or why they are none."""
    try:
        return StackedRuns(runs)
    except IncompatibleError as error:
        return str(error).removeprefix("These runs cannot be stacked: ").rstrip(".")

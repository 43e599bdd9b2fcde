"""A run: a folder, a trainer, and the loop around it that reports, saves and resumes."""

import contextlib
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gflow.errors import CheckpointError, ConfigError, GFlowError
from gflow.machines.distributed import join
from gflow.machines.ranks import ALONE, Ranks
from gflow.report import write_report
from gflow.runs.about import label_of, write_about
from gflow.runs.build import build_context
from gflow.runs.drawing import draw
from gflow.runs.folder import RunFolder, identity, open_for_new, with_steps
from gflow.runs.halting import BEST, Halting, checkpoint_named
from gflow.runs.interrupt import interruptible
from gflow.runs.memory import give_back
from gflow.runs.objects import write_objects
from gflow.shown import of_trainer
from gflow.tasks.measure import evaluate_run
from gflow.tasks.options import RunConfig
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.services import Forgiving, open_trackers
from gflow.training.tracking import ConsoleTracker, JsonlTracker, Tracker, Trackers
from gflow.training.trainer import Record


class Run:
    """One training run and its folder.

    Args:
        config: All settings.
        folder: Where the run keeps its files.
        ranks: The processes that train together; the first one alone writes and prints.

    Attributes:
        files: The folder's files; `create` and `resume` hold it until `close`.
        untrained: What the first report said, before any training.
        reported: Step of the last report, or -1.
    """

    def __init__(self, config: RunConfig, folder: Path, ranks: Ranks = ALONE) -> None:
        self.config, self.folder, self.files = config, folder, RunFolder(folder)
        self.ranks = ranks
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        if config.run.matmul != "highest":
            torch.set_float32_matmul_precision(config.run.matmul)
        _seed(config.train.seed)  # initial weights, and what a user's reward may draw from
        self.context = build_context(config, ranks=ranks)
        if not ranks.first:
            _seed(ranks.seed(config.train.seed))
        self.best, self.front = self.context.best, self.context.front
        self.seconds = 0.0
        self.untrained: dict[str, float] = {}
        self.reported = -1
        self.halting = Halting(config.run)
        self.trackers = Trackers()
        self._extra: list[Forgiving] = []

    def __repr__(self) -> str:
        return of_trainer(self.context.trainer, f"Run in {self.folder} ")

    # ------------------------------------------------------------------ folder

    @classmethod
    def create(cls, config: RunConfig, folder: Path | None = None) -> "Run":
        """A fresh run in an empty folder, or one whose run saved nothing or may be overwritten.

        Args:
            config: All settings.
            folder: Where; by default as in `open_for_new`.

        Raises:
            ConfigError: If the folder holds a run with results.
            FolderError: If another process holds the folder, or it cannot be written.
            GFlowError: If the settings are refused; no folder is left behind then, and a run that
                was to be overwritten stays.
        """
        ranks = join()
        with ranks.together():
            files = open_for_new(config, folder) if ranks.first else None
            path = ranks.lead(files.path if files is not None else Path())
            try:
                run = cls(config, path, ranks)
            except BaseException:
                if files is not None:
                    files.abandon()
                raise
            if files is not None:
                run._begin(files)
        return run

    def _begin(self, files: RunFolder) -> None:
        """Write the settings into a folder that is held."""
        self.files = files
        try:
            label = label_of(files.path, self.config, new=True)
            self._extra = open_trackers(
                self.config.run.track, files.path, self.config.to_dict(), label=label
            )
            with files.writing():
                files.clear()
                files.write_config(self.config)
                write_about(files.path, self.config, label.id)
        except BaseException:
            files.abandon()
            raise

    @classmethod
    def resume(cls, folder: Path, steps: int | None = None) -> "Run":
        """A run that goes on from its last checkpoint, or from the start if it never saved one.

        Args:
            folder: Its folder.
            steps: Train up to this step in all, in place of what was asked for before.

        Raises:
            ConfigError: If the folder holds no run, or the run is further than `steps`.
            CheckpointError: If the checkpoint is damaged, lost, or of other settings.
            FolderError: If another process holds the folder, or it cannot be written.
        """
        ranks = join()
        with ranks.together():
            return cls._resume(folder, steps, ranks)

    @classmethod
    def _resume(cls, folder: Path, steps: int | None, ranks: Ranks) -> "Run":
        files = RunFolder(folder)
        config = RunConfig.from_dict(
            ranks.lead(files.read_config().to_dict() if ranks.first else {})
        )
        if steps is not None:
            config = with_steps(config, steps)
        if ranks.first:
            files.lock(
                "Make it writable, or resume a copy of it elsewhere; `gflow eval` and `gflow "
                "sample` only read"
            )
        try:
            run = cls(config, folder, ranks)
            run.files = files
            if ranks.lead(files.checkpoint.exists() or files.has_results):
                run._load()
            if steps is not None:
                run.halting.again()
            at = run.context.trainer.step
            if at > config.train.steps:
                raise ConfigError(
                    f"{folder} is at step {at} already, and --steps is the number in all: give "
                    f"more than {at}, or train a shorter run in another folder."
                )
            if ranks.first:
                label = label_of(folder, config)
                run._extra = open_trackers(
                    config.run.track, folder, config.to_dict(), run.reported, label
                )
                with files.writing():
                    files.write_config(config)
                    write_about(folder, config, label.id, at)
        except BaseException:
            files.release()
            raise
        return run

    @classmethod
    def open(cls, folder: Path, load: bool = True, checkpoint: str = "last") -> "Run":
        """A run at its last checkpoint, to look at; another process may be training it.

        Args:
            folder: Its folder.
            load: Whether to read the checkpoint.
            checkpoint: Another one that was kept: "best", "step-N".

        Raises:
            ConfigError: If the folder holds no run, or no such checkpoint.
            CheckpointError: If there is no checkpoint, or it belongs to another configuration.
        """
        run = cls(RunFolder(folder).read_config(), folder)
        if load:
            kept = checkpoint_named(run.files.checkpoint.parent, checkpoint)
            run.files.checkpoint = run.files.checkpoint if checkpoint == "last" else kept
            run._load(to_look_at=True)
        return run

    # ------------------------------------------------------------------ the loop

    def train(self) -> dict[str, Any]:
        """Train to the end, or until interrupted; returns the summary (empty if interrupted).

        Raises:
            FolderError: A file cannot be written; the last checkpoint is whole.
        """
        with self.ranks.together():
            return self._train()

    def _train(self) -> dict[str, Any]:
        trainer, steps = self.context.trainer, self.config.train.steps
        if self.ranks.first and self.files.finished_at == trainer.step == steps:
            print(f"Finished before. To go on: gflow resume {self.folder} --steps N (N in all)")
        console = self.begin()
        began = time.monotonic() - self.seconds
        with interruptible() as interrupted:
            try:
                while (
                    trainer.step < steps
                    and not self.halting.ended
                    and not self.ranks.any(bool(interrupted))
                ):
                    self._step(console)
                    self.seconds = time.monotonic() - began
                    self._watch()
                    if (
                        trainer.step % self.config.run.checkpoint_every == 0
                        or trainer.step == steps
                        or self.halting.ended
                    ):
                        self.save()
                if trainer.step < steps and not self.halting.ended:
                    self.save()
                    self._say_stopped(f"Stopped at step {trainer.step}.")
                    return {}
            except KeyboardInterrupt:
                self._say_stopped(
                    f"Stopped in the middle of step {trainer.step + 1}; what came after the "
                    f"checkpoint of step {self.files.saved} is lost and will be done again."
                )
                return {}
        return self.finish()

    def begin(self) -> ConsoleTracker | None:
        """Open the trackers; of a new run measure the untrained policy, and save."""
        console = self._open_trackers() if self.ranks.first else None
        if self.reported < 0:
            self.report()  # for comparison
            self.untrained = self.context.numbers
            if self.ranks.first:
                self.halting.known(self.untrained)
            self.save()
        return console

    def _watch(self) -> None:
        """Look at the clock, for all processes alike, and keep a checkpoint if one is due."""
        if self.config.run.minutes:
            self.halting.watch()
            self.halting.late = self.ranks.lead(self.halting.late)
        kept = self.halting.kept(self.context.trainer.step)
        if kept:
            self.save(self.files.checkpoint.with_name(kept))

    def _step(self, console: ConsoleTracker | None) -> None:
        trainer = self.context.trainer
        before = trainer.generator.get_state()
        try:
            with self.ranks.together():
                record = trainer.train_step()
        except Exception:  # a reward that fails, say
            self._save_before_failure(trainer.step, before)
            raise
        if console is not None:
            console.progress(trainer.step)
        if record or trainer.step == self.config.train.steps:
            self.report(record)
            best = self.halting.judge(trainer.step, self.context.numbers) if self.ranks.first else 0
            best, self.halting.reason = self.ranks.lead((bool(best), self.halting.reason))
            if best:
                self.save(self.files.checkpoint.with_name(BEST))
        self._show()

    def _show(self) -> None:
        """Draw what the task shows, if pictures are due; the end has its own."""
        every, step = self.config.run.pictures_every, self.context.trainer.step
        if not every or step % every or step == self.config.train.steps or not self.ranks.first:
            return
        with self.files.writing():
            for name, path in draw(self.context, self.folder, self.config.run.eval_samples).items():
                if path.suffix == ".png":
                    self.trackers.picture(name, path)

    def _save_before_failure(self, step: int, generator: torch.Tensor) -> None:
        """Keep the steps done, so that a run whose cause of failure is mended repeats that one."""
        trainer = self.context.trainer
        if trainer.step != step:  # the step was done, and a callback failed
            return
        trainer.generator.set_state(generator)
        with contextlib.suppress(GFlowError):  # the error at hand says more
            self.save()
        if self.ranks.first and self.files.saved == step:
            print(
                f"\nStep {step + 1} failed; what came before is saved. With the cause mended, "
                f"continue with: gflow resume {self.folder}",
                file=sys.stderr,
            )

    def _due(self, step: int) -> bool:
        return step % self.config.run.eval_every == 0

    def _open_trackers(self) -> ConsoleTracker | None:
        options = self.config.run
        console = None
        if not options.quiet:
            console = ConsoleTracker(self.config.train.steps, self.config.task.headline)

        def kept(at: int) -> bool:  # the last row of a run that is extended belongs to no schedule
            return self._due(at) or at == self.config.train.steps

        with self.files.writing():
            lines = JsonlTracker(self.files.metrics, self.reported, kept)
        for number in lines.damaged:
            print(
                f"{self.files.metrics}: line {number} is damaged and was set aside in "
                f"{lines.aside.name}; the other lines are kept.",
                file=sys.stderr,
            )
        if self.reported >= 0:
            for tracker in self._extra:
                tracker.catch_up(self.files.metrics)
        shown: list[Tracker] = [] if console is None else [console]
        self.trackers = Trackers(*shown, lines, *self._extra)
        return console

    def _say_stopped(self, what: str) -> None:
        if not self.ranks.first:
            return
        with contextlib.suppress(OSError):  # the terminal is gone
            print(f"\n{what} Continue with: gflow resume {self.folder}", flush=True)

    def report(self, record: Record | None = None) -> None:
        """Measure and tell the trackers.

        Args:
            record: Of the trainer; by default what it has noted since the last one.

        Raises:
            FolderError: A file cannot be written.
        """
        step = self.context.trainer.step
        # None is due at the last step, and the run may yet be extended: the sums go on.
        numbers = record or self.context.trainer.means()
        for seer in (self.best, self.front):
            if seer is not None:  # the first process alone shows and saves what all have seen
                for state in self.ranks.gather(seer.state_dict())[1:]:
                    seer.absorb(state)
        if self.ranks.first:
            numbers |= evaluate_run(self.context, self.config.run.eval_samples)
        self.context.numbers, self.reported = numbers, step
        if self.ranks.first:
            with self.files.writing():
                self.trackers.log(step, numbers)
        give_back()

    def finish(self) -> dict[str, Any]:
        """The summary of a run that is at its end, written, with its pictures.

        Raises:
            FolderError: A file cannot be written.
        """
        trainer = self.context.trainer
        if self.reported < trainer.step:  # it was stopped here, and now asked for no more
            self.report()
            self.save()
        return self.ranks.lead(self._conclude() if self.ranks.first else {})

    def _conclude(self) -> dict[str, Any]:
        """Write the summary and what the task shows at the end."""
        trainer = self.context.trainer
        summary = {
            "environment": self.config.task.name,
            "objective": trainer.objective.name,
            "step": trainer.step,
            **({"ended": self.halting.ended} if self.halting.ended else {}),
            "metrics": self.context.numbers,
            "untrained": self.untrained,
            "exact": self.context.exact,
            "timing": {
                "seconds": round(self.seconds, 2),
                "steps_per_second": round(trainer.step / max(self.seconds, 1e-9), 2),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "processes": self.ranks.size,
            },
        }
        with self.files.writing():
            self.files.write_summary(summary)
            # First, as it may score objects that tasks then list.
            rows = write_objects(self.context, self.folder, self.config.run.eval_samples)
            for name, path in draw(self.context, self.folder, self.config.run.eval_samples).items():
                self.trackers.picture(name, path)
            self.trackers.table("objects", rows)
            write_report([self.folder])
            self.trackers.finish(self.context.numbers)
        return summary

    # ------------------------------------------------------------------ checkpoints

    def save(self, path: Path | None = None) -> None:
        """Write the checkpoint.

        Args:
            path: Where, if it is to be the folder's later.

        Raises:
            FolderError: It cannot be written; the one before is whole.
        """
        state = {
            "trainer": self.context.trainer.state_dict(),
            "best": None if self.best is None else self.best.state_dict(),
            "front": None if self.front is None else self.front.state_dict(),
            "seconds": self.seconds,
            "numbers": dict(self.context.numbers),
            "untrained": dict(self.untrained),
            "reported": self.reported,
            "halting": self.halting.state_dict(),
        }
        if self.ranks.first:
            with self.files.writing():
                save_checkpoint(path or self.files.checkpoint, state, self._identity())
        if path is None:
            self.files.saved = self.context.trainer.step

    def load(self, state: dict[str, Any], to_look_at: bool = False) -> None:
        """Take back the state of a checkpoint."""
        self.context.trainer.load_state_dict(state["trainer"], to_look_at)
        if self.best is not None:
            self.best.load_state_dict(state["best"])
        if self.front is not None:
            self.front.load_state_dict(state["front"])
        self.seconds = state["seconds"]
        self.context.numbers, self.untrained = dict(state["numbers"]), dict(state["untrained"])
        self.halting.load_state_dict(state["halting"])
        self.reported, self.files.saved = state["reported"], self.context.trainer.step

    def _load(self, to_look_at: bool = False) -> None:
        state = self._read() if self.ranks.first else {}
        self.load(self.ranks.lead(state), to_look_at)

    def _read(self) -> dict[str, Any]:
        """What the checkpoint says."""
        if not self.files.checkpoint.exists():
            lost = f"The run was stopped before it: start it with `gflow resume {self.folder}`."
            if self.files.has_results:
                lost = "It was there once, as the run has results: put it back, or train anew."
            raise CheckpointError(f"There is no checkpoint at {self.files.checkpoint}. {lost}")
        return load_checkpoint(self.files.checkpoint, self._identity())

    def _identity(self) -> dict[str, Any]:
        return identity(self.config, torch.get_default_dtype())

    def close(self) -> None:
        """Release the folder and worker processes."""
        try:
            self.config.task.close(self.context.env)
        finally:
            self.files.release()


def _seed(seed: int) -> None:
    """Seed all generators that are not given as arguments."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002

"""A run: a folder, a trainer, and the loop around it that reports, saves and resumes."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import yaml

from gflow.errors import ConfigError, MissingExtraError
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive
from gflow.tasks.measure import evaluate_run
from gflow.tasks.options import RunConfig
from gflow.tasks.pictures import curves
from gflow.tasks.task import Context, enumerate_if_small, policy_and_learners
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.tracking import (
    ConsoleTracker,
    JsonlTracker,
    Tracker,
    Trackers,
    open_tracker,
    read_jsonl,
)
from gflow.training.trainer import Trainer

CHECKPOINT = Path("checkpoints") / "last.pt"

FRONT = 1000
"""Objects kept of the Pareto front of a run."""


class Run:
    """One training run and its folder.

    Args:
        config: All settings.
        folder: Where the run keeps its files.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.train.seed)  # initial weights
        task = config.task
        env = task.environment()
        objective = config.objective.build(task, env)
        policy, learners = policy_and_learners(task, env, objective.needs, config.backward)
        policy.to(config.run.device)
        for learner in learners:
            learner.module.to(config.run.device)
        objective.to(config.run.device)
        self.best = BestObjects(env) if env.has_keys else None
        several = env.num_scores > 0 and env.has_keys
        self.front = ParetoArchive(env, FRONT) if several else None
        callbacks = [seer for seer in (self.best, self.front) if seer is not None]
        trainer = Trainer(
            env,
            policy,
            objective,
            config.train,
            condition=task.condition(env),
            behaviour=task.behaviour(env, config.behaviour.build()),
            learners=learners,
            callbacks=callbacks,
        )
        graph = enumerate_if_small(task, env)
        self.context = Context(task, env, trainer, self.best, graph, self.front)
        self.sums: dict[str, float] = {}
        self.count = 0
        self.seconds = 0.0

    # ------------------------------------------------------------------ folder

    @classmethod
    def create(cls, config: RunConfig, folder: Path) -> "Run":
        """A fresh run in an empty folder (or one that may be overwritten).

        Raises:
            ConfigError: If the folder cannot be written or holds a run already.
            GFlowError: If the settings are refused; no folder is left behind then, and a run that
                was to be overwritten stays.
        """
        if (folder / "config.yaml").exists() and not config.run.overwrite:
            raise ConfigError(
                f"{folder} holds a run already. Continue it with `gflow resume {folder}`, choose "
                f"another folder with --out, or pass --overwrite."
            )
        checkpoints = folder / "checkpoints"
        made = [path for path in (checkpoints, *checkpoints.parents) if not path.exists()]
        try:
            checkpoints.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as e:
            raise ConfigError(
                f"The output folder {folder} cannot be written: {e.strerror or e}. "
                f"Choose another with --out DIR."
            ) from e
        try:
            run = cls(config, folder)
        except BaseException:
            for path in made:
                path.rmdir()
            raise
        if config.run.overwrite:
            for name in ("summary.json", "metrics.jsonl", str(CHECKPOINT)):
                (folder / name).unlink(missing_ok=True)
        text = yaml.safe_dump(config.to_dict(), sort_keys=False)
        (folder / "config.yaml").write_text(text)
        return run

    @classmethod
    def open(cls, folder: Path, load: bool = True) -> "Run":
        """A run from its folder, at its last checkpoint.

        Raises:
            ConfigError: If the folder holds no run.
            CheckpointError: If there is no checkpoint, or it belongs to another configuration.
        """
        file = folder / "config.yaml"
        if not file.exists():
            raise ConfigError(f"{folder} holds no run: there is no config.yaml in it.")
        run = cls(RunConfig.from_dict(yaml.safe_load(file.read_text())), folder)
        if load:
            run.load(load_checkpoint(folder / CHECKPOINT, run.config.fingerprint()))
        return run

    # ------------------------------------------------------------------ the loop

    def train(self, resume: bool = False) -> dict[str, Any]:
        """Train to the end, or until interrupted; returns the summary (empty if interrupted)."""
        options, trainer = self.config.run, self.context.trainer
        steps = self.config.train.steps
        console = ConsoleTracker(steps, self.config.task.headline)
        at = trainer.step if resume else None
        shown: list[Tracker] = [] if options.quiet else [console]
        trackers = Trackers(
            *shown,
            JsonlTracker(self.folder / "metrics.jsonl", resume_step=at),
            *(open_tracker(n, self.folder, self.config.to_dict(), at) for n in options.track),
        )
        if not resume:
            self._report(trackers)  # the untrained policy, for comparison
            self.save()
        began = time.monotonic() - self.seconds
        with _interruptible() as interrupted:
            while trainer.step < steps and not interrupted:
                record = trainer.train_step()
                for name, value in record.items():
                    self.sums[name] = self.sums.get(name, 0.0) + value
                self.count += 1
                if not options.quiet:
                    console.progress(trainer.step)
                if trainer.step % options.eval_every == 0 or trainer.step == steps:
                    self._report(trackers)
                self.seconds = time.monotonic() - began
                if trainer.step % options.checkpoint_every == 0 or trainer.step == steps:
                    self.save()
        if trainer.step < steps:
            self.save()
            print(f"\nStopped at step {trainer.step}. Continue with: gflow resume {self.folder}")
            return {}
        return self._finish(trackers)

    def _report(self, trackers: Trackers) -> None:
        numbers = {name: total / self.count for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        numbers |= evaluate_run(self.context, self.config.run.eval_samples)
        self.context.numbers = numbers
        trackers.log(self.context.trainer.step, numbers)

    def _finish(self, trackers: Trackers) -> dict[str, Any]:
        if not self.context.numbers:  # resumed after the last step
            self.context.numbers = evaluate_run(self.context, self.config.run.eval_samples)
        rows = read_jsonl(self.folder / "metrics.jsonl")
        final = {k: v for k, v in rows[-1].items() if k not in ("step", "timing")}
        first = {k: v for k, v in rows[0].items() if k not in ("step", "timing")}
        summary = {
            "environment": self.config.task.name,
            "objective": self.context.trainer.objective.name,
            "step": self.context.trainer.step,
            "metrics": final,
            "untrained": first,
            "timing": {
                "seconds": round(self.seconds, 2),
                "steps_per_second": round(self.context.trainer.step / max(self.seconds, 1e-9), 2),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            },
        }
        text = json.dumps(summary, indent=2, sort_keys=True)
        partial = self.folder / "summary.partial"
        partial.write_text(text + "\n")
        partial.replace(self.folder / "summary.json")
        try:
            pictures = self.config.task.finish(self.context, self.folder)
            curves(rows, self.folder / "curves.png")
            for name, path in pictures.items():
                trackers.picture(name, path)
        except MissingExtraError as e:
            print(f"No pictures: {e}")
        trackers.finish(final)
        return summary

    # ------------------------------------------------------------------ checkpoints

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "trainer": self.context.trainer.state_dict(),
            "best": None if self.best is None else self.best.state_dict(),
            "front": None if self.front is None else self.front.state_dict(),
            "sums": dict(self.sums),
            "count": self.count,
            "seconds": self.seconds,
        }
        save_checkpoint(self.folder / CHECKPOINT, state, self.config.fingerprint())

    def load(self, state: dict[str, Any]) -> None:
        """Take back the state of a checkpoint."""
        self.context.trainer.load_state_dict(state["trainer"])
        if self.best is not None:
            self.best.load_state_dict(state["best"])
        if self.front is not None:
            self.front.load_state_dict(state["front"])
        self.sums, self.count = dict(state["sums"]), state["count"]
        self.seconds = state["seconds"]

    def close(self) -> None:
        """Release worker processes."""
        self.config.task.close(self.context.env)


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of raising in mid-step; a second one raises at once."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, note)
        except ValueError:  # not in the main thread
            break
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def default_folder(config: RunConfig) -> Path:
    """runs/ENV-OBJECTIVE-SEED under the working folder."""
    if config.run.out:
        return Path(os.path.expandvars(config.run.out)).expanduser()
    objective = config.objective.objective or config.task.objective
    return Path("runs") / f"{config.task.name}-{objective}-{config.train.seed}"

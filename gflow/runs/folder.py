"""The folder of a run: its files, who may write them, and what they say of the run."""

import dataclasses
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from gflow.errors import ConfigError, FolderError, GFlowError
from gflow.runs.lock import FolderInUseError, FolderLock
from gflow.tasks.options import RunConfig
from gflow.training.atomic import write_text
from gflow.training.checkpoint import first_difference
from gflow.training.json_lines import from_json, read_jsonl, to_json

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RunFolder:
    """Where a run keeps its files.

    Args:
        path: The folder; it need not exist.

    Attributes:
        saved: Step of the last checkpoint that this process wrote or read; -1 for none.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.saved = path, -1
        self.config, self.metrics = path / "config.yaml", path / "metrics.jsonl"
        self.summary, self.checkpoint = path / "summary.json", path / "checkpoints" / "last.pt"
        self._lock: FolderLock | None = None
        self._made: list[Path] = []

    # ------------------------------------------------------------------ holding it

    def lock(self, advice: str = "Choose another with --out DIR") -> None:
        """Make the folder, if need be, and hold it until `release` or the end of this process.

        Args:
            advice: What to do if it cannot be written.

        Raises:
            FolderError: Another process holds it, or it cannot be written.
        """
        where = (self.checkpoint.parent, *self.checkpoint.parent.parents)
        self._made = [path for path in where if not path.exists()]
        try:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.path)
        except FolderError:
            raise
        except OSError as e:
            self._remove_made()
            raise FolderError(
                f"The output folder {self.path} cannot be written: {e.strerror or e}. {advice}."
            ) from e

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def abandon(self) -> None:
        """Release it, and remove what `lock` made: the run was refused before it began."""
        self._remove_made()
        self.release()

    def _remove_made(self) -> None:
        for path in self._made:
            with suppress(OSError):
                if path == self.path:
                    shutil.rmtree(path)
                else:
                    path.rmdir()
        self._made = []

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn the system's errors of writing into one message that says what is safe.

        Raises:
            FolderError: Something in the block could not be written.
        """
        try:
            yield
        except GFlowError:
            raise
        except OSError as e:
            cause = "Make room" if e.errno in FULL else "Make it writable"
            again = f"{cause}, then continue with `gflow resume {self.path}`"
            safe = f"The checkpoint of step {self.saved} is whole. {again}"
            if self.saved < 0:
                safe = (
                    f"Nothing was saved yet. {again if self.holds_run else cause + ', or choose'}"
                )
                safe += "" if self.holds_run else " another folder with --out DIR"
            raise FolderError(
                f"{e.filename or self.path} cannot be written: {e.strerror or e}. {safe}."
            ) from None

    # ------------------------------------------------------------------ what it says

    @property
    def holds_run(self) -> bool:
        """Whether there is a configuration in it."""
        return self.config.exists()

    @property
    def has_results(self) -> bool:
        """Whether a run got further than its untrained policy, so that there is something to lose.

        A run that was killed before its first checkpoint has none.
        """
        if self.checkpoint.exists() or self.summary.exists():
            return True
        return self.metrics.exists() and any(row["step"] > 0 for row in read_jsonl(self.metrics))

    @property
    def finished_at(self) -> int:
        """The step at which the run ended, or -1."""
        try:
            return int(from_json(self.summary.read_bytes())["step"])
        except (OSError, ValueError, LookupError, TypeError):
            return -1

    def read_config(self) -> RunConfig:
        """The settings of the run.

        Raises:
            ConfigError: There is no run, or its settings cannot be read.
        """
        try:
            data = yaml.safe_load(self.config.read_text())
        except FileNotFoundError:
            raise ConfigError(f"{self.path} holds no run: there is no config.yaml in it.") from None
        except (OSError, ValueError, yaml.YAMLError) as e:
            what = str(e).splitlines()[0]
            raise ConfigError(f"{self.config} cannot be read: {what}.") from e
        if not isinstance(data, dict):
            raise ConfigError(f"{self.config} is no configuration of a run: it has no sections.")
        return RunConfig.from_dict(data)

    def write_config(self, config: RunConfig) -> None:
        """Replace the settings."""
        write_text(self.config, yaml.safe_dump(config.to_dict(), sort_keys=False))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Replace the summary."""
        write_text(self.summary, to_json(summary, indent=2) + "\n")

    def clear(self) -> None:
        """Remove the files of the run that was here."""
        written = (self.path / name for name in ("about.json", "objects.jsonl", "report.html"))
        kept = self.checkpoint.parent.glob("*.pt")
        for path in (self.summary, self.metrics, self.checkpoint, *kept, *written):
            path.unlink(missing_ok=True)

    def difference(self, config: RunConfig) -> str:
        """How the run in the folder differs from `config`, in words; empty if it does not."""
        try:
            there = self.read_config()
        except GFlowError as e:
            return str(e).rstrip(".")
        found = first_difference(there.fingerprint(), config.fingerprint())
        if found is None and there.train.steps != config.train.steps:
            found = ("train.steps", there.train.steps, config.train.steps)
        return "" if found is None else f"{found[0]} is {found[1]!r} there and {found[2]!r} here"

    def refusal(self, config: RunConfig) -> str:
        """Why a new run with these settings may not start here; empty if it may."""
        if not self.holds_run or config.run.overwrite or not self.has_results:
            return ""
        others = "choose another folder with --out DIR, or pass --overwrite to start anew here"
        differs = self.difference(config)
        if differs:
            more = " --steps N" if differs.startswith("train.steps") else ""
            return (
                f"{self.path} holds a run already, with other settings: {differs}. Continue that "
                f"one with `gflow resume {self.path}{more}`, {others}."
            )
        if self.finished_at >= config.train.steps:
            return (
                f"{self.path} holds a run already: this one, and it is finished. Extend it with "
                f"`gflow resume {self.path} --steps N` (N in all, more than "
                f"{self.finished_at}), {others}."
            )
        return (
            f"{self.path} holds a run already: this one, stopped before its end. Continue it with "
            f"`gflow resume {self.path}`, {others}."
        )


def open_for_new(config: RunConfig, path: Path | None = None) -> RunFolder:
    """The folder for a new run, held.

    Args:
        config: The settings.
        path: The folder; by default runs/ENV-OBJECTIVE-SEED, or, where runs with other settings
            are there, the same with -2, -3, and so on.

    Raises:
        ConfigError: The folder holds a run with results.
        FolderError: The folder is in use or cannot be written.
    """
    if path is not None:
        return _held(RunFolder(path), config)
    base = default_folder(config)
    if config.run.out or config.run.overwrite:
        return _held(RunFolder(base), config)
    number, note, wants_more = 1, "", ""
    while True:
        folder = RunFolder(base if number == 1 else base.with_name(f"{base.name}-{number}"))
        differs = folder.difference(config) if folder.has_results else ""
        if not differs:
            try:
                held = _held(folder, config)
            except FolderInUseError:
                differs = "it is just starting"
                if folder.holds_run:
                    differs = folder.difference(config)
                if not differs:
                    raise
            else:
                if note:
                    print(f"{note}: this one goes to {folder.path}.{wants_more}", file=sys.stderr)
                return held
        note = note or f"{folder.path} holds another run ({differs})"
        if not wants_more and differs.startswith("train.steps"):
            wants_more = f" To extend that one: gflow resume {folder.path} --steps N."
        number += 1


def _held(folder: RunFolder, config: RunConfig) -> RunFolder:
    folder.lock()
    refusal = folder.refusal(config)
    if refusal:
        folder.abandon()
        raise ConfigError(refusal)
    return folder


def run_folder_of(path: Path) -> bool:
    """Whether a folder is that of a run."""
    return RunFolder(path).holds_run


def default_folder(config: RunConfig) -> Path:
    """What `--out` says, or runs/ENV-OBJECTIVE-SEED under the working folder."""
    if config.run.out:
        return Path(os.path.expandvars(config.run.out)).expanduser()
    objective = config.objective.cls.name
    return Path("runs") / f"{config.task.name}-{objective}-{config.train.seed}"


def with_steps(config: RunConfig, steps: int) -> RunConfig:
    """The same settings with another number of steps."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))


def identity(config: RunConfig, dtype: object) -> dict[str, Any]:
    """What a checkpoint must agree with: all that numbers depend on but how far it goes.

    No schedule reads the number of steps, so a run that is extended gives the numbers of one that
    was asked for more from the start. A condition that nobody chose is left out: checkpoints from
    before there was a choice are still read.
    """
    found = config.fingerprint()
    if found["condition"] == {"name": "auto"}:
        del found["condition"]
    train = {key: value for key, value in found["train"].items() if key != "steps"}
    return {**found, "train": train, "dtype": str(dtype)}

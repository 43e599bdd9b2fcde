"""The folder of an AlphaZero: settings, what it learned, and a line for each round."""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from gflow.arena.alphazero import AlphaZero, AlphaZeroOptions
from gflow.arena.search import SearchOptions
from gflow.errors import CheckpointError, ConfigError, FolderError, GFlowError
from gflow.tasks.options import RunConfig
from gflow.tasks.task import Task
from gflow.terms import Needs
from gflow.training.atomic import write_text
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.json_lines import from_json, to_json

FILE, SETTINGS, LINES = "alphazero.pt", "alphazero.json", "metrics.jsonl"


def build(
    task: Task[Any], options: AlphaZeroOptions, search: SearchOptions, seed: int
) -> AlphaZero:
    """A fresh one for the game and with the network of a task.

    Raises:
        IncompatibleError: If the environment is no game of two.
    """
    env = task.environment()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = task.policy(env, Needs(log_flow=True))
    return AlphaZero(env, policy, options, search, seed)


class AlphaZeroFolder:
    """Where an AlphaZero is kept.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def holds_one(self) -> bool:
        """Whether there is one in it."""
        return (self.path / SETTINGS).exists()

    def create(
        self,
        task: Task[Any],
        options: AlphaZeroOptions,
        search: SearchOptions,
        seed: int,
        overwrite: bool = False,
    ) -> AlphaZero:
        """A fresh one, and its settings in the folder.

        Raises:
            ConfigError: If there is a run of some kind in the folder already.
            FolderError: If it cannot be written.
        """
        if (self.holds_one or (self.path / "config.yaml").exists()) and not overwrite:
            raise ConfigError(
                f"{self.path} holds a run already. Choose another folder with --out DIR, or pass "
                f"--overwrite to start anew here."
            )
        made = build(task, options, search, seed)
        known = RunConfig.of(task).to_dict()
        settings = {
            "environment": known["environment"],
            "task": known["task"],
            "options": asdict(options),
            "search": asdict(search),
            "seed": seed,
        }
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in (FILE, LINES):
                (self.path / name).unlink(missing_ok=True)
            write_text(self.path / SETTINGS, to_json(settings, indent=2) + "\n")
        except OSError as error:
            raise FolderError(f"{self.path} cannot be written: {error.strerror}.") from error
        return made

    def save(self, trained: AlphaZero, numbers: dict[str, float] | None = None) -> None:
        """Keep what it learned, and a line of numbers.

        Raises:
            FolderError: If it cannot be written; what was there is whole.
        """
        try:
            if numbers is not None:
                with (self.path / LINES).open("a") as file:
                    file.write(to_json(numbers) + "\n")
            save_checkpoint(self.path / FILE, trained.state_dict(), {})
        except OSError as error:
            raise FolderError(f"{self.path} cannot be written: {error.strerror}.") from error

    def load(self) -> tuple[Task[Any], AlphaZero]:
        """The task and what was learned on it.

        Raises:
            ConfigError: If the settings cannot be read.
            CheckpointError: If what was learned is missing or damaged.
        """
        path = self.path / SETTINGS
        try:
            settings = from_json(path.read_bytes())
            known = {"environment": settings["environment"], "task": settings["task"]}
            task = RunConfig.from_dict(known).task
            options = AlphaZeroOptions(**settings["options"])
            search = SearchOptions(**settings["search"])
            made = build(task, options, search, int(settings["seed"]))
        except GFlowError:
            raise
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}.") from error
        state = load_checkpoint(self.path / FILE)
        try:
            made.load_state_dict(state)
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{self.path / FILE} is of another network: {reason}") from error
        made.policy.eval()
        return task, made

    def remove_if_empty(self) -> None:
        """Leave no folder behind in which nothing was learned."""
        if not (self.path / FILE).exists():
            (self.path / SETTINGS).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.rmdir()

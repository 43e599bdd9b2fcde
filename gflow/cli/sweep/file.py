"""A sweep file, read and checked as a whole before anything runs."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gflow.cli.sweep.command import Command, read_command
from gflow.cli.sweep.document import read_document
from gflow.cli.sweep.points import Point, sweep_points
from gflow.errors import ConfigError

USED = ("command", "program", "method", "metric", "parameters", "run_cap", "seed")
NOTES = ("name", "description", "project", "entity")
REFUSED = {
    "early_terminate": "runs are not stopped early on this machine: all go to their end",
    "controller": "this machine needs no controller",
    "job": "launch jobs need W&B's server",
    "image_uri": "launch jobs need W&B's server",
    "launch": "launch jobs need W&B's server",
    "scheduler": "launch jobs need W&B's server",
    "prior_runs": "runs of other sweeps are on W&B's server",
}


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file asks for.

    Attributes:
        command: What starts a run.
        points: The parameters of each run.
        metric: What is compared.
        maximize: Whether more of it is better.
        drawn: Whether the points are random draws.
    """

    command: Command
    points: list[Point]
    metric: str
    maximize: bool
    drawn: bool

    @classmethod
    def read(cls, file: Path) -> "SweepFile":
        """From YAML.

        Raises:
            ConfigError: With the file, and what in it is wrong or is not done on this machine.
        """
        spec = read_document(file)
        try:
            _check_keys(spec)
            metric, maximize = _metric(spec.get("metric", {"name": "loss"}))
            found = cls(
                read_command(spec),
                sweep_points(spec),
                metric,
                maximize,
                spec.get("method") == "random",
            )
            for point in found.points[:1]:
                found.command.line(point, Path())  # refuses what no run could be started with
        except ConfigError as e:
            raise ConfigError(f"{file}: {e}") from e
        return found


def _check_keys(spec: dict[str, Any]) -> None:
    for key in spec:
        if key in REFUSED:
            raise ConfigError(f"`{key}` is not done: {REFUSED[key]}. Remove it.")
        if key not in (*USED, *NOTES):
            close = difflib.get_close_matches(str(key), [*USED, *NOTES], n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"There is no section {key!r} in sweep files.{hint} Known: {', '.join(USED)}."
            )


def _metric(found: Any) -> tuple[str, bool]:
    """Its name, and whether more is better."""
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise ConfigError(
            f"`metric` must say a name, as in `{{name: tv, goal: minimize}}`, got {found!r}."
        )
    for key in found:
        if key not in ("name", "goal"):
            raise ConfigError(
                f"`metric` takes name and goal; {key!r} is not done on this machine. Remove it."
            )
    goal = found.get("goal", "minimize")
    if goal not in ("minimize", "maximize"):
        raise ConfigError(f"The goal of `metric` must be minimize or maximize, got {goal!r}.")
    return found["name"].removeprefix("metrics."), goal == "maximize"

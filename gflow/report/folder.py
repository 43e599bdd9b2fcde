"""What a run's folder says, read without torch; a run may be under way, stopped or finished."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gflow.errors import ConfigError
from gflow.training.json_lines import read_document, read_jsonl, read_objects

LEFT_OUT = ("step", "timing")
"""Keys of a report that are no metrics."""
DISTANCES = ("tv", "l1", "jsd", "kl")
"""Distances of distributions that are both exact where `tv` is reported: zero at the solution."""


@dataclass(frozen=True)
class RunFacts:
    """A run as its folder tells of it.

    Attributes:
        folder: The folder.
        config: All settings, by section.
        rows: The reports, in order.
        summary: What was written at the end; empty before it.
        about: Versions, the command, where it was resumed; empty in folders of older versions.
        objects: The best objects and samples, each with the set that it belongs to.
        pictures: Files, by name.
        captions: What they show, by name.
    """

    folder: Path
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "RunFacts":
        """From the files of a folder.

        Raises:
            ConfigError: There is no run in it, or its settings cannot be read.
        """
        try:
            config = yaml.safe_load((folder / "config.yaml").read_text())
        except FileNotFoundError:
            raise ConfigError(f"{folder} holds no run: there is no config.yaml in it.") from None
        except (OSError, ValueError, yaml.YAMLError) as e:
            raise ConfigError(f"{folder / 'config.yaml'} cannot be read: {e}.") from e
        if not isinstance(config, dict):
            raise ConfigError(f"{folder / 'config.yaml'} is no configuration of a run.")
        metrics, objects = folder / "metrics.jsonl", folder / "objects.jsonl"
        return cls(
            folder,
            config,
            read_jsonl(metrics) if metrics.exists() else [],
            read_document(folder / "summary.json"),
            read_document(folder / "about.json"),
            read_objects(objects) if objects.exists() else [],
            {path.stem: path for path in sorted(folder.glob("*.png")) if path.stem != "curves"},
            read_document(folder / "captions.json"),
        )

    @property
    def environment(self) -> str:
        """Its name."""
        return str(self.config.get("environment", ""))

    @property
    def objective(self) -> str:
        """Its name."""
        return self._named("objective")

    @property
    def behaviour(self) -> str:
        """Its name."""
        return self._named("behaviour")

    @property
    def seed(self) -> Any:
        """Of the run."""
        return self.config.get("train", {}).get("seed", "")

    @property
    def title(self) -> str:
        """What was trained by what."""
        return f"{self.environment}, {self.objective}"

    @property
    def steps(self) -> int:
        """Steps that were asked for."""
        return int(self.config.get("train", {}).get("steps", 0))

    @property
    def step(self) -> int:
        """Steps that are reported."""
        reported = [int(row["step"]) for row in self.rows]
        return max([int(self.summary.get("step", 0)), *reported])

    @property
    def finished(self) -> bool:
        """Whether the run came to its end, or ended early as it was to."""
        early = bool(self.summary.get("ended")) and self.step == self.summary.get("step")
        return bool(self.summary) and (early or self.step >= self.steps)

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers of the last report."""
        numbers: dict[str, float] = self.summary.get("metrics", {})
        # A run that is extended has a summary of its end before.
        if self.rows and self.rows[-1]["step"] > self.summary.get("step", -1):
            numbers = self.rows[-1]
        return {k: v for k, v in numbers.items() if k not in LEFT_OUT}

    @property
    def untrained(self) -> dict[str, float]:
        """The numbers before any training."""
        first = self.rows[0] if self.rows and self.rows[0]["step"] == 0 else {}
        numbers: dict[str, float] = self.summary.get("untrained", first)
        return {k: v for k, v in numbers.items() if k not in LEFT_OUT}

    @property
    def exact(self) -> dict[str, float]:
        """What numbers are at the exact solution, where that is known."""
        known: dict[str, float] = dict(self.summary.get("exact", {}))
        zeros: tuple[str, ...] = DISTANCES if known and "tv" in self.metrics else ()
        zeros += ("log_z_error",) if "log_z" in known else ()
        return known | {name: 0.0 for name in zeros if name in self.metrics}

    @property
    def resumed(self) -> list[int]:
        """Steps at which it was resumed."""
        return [int(step) for step in self.about.get("resumed", [])]

    @property
    def names(self) -> list[str]:
        """Metrics of any report, in the order in which they first came."""
        found = dict.fromkeys(k for row in self.rows for k in row if k not in LEFT_OUT)
        found |= dict.fromkeys(self.metrics)
        return [name for name in found if self.curve(name) or _is_number(self.metrics.get(name))]

    def curve(self, name: str) -> list[tuple[int, float]]:
        """The finite values of a metric, with their steps."""
        return [
            (int(row["step"]), float(row[name])) for row in self.rows if _is_finite(row.get(name))
        ]

    def _named(self, section: str) -> str:
        part = self.config.get(section, {})
        return str(part.get("name", "")) if isinstance(part, dict) else ""


def run_folders(folder: Path) -> list[Path]:
    """The runs in a folder: itself, or those beneath it.

    Raises:
        ConfigError: There is none.
    """
    if (folder / "config.yaml").exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/config.yaml"))
    if not found:
        there = "There is no such folder" if not folder.exists() else "There is no config.yaml"
        raise ConfigError(
            f"{folder} holds no run. {there} in it or in the folders beneath it: give the folder "
            f"of a run (`gflow train` prints it), of a sweep, or several."
        )
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)

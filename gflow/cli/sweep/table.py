"""The comparison of a sweep's runs: one table and one picture, seeds put together."""

import csv
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gflow.cli.sweep.points import Point

SEED = "seed"
"""The parameter over which runs are averaged."""


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but the seed.

    Attributes:
        point: Their parameters without the seed; lists and mappings as text.
        runs: Names of their folders.
        values: The metric of those that are finished.
        seconds: How long each of these took.
    """

    point: Point
    runs: list[str]
    values: list[float]
    seconds: list[float]

    @property
    def mean(self) -> float | None:
        """Mean of the metric; None if no run is finished."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None below two."""
        finite = len(self.values) > 1 and all(map(math.isfinite, self.values))
        return statistics.stdev(self.values) if finite else None


@dataclass(frozen=True)
class Comparison:
    """All settings of a sweep, best first.

    Attributes:
        settings: The settings.
        metric: What is compared.
        maximize: Whether more is better.
        seeded: Whether the sweep varies the seed.
    """

    settings: list[Setting]
    metric: str
    maximize: bool
    seeded: bool

    @classmethod
    def read(cls, out: Path, points: list[Point], metric: str, maximize: bool) -> "Comparison":
        """From the summaries of the runs in a sweep's folder."""
        found: dict[str, Setting] = {}
        for number, point in enumerate(points):
            bare = {k: _cell(v) for k, v in point.items() if k != SEED}
            name = f"{number:03d}"
            setting = found.setdefault(json.dumps(bare, default=str), Setting(bare, [], [], []))
            setting.runs.append(name)
            file = out / name / "summary.json"
            if not file.exists():
                continue
            summary = json.loads(file.read_text())
            if metric in summary["metrics"]:
                value = summary["metrics"][metric]
                setting.values.append(math.nan if value is None else float(value))
                seconds = summary.get("timing", {}).get("seconds")
                setting.seconds.extend([] if seconds is None else [float(seconds)])
        sign = -1 if maximize else 1

        def order(setting: Setting) -> tuple[bool, float]:
            known = setting.mean is not None and not math.isnan(setting.mean)
            return (not known, sign * setting.mean if known and setting.mean is not None else 0.0)

        seeded = len({str(point.get(SEED)) for point in points}) > 1
        return cls(sorted(found.values(), key=order), metric, maximize, seeded)

    @property
    def values(self) -> list[float]:
        """The metric of all finished runs."""
        return [value for setting in self.settings for value in setting.values]

    def varied(self) -> dict[str, list[Any]]:
        """The parameters that differ between settings, each with its values as in the sweep."""
        settings = sorted(self.settings, key=lambda s: s.runs[0])
        names = dict.fromkeys(name for s in settings for name in s.point)
        found = {n: list(dict.fromkeys(s.point.get(n) for s in settings)) for n in names}
        for values in found.values():
            if all(is_number(v) for v in values):
                values.sort()
        return {name: values for name, values in found.items() if len(values) > 1}

    def rows(self) -> list[dict[str, Any]]:
        """One row per setting, of what varies; with seeds also spread and number finished."""
        rows, names = [], self.varied()
        for s in self.settings:
            spread = {f"{self.metric}_std": s.spread, "seeds": len(s.values)}
            rows.append(
                {
                    "runs" if self.seeded else "run": " ".join(s.runs),
                    **{name: s.point.get(name) for name in names},
                    self.metric: s.mean,
                    **(spread if self.seeded else {}),
                    "seconds": statistics.fmean(s.seconds) if s.seconds else None,
                }
            )
        return rows

    def write(self, path: Path) -> None:
        """The table as CSV; what is not known is left empty."""
        rows = self.rows()
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def show(self) -> str:
        """The same table as text."""
        rows = [{k: _text(v) for k, v in row.items()} for row in self.rows()]
        head = {k: k for k in rows[0]} if rows else {}
        widths = {k: max(len(row[k]) for row in [head, *rows]) for k in head}
        return "\n".join(
            "  ".join(row[k].ljust(widths[k]) for k in head).rstrip() for row in [head, *rows]
        )

    def plot(self, path: Path, scattered: bool) -> None:
        """The picture of it.

        Args:
            path: Where to.
            scattered: Parameters were drawn at random, so numbers have axes of their own.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        from gflow.cli.sweep.picture import plot

        plot(self, path, scattered)


def is_number(value: Any) -> bool:
    """Whether a parameter has an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> Any:
    """A value of a parameter; lists and mappings as text."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

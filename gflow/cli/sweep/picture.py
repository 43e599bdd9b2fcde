"""The picture of a sweep: its settings against the metric, seeds as dots around their mean."""

import itertools
import statistics
from pathlib import Path
from typing import Any

from gflow.cli.sweep.table import Comparison, Setting, is_number
from gflow.tasks.pictures import pyplot

HUES = 8
"""Most values of a parameter that is told by colour."""

WIDE = 20
"""From this ratio of the largest to the smallest on, positive numbers get a logarithmic axis."""


def plot(comparison: Comparison, path: Path, scattered: bool) -> None:
    """Rows of settings for a grid; one panel per parameter for random draws."""
    plt = pyplot()
    done = [s for s in comparison.settings if s.values]
    axes = comparison.varied()
    numeric = [a for a in axes if all(is_number(s.point.get(a)) for s in done)]
    figure = (_panels if scattered and numeric else _rows)(plt, comparison, done, axes)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def _rows(plt: Any, comparison: Comparison, done: list[Setting], axes: dict[str, list[Any]]) -> Any:
    """One row per setting, best first; with two parameters or more, one of them as colour."""
    hue = None
    if len(axes) > 1:
        fewest = min(axes, key=lambda name: len(axes[name]))
        hue = fewest if len(axes[fewest]) <= HUES else None
    others = [name for name in axes if name != hue]
    shades = axes[hue] if hue else [None]
    rows = list(dict.fromkeys(_label(s, others) for s in done))  # in order of the best of each
    high = 0.34 * len(rows) * max(1.0, 0.55 * len(shades)) + 1.1
    figure, axis = plt.subplots(figsize=(7.0, high))
    for (k, shade), colour in zip(enumerate(shades), itertools.cycle(_colours(plt)), strict=False):
        label = None if hue is None else str(shade)
        for s in done:
            if hue is not None and s.point.get(hue) != shade:
                continue
            y = rows.index(_label(s, others)) + 0.7 * ((k + 0.5) / len(shades) - 0.5)
            axis.plot(s.values, [y] * len(s.values), "o", color=colour, alpha=0.35, ms=4, mew=0)
            _mean(axis, s, y, colour, label)
            label = None
    for y in range(1, len(rows)):
        axis.axhline(y - 0.5, color="0.9", lw=0.8, zorder=0)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_ylabel(", ".join(others))
    axis.set_xlabel(_metric(comparison))
    axis.grid(axis="x", alpha=0.3)
    if _wide(comparison.values):
        axis.set_xscale("log", nonpositive="clip")
        axis.set_xlim(*_limits(comparison.values, done))
    axis.set_title(_caption(comparison, done), fontsize="small", loc="left")
    if hue is not None:
        axis.legend(title=hue, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure


def _mean(axis: Any, s: Setting, y: float, colour: Any, label: str | None) -> None:
    """The mean and one standard deviation to each side; on a logarithmic axis as far as it goes."""
    mean, spread = statistics.fmean(s.values), s.spread or 0.0
    style = {"fmt": "D", "ms": 5, "capsize": 3, "lw": 1.4, "color": colour, "mec": "white"}
    axis.errorbar(mean, y, xerr=[[spread], [spread]], label=label, **style)


def _limits(values: list[Any], done: list[Setting]) -> tuple[float, float]:
    """Ends of a logarithmic axis: bars that would pass zero run into the lower one."""
    ends = [statistics.fmean(s.values) + sign * (s.spread or 0.0) for s in done for sign in (-1, 1)]
    shown = [*values, *(end for end in ends if end > min(values) / WIDE)]
    return min(shown) / 1.5, max(shown) * 1.5


def _panels(
    plt: Any, comparison: Comparison, done: list[Setting], axes: dict[str, list[Any]]
) -> Any:
    """The metric against each parameter; names also tell the colours, if there are few."""
    named = [a for a in axes if not all(is_number(v) for v in axes[a])]
    hue = next((a for a in named if len(axes[a]) <= HUES), None)
    shown = [*(a for a in axes if a not in named), *named]
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure, panels = plt.subplots(
        down, across, figsize=(3.6 * across + 0.6, 3.0 * down), squeeze=False, sharey=True
    )
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    shades = axes[hue] if hue else [None]
    for number, (name, panel) in enumerate(zip(shown, panels.flat, strict=False)):
        places = {str(v): i for i, v in enumerate(axes[name])}
        for shade, colour in zip(shades, itertools.cycle(_colours(plt)), strict=False):
            mine = [s for s in done if hue is None or s.point.get(hue) == shade]
            x = [
                s.point[name] if name not in named else places[str(s.point.get(name))]
                for s in mine
                for _ in s.values
            ]
            y = [value for s in mine for value in s.values]
            panel.plot(x, y, "o", color=colour, alpha=0.8, ms=6, mec="white", label=str(shade))
        if name in named:
            panel.set_xticks(list(places.values()), list(places), rotation=20, ha="right")
            panel.margins(x=0.2)
        elif _wide(axes[name]):
            panel.set_xscale("log")
        panel.set_xlabel(name)
        if number % across == 0:
            panel.set_ylabel(_metric(comparison))
        panel.grid(alpha=0.3)
        if _wide(comparison.values):
            panel.set_yscale("log")
    if hue is not None:
        last = panels.flat[across - 1]
        last.legend(title=hue, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    figure.tight_layout()
    return figure


def _label(s: Setting, names: list[str]) -> str:
    return ", ".join(_short(s.point.get(name)) for name in names)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _metric(comparison: Comparison) -> str:
    return f"{comparison.metric} ({'more' if comparison.maximize else 'less'} is better)"


def _caption(comparison: Comparison, done: list[Setting]) -> str:
    if not comparison.seeded:
        return ""
    most = max(len(s.values) for s in done)
    return f"mean and standard deviation of {most} seeds; dots are runs"


def _colours(plt: Any) -> list[Any]:
    return list(plt.rcParams["axes.prop_cycle"].by_key()["color"])


def _wide(values: list[Any]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > WIDE * min(values)

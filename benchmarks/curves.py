"""Learning curves of several methods over seeds: run, print, plot."""

import csv
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Curve = list[tuple[int, float]]
"""(steps done, value), in order."""


@dataclass
class Panel:
    """Curves of several methods on one problem.

    Attributes:
        title: Name of the problem.
        quantity: What the curves show.
        goal: A level to show, such as the value of a perfect sampler; None for none.
        curves: For each method one curve per seed.
    """

    title: str
    quantity: str
    goal: float | None = None
    curves: dict[str, list[Curve]] = field(default_factory=dict)

    def run(self, methods: Mapping[str, Callable[[int], Curve]], seeds: Sequence[int]) -> "Panel":
        """Fill in the curves, seed by seed so that an interrupted run has something of each."""
        for seed in seeds:
            for name, method in methods.items():
                began = time.monotonic()
                curve = method(seed)
                self.curves.setdefault(name, []).append(curve)
                seconds = time.monotonic() - began
                print(
                    f"  {self.title}  {name:14} seed {seed}  last {curve[-1][1]:10.4g}"
                    f"  {seconds:5.0f} s",
                    flush=True,
                )
        return self

    def last(self, method: str) -> list[float]:
        """The final value of each seed."""
        return [curve[-1][1] for curve in self.curves[method]]

    def first_time(self, method: str, level: float) -> list[float]:
        """The step at which each seed first reached a level; infinite if it never did."""
        return [
            next((step for step, value in curve if value >= level), float("inf"))
            for curve in self.curves[method]
        ]


def spread(values: Sequence[float], form: str = ".4g") -> str:
    """Mean and standard deviation for a table; "never" where a value is infinite."""
    reached = [v for v in values if v != float("inf")]
    if len(reached) < len(values):
        return f"never in {len(values) - len(reached)} of {len(values)}"
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{form}} +- {deviation:.2g}"


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text as a table; the first row is the head."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


def plot(panels: Sequence[Panel], file: Path) -> None:
    """Means over seeds with the range between the extremes, one panel beside the other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(panels), figsize=(5.2 * len(panels), 4), squeeze=False, layout="constrained"
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        for name, runs in panel.curves.items():
            steps = [step for step, _ in runs[0]]
            values = [[curve[k][1] for curve in runs] for k in range(len(steps))]
            (line,) = axis.plot(steps, [statistics.mean(v) for v in values], label=name)
            low, high = [min(v) for v in values], [max(v) for v in values]
            axis.fill_between(steps, low, high, alpha=0.2, color=line.get_color())
        if panel.goal is not None:
            axis.axhline(panel.goal, color="black", lw=0.8, ls="--")
        axis.set(title=panel.title, xlabel="gradient steps", ylabel=panel.quantity)
        axis.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    plt.close(figure)
    with file.with_suffix(".csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["panel", "method", "seed", "step", panels[0].quantity])
        for panel in panels:
            for name, runs in panel.curves.items():
                for seed, curve in enumerate(runs):
                    writer.writerows([panel.title, name, seed, s, v] for s, v in curve)
    print(f"picture: {file}")

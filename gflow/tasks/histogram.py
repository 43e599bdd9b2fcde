"""Pictures that every environment has: rewards, learned against exact, and a table of objects."""

from typing import Any

import torch
from torch import Tensor

from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import object_log_reward

BINS = 30
"""Of a histogram."""
SLIGHT = 0.05
"""Share of their distance by which values may be off from evenly spaced ones."""
LINES = 12
"""Objects in a table."""
WIDE = 88
"""Characters of an object that a table shows."""


def edges_of(values: Tensor, bins: int = BINS) -> Tensor:
    """(bins + 1,) edges of equal bins over finite values; a bin each for few evenly spaced ones.

    Args:
        values: (n,) values; infinite ones are left out.
        bins: At most.
    """
    finite = values[values.isfinite()].double().cpu()
    distinct = finite.unique()
    if len(distinct) <= 1:
        middle = float(distinct[0]) if len(distinct) else 0.0
        return torch.tensor([middle - 0.5, middle + 0.5], dtype=torch.float64)
    low, high = float(distinct[0]), float(distinct[-1])
    gap = float(distinct.diff().min())
    even = round((high - low) / gap) + 1 if gap > 1e-9 * (high - low) else bins + 1
    apart = (distinct - low) / (high - low) * (even - 1)
    if even <= bins and float((apart - apart.round()).abs().max()) < SLIGHT:
        half = (high - low) / (even - 1) / 2
        return torch.linspace(low - half, high + half, even + 1, dtype=torch.float64)
    return torch.linspace(low, high, bins + 1, dtype=torch.float64)


def weights_in(values: Tensor, weights: Tensor, edges: Tensor) -> Tensor:
    """(bins,) share of the weight of all values that lies in each bin.

    Args:
        values: (n,) values; infinite ones are in no bin.
        weights: (n,) not negative.
        edges: (bins + 1,) increasing.
    """
    values, weights = values.double().cpu(), weights.double().cpu()
    inside = values.isfinite() & (values >= edges[0]) & (values <= edges[-1])
    place = (torch.searchsorted(edges, values[inside], right=True) - 1).clamp(0, len(edges) - 2)
    sums = torch.zeros(len(edges) - 1, dtype=torch.float64)
    return sums.index_add_(0, place, weights[inside]) / weights.sum()


def reward_histogram(shown: Shown) -> Picture | None:
    """Log-rewards of what the sampler draws, and of the target where it is listed."""
    learned = shown.log_reward
    if learned.dim() != 1 or not bool(learned.isfinite().any()):
        return None
    plt, target = pyplot(), shown.target
    exact = None
    every = learned.double().cpu()
    if target is not None:
        values = object_log_reward(shown.context.env, target[0]).cpu()
        likely = target[1].cpu() > 1e-4 / len(values)
        exact = (values, target[1])
        every = torch.cat([every, values[likely]])
    edges = edges_of(every)
    figure, axis = plt.subplots(figsize=(5.6, 3.6))
    same = torch.ones_like(learned)
    middle, wide = (edges[1:] + edges[:-1]) / 2, edges.diff()
    heights = weights_in(learned, same, edges)
    axis.bar(middle.numpy(), heights.numpy(), wide.numpy(), color="tab:blue", alpha=0.6)
    names = ["learned"]
    if exact is not None:
        high = weights_in(*exact, edges)
        axis.stairs(high.numpy(), edges.numpy(), color="black", linewidth=1.6)
        names.append("exact target")
    handles = [*axis.containers, *(p for p in axis.patches if type(p).__name__ == "StepPatch")]
    axis.legend(handles, names)
    axis.set_xlabel("log R")
    axis.set_ylabel("share of objects")
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.tight_layout()
    none = float((~learned.isfinite()).double().mean())
    said = f"Log-rewards of {shown.count} objects of the learned sampler (bars)"
    said += "; outlined, the exact target." if exact is not None else "."
    said += f" {none:.1%} have a reward of zero and are left out." if none else ""
    return Picture(figure, said)


def object_table(shown: Shown) -> Picture | None:
    """The best objects and their log-rewards as text."""
    found = shown.best(LINES)
    if found is None:
        return None
    lines = shown.task.describe(shown.env, found[0])
    return text_table(
        [(f"{value:.3f}", line) for value, line in zip(found[1].tolist(), lines, strict=True)],
        ("log R", "object"),
        "The best objects of the run with their log-rewards.",
    )


def text_table(rows: list[tuple[str, str]], head: tuple[str, str], caption: str) -> Picture:
    """Two columns of text, a line each; long ones are cut and end in dots.

    Args:
        rows: Lines of both columns.
        head: Names of the columns.
        caption: What it shows.
    """
    plt = pyplot()
    cut = [(a, clipped(b)) for a, b in rows]
    first = max(len(a) for a, _ in [head, *cut]) + 2
    wide = first + max(len(b) for _, b in [head, *cut])
    high = 0.23 * (len(cut) + 1) + 0.2
    figure = plt.figure(figsize=(max(3.0, 0.083 * wide + 0.4), high))
    style: dict[str, Any] = {"family": "monospace", "fontsize": 9, "va": "top", "parse_math": False}
    for number, (a, b) in enumerate([head, *cut]):
        text = f"{a:>{first - 2}}  {b}"
        y = 1 - (0.1 + 0.23 * number) / high
        weight = "normal" if number else "bold"
        figure.text(0.2 / figure.get_figwidth(), y, text, weight=weight, **style)
    return Picture(figure, caption)


def clipped(line: str) -> str:
    """A line in one piece, of printable characters, no longer than a table is wide."""
    line = " / ".join(part.strip() for part in line.splitlines() if part.strip())
    return line if len(line) <= WIDE else line[: WIDE - 3] + "..."

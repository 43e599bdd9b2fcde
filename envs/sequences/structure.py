"""RNA structures drawn as ViennaRNA lays them out."""

import math
from itertools import pairwise
from typing import Any

from gflow.envs.sequences.rna_scores import vienna
from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture

HUES = {"A": "#d9ead3", "C": "#cfe2f3", "G": "#fce5cd", "U": "#f4cccc"}
"""Of the discs; the letters stand in them."""


def pairs_of(structure: str) -> list[tuple[int, int]]:
    """The paired places of a structure in dots and brackets, counted from 0."""
    open_places, pairs = [], []
    for place, mark in enumerate(structure):
        if mark == "(":
            open_places.append(place)
        elif mark == ")":
            pairs.append((open_places.pop(), place))
    return pairs


def structures(designs: list[tuple[str, str, str]], caption: str) -> Picture:
    """Molecules side by side, nucleotides as letters in discs.

    Args:
        designs: Sequence, structure in dots and brackets, title.
        caption: What the picture shows.
    """
    across = min(3, len(designs))
    down = -(-len(designs) // across)
    figure, axes = pyplot().subplots(
        down, across, figsize=(4.2 * across, 4.2 * down), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (sequence, structure, title) in zip(axes.flat, designs, strict=False):
        _structure(axis, sequence, structure)
        axis.set_title(title, fontsize="small", parse_math=False)
    figure.tight_layout()
    return Picture(figure, caption)


def _structure(axis: Any, sequence: str, structure: str) -> None:
    from matplotlib.patches import Circle

    places = vienna().naview_xy_coordinates(structure)
    x = [places[i].X for i in range(len(sequence))]
    y = [places[i].Y for i in range(len(sequence))]
    axis.plot(x, y, color="0.6", lw=1, zorder=1)
    for i, j in pairs_of(structure):
        axis.plot([x[i], x[j]], [y[i], y[j]], color="black", lw=1.5, zorder=1)
    steps = [math.dist(a, b) for a, b in pairwise(zip(x, y, strict=True))]
    radius = 0.42 * min(steps, default=10.0)
    axis.set_aspect("equal")
    wide = max(max(x) - min(x), max(y) - min(y)) + 4 * radius
    size = max(4.0, min(10.0, 250 * radius / wide))
    for letter, a, b in zip(sequence, x, y, strict=True):
        axis.add_patch(Circle((a, b), radius, fc=HUES.get(letter, "white"), ec="0.4", zorder=2))
        axis.text(a, b, letter, ha="center", va="center_baseline", fontsize=size, zorder=3)
    axis.annotate("5'", (x[0], y[0]), (-14, -10), textcoords="offset points", fontsize=9)
    axis.annotate("3'", (x[-1], y[-1]), (8, -10), textcoords="offset points", fontsize=9)

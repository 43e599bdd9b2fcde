"""Cells drawn: four nodes, six edges, each with its operation."""

from typing import Any

from gflow.tasks.pictures import pyplot
from gflow.tasks.shown import Picture

SHORT = {
    "none": ("none", ":", "0.7"),
    "skip_connect": ("skip", "--", "black"),
    "nor_conv_1x1": ("conv 1x1", "-", "tab:blue"),
    "nor_conv_3x3": ("conv 3x3", "-", "tab:red"),
    "avg_pool_3x3": ("pool 3x3", "-.", "tab:green"),
}
"""Words, line and colour of operations."""
PLACES = ((0.0, 0.0), (1.0, 0.75), (1.6, -0.75), (2.6, 0.0))
"""Of the four nodes."""


def cells_picture(cells: list[tuple[list[tuple[int, int, str]], str]], caption: str) -> Picture:
    """Cells side by side; operations are written at their edges.

    Args:
        cells: (source, target, operation) of the edges, and a title.
        caption: What the picture shows.
    """
    figure, axes = pyplot().subplots(1, len(cells), figsize=(4.6 * len(cells), 3.3), squeeze=False)
    for axis, (edges, title) in zip(axes[0], cells, strict=True):
        for source, target, operation in edges:
            _edge(axis, source, target, *SHORT.get(operation, (operation, "-", "black")))
        for number, (x, y) in enumerate(PLACES):
            name = {0: "in", 3: "out"}.get(number, str(number))
            axis.text(x, y, name, ha="center", va="center", zorder=3, bbox=CIRCLE)
        axis.set_xlim(-0.3, 2.9)
        axis.set_ylim(-1.15, 1.15)
        axis.set_axis_off()
        axis.set_title(title, fontsize="small")
    figure.tight_layout()
    return Picture(figure, caption)


CIRCLE: dict[str, Any] = {"boxstyle": "circle", "fc": "white", "ec": "black"}


def _edge(axis: Any, source: int, target: int, name: str, line: str, colour: str) -> None:
    (x, y), (a, b) = PLACES[source], PLACES[target]
    style = {"arrowstyle": "-|>", "ls": line, "color": colour, "shrinkA": 12, "shrinkB": 12}
    axis.annotate("", (a, b), (x, y), arrowprops={**style, "lw": 1.6})
    t = {(0, 3): 0.25, (1, 2): 0.3}.get((source, target), 0.5)
    box = {"fc": "white", "ec": "none", "pad": 0.8}
    axis.text(
        x + t * (a - x), y + t * (b - y), name, ha="center", va="center", fontsize=8, bbox=box
    )

"""Line charts as SVG: drawn without a script, read by screen readers, printed as they are.

The points stand in the picture too (`data-points`), from which the page's script shows values
under the pointer.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 8, 24
COLOURS = ("#2563a8", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0e7490", "#a16207", "#be185d")
"""Of lines, in turn; dark enough on white and light enough on black."""
MOST = 300
"""Points of a line that are drawn."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        label: What it is.
        points: Steps with finite values.
    """

    label: str
    points: Sequence[tuple[int, float]]

    @property
    def drawn(self) -> list[tuple[int, float]]:
        """At most `MOST` points, the last among them."""
        stride = -(-len(self.points) // MOST)
        kept = list(self.points[::stride])
        return kept if not kept or kept[-1] == self.points[-1] else [*kept, self.points[-1]]


def is_logarithmic(name: str, values: Sequence[float]) -> bool:
    """Whether values are positive and spread over more than a factor of thirty, and no logarithms.

    Args:
        name: Of the metric; log_z and mean_log_reward are logarithms, log_z_error is none.
        values: At least one.
    """
    if name.removeprefix("mean_").removeprefix("top_").startswith("log_") and "error" not in name:
        return False
    return min(values) > 0 and max(values) > 30 * min(values)


def chart(
    name: str, lines: Sequence[Line], exact: float | None = None, marks: Sequence[int] = ()
) -> str:
    """A chart of one metric.

    Args:
        name: The metric.
        lines: At least one, each with a point.
        exact: Where a dashed line goes.
        marks: Steps at which the run was resumed: dotted upright lines.
    """
    values = [value for line in lines for _, value in line.points]
    logarithmic = is_logarithmic(name, values)
    if exact is not None and not (logarithmic and exact <= 0):
        values.append(exact)
    else:
        exact = None
    scale = math.log10 if logarithmic else float
    low, high = min(map(scale, values)), max(map(scale, values))
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    first = min(line.points[0][0] for line in lines)
    last = max(max(line.points[-1][0] for line in lines), first + 1)

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (scale(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def across(kind: str, value: float, title: str = "") -> str:
        return (
            f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}">{title}</line>'
        )

    def text(x: float, y: float, anchor: str, value: float) -> str:
        return (
            f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{short(value)}</text>"
        )

    parts = []
    for value in powers(low, high) if logarithmic else ticks(low, high):
        parts += [across("grid", value), text(LEFT - 5, y(value) + 3.5, "end", value)]
    for tick in ticks(first, last, 4):
        anchor = "end" if x(tick) > WIDTH - 30 else "middle"
        parts.append(text(x(tick), HEIGHT - 8, anchor, tick))
    for mark in marks:
        if first <= mark <= last:
            parts.append(
                f'<line class="mark" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{TOP}" '
                f'y2="{HEIGHT - BOTTOM}"><title>resumed at step {mark}</title></line>'
            )
    if exact is not None:
        parts.append(across("exact", exact, f"<title>exact {short(exact)}</title>"))
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in line.drawn)
        if len(line.points) == 1:
            step, value = line.points[0]
            parts.append(f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>')
        else:
            parts.append(f'<polyline class="line" points="{path}" stroke="{colour}"/>')
    points = [
        {
            "label": line.label,
            "points": [[s, v, round(x(s), 1), round(y(v), 1)] for s, v in line.drawn],
        }
        for line in lines
    ]
    data = escape(json.dumps(points, separators=(",", ":")), quote=True)
    said = escape(described(name, lines, exact, logarithmic), quote=True)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}" '
        f'data-points="{data}">{"".join(parts)}</svg>'
    )


def described(name: str, lines: Sequence[Line], exact: float | None, logarithmic: bool) -> str:
    """The chart in words."""
    parts = []
    for line in lines:
        (first, start), (last, end) = line.points[0], line.points[-1]
        whose = f"{line.label}: " if len(lines) > 1 else ""
        parts.append(f"{whose}{short(start)} at step {first}, {short(end)} at step {last}")
    tail = "" if exact is None else f"; exact {short(exact)}"
    return f"{name}{', logarithmic scale' if logarithmic else ''}; {'; '.join(parts)}{tail}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two, about `most` of them."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    stride = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = math.ceil(low / stride - 1e-9)
    return [k * stride for k in range(first, math.floor(high / stride + 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Powers of ten from 10^low to 10^high; of a short range, twice and five times them too."""
    stride = max(1, round((high - low) / 5))
    whole = range(math.floor(low), math.ceil(high) + 1)
    factors = (1, 2, 5) if high - low < 2 else (1,)
    found = [f * 10.0**k for k in whole if k % stride == 0 for f in factors]
    return [value for value in found if low - 1e-9 <= math.log10(value) <= high + 1e-9]


def short(value: object) -> str:
    """A number in about four digits; what is none, as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value and abs(value) < 1e-12:
        return f"{value:.1e}"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value)}"
    return f"{value:.4g}"

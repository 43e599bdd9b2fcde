"""The page of `which_objective.py`: tables and a picture of the runs that are there."""

import statistics
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from which_objective import CENTRES, EXACT, LARGE, SHARE_OF, SHARES

Row = dict[str, Any]

HEAD = """# Which objective for what, measured

What an objective, a behaviour and a backward policy are worth at equal numbers of reward calls, on
six environments whose exact law is known and three large ones. Everything here is printed by one
command, which keeps its runs and goes on where it stopped:

    python benchmarks/which_objective.py --seeds {seeds} --calls {calls} --page {page}

{count} runs of {calls} reward calls (molecules: a quarter), {hours:.1f} CPU hours of training on
one thread. Nothing is tuned for any method: the same network for each environment, batches of 16,
one rate, five per cent of random actions. A reward call is one object, or one state where an
objective reads energies of unfinished objects. Numbers are means over seeds with the standard
deviation behind where there are several; the best of a column and what its deviation reaches is
bold. An empty cell is a pair that cannot train, or was not run.

Not compared: objectives whose solution is not R / Z (orders, posteriors, games), and those for
chance, which without chance are detailed balance.
"""

SMALL_NOTE = (
    "Total variation between the exact law of the trained sampler and R / Z: 0 is perfect, 1 as "
    "bad as can be. `rank` is the mean place in these columns."
)
LARGE_NOTE = (
    "Mean log R of 256 samples at the end. It is no distance from R / Z: a sampler that finds "
    "one peak and stays there has a high mean."
)


def write(rows: list[Row], page: Path, calls: int) -> None:
    """Write the page, and its picture beside it.

    Args:
        rows: Runs, with their curves.
        page: A Markdown file.
        calls: The budget; runs with another one are left out.
    """
    budget = {name: round(share * calls) for name, share in SHARE_OF.items()}
    rows = [row for row in rows if row["budget"] == budget.get(row["environment"], calls)]
    seconds = sum(row["curve"][-1]["seconds"] for row in rows)
    parts = [
        HEAD.format(
            seeds=1 + max((row["seed"] for row in rows), default=0), calls=calls, page=page,
            count=len(rows), hours=seconds / 3600,
        )
    ]  # fmt: skip
    picture = page.with_suffix(".png")
    if draw(rows, picture):
        parts.append(
            f"![Total variation against reward calls on six environments, one line for each "
            f"objective with fresh trajectories and the better of two backward policies]"
            f"({picture.name})\n"
        )
    for title, metric, environments, note in (
        ("Where the exact law is known", "tv", list(EXACT), SMALL_NOTE),
        ("Large environments", "mean_log_reward", list(LARGE), LARGE_NOTE),
    ):
        parts.append(f"## {title}\n\n{note}\n")
        for heading, group, wanted in sections():
            mine = [row for row in rows if wanted(row)]
            parts.append(f"### {heading}\n\n{table(mine, environments, metric, group)}\n")
    parts.append(f"## Time\n\n{times(rows)}\n")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(parts), encoding="utf-8")


def sections() -> list[tuple[str, Callable[[Row], str], Callable[[Row], bool]]]:
    """Headings with what names a row of their table, and which runs are theirs."""

    def plain(row: Row) -> bool:
        return row["behaviour"] == "on_policy" and row["backward"] in ("uniform", "learned")

    def behaviours(row: Row, centre: str) -> bool:
        return bool(row["objective"] == centre and row["backward"] == "uniform")

    def backwards(row: Row, centre: str) -> bool:
        return bool(row["objective"] == centre and row["behaviour"] == "on_policy")

    found: list[tuple[str, Callable[[Row], str], Callable[[Row], bool]]] = [
        (
            "Objectives, fresh trajectories",
            lambda row: f"`{row['objective']}`, {row['backward']}",
            plain,
        )
    ]
    for centre in CENTRES:
        found += [
            (
                f"Behaviours with `{centre}`, uniform backward policy",
                lambda row: f"`{row['behaviour']}`",
                partial(behaviours, centre=centre),
            ),
            (
                f"Backward policies with `{centre}`, fresh trajectories",
                lambda row: f"`{row['backward']}`",
                partial(backwards, centre=centre),
            ),
        ]
    return found


def table(
    rows: Iterable[Row], environments: list[str], metric: str, group: Callable[[Row], str]
) -> str:
    """A table of last values in Markdown, by environment, the best mean rank first."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        last = row["curve"][-1]
        if row["environment"] in environments and metric in last:
            cells = values.setdefault(group(row), {})
            cells.setdefault(row["environment"], []).append(last[metric])
    if not values:
        return "No runs yet."
    shown = [e for e in environments if any(e in cells for cells in values.values())]
    sign = 1 if metric == "tv" else -1
    places = ranks(values, shown, sign)
    lines = ["| | " + " | ".join([*shown, "rank"]) + " |", "| --- |" + " --- |" * (len(shown) + 1)]
    for name in sorted(values, key=lambda name: places[name]):
        own = values[name]
        texts = [cell(own[e], e, values, sign) if e in own else "" for e in shown]
        lines.append(f"| {name} | " + " | ".join([*texts, f"{places[name]:.1f}"]) + " |")
    return "\n".join(lines)


def ranks(
    values: dict[str, dict[str, list[float]]], environments: list[str], sign: int
) -> dict[str, float]:
    """Mean place of each row among those that are there; 1 is the best."""
    places: dict[str, list[int]] = {name: [] for name in values}
    for environment in environments:
        mine = {n: statistics.mean(c[environment]) for n, c in values.items() if environment in c}
        for place, name in enumerate(sorted(mine, key=lambda name: sign * mine[name])):
            places[name].append(place + 1)
    return {name: statistics.mean(found) for name, found in places.items()}


def cell(
    mine: list[float], environment: str, values: dict[str, dict[str, list[float]]], sign: int
) -> str:
    """Mean and deviation, bold if as good as the best."""
    means = [statistics.mean(c[environment]) for c in values.values() if environment in c]
    spread = statistics.stdev(mine) if len(mine) > 1 else 0.0
    best = min(sign * mean for mean in means)
    digits = 3 if sign > 0 else 1
    text = f"{statistics.mean(mine):.{digits}f}" + (f" ± {spread:.{digits}f}" if spread else "")
    return f"**{text}**" if sign * statistics.mean(mine) - spread <= best else text


def times(rows: list[Row]) -> str:
    """CPU seconds of a thousand reward calls, by objective and environment, fresh trajectories."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row["behaviour"] == "on_policy" and row["backward"] == "uniform":
            last = row["curve"][-1]
            cells = found.setdefault(row["objective"], {})
            cells.setdefault(row["environment"], []).append(1000 * last["seconds"] / last["calls"])
    shown = [e for e in (*EXACT, *LARGE) if any(e in cells for cells in found.values())]
    lines = [
        "CPU seconds of a thousand reward calls, fresh trajectories, uniform backward policy: "
        "medians over seeds, one thread of a machine that did other work too.",
        "",
        "| | " + " | ".join(shown) + " |",
        "| --- |" + " --- |" * len(shown),
    ]
    for name, cells in sorted(found.items()):
        texts = [f"{statistics.median(cells[e]):.2f}" if e in cells else "" for e in shown]
        lines.append(f"| `{name}` | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> bool:
    """Total variation against calls, a panel for each environment; False without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fresh = [row for row in rows if row["behaviour"] == "on_policy"]
    names = sorted({row["objective"] for row in fresh})
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    styles = ("-", "--", ":")
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharex=True)
    for axis, environment in zip(axes.flat, EXACT, strict=True):
        for number, name in enumerate(names):
            curve = best_curve(fresh, environment, name)
            if curve:
                axis.plot(
                    SHARES, curve, styles[number % 3], color=colours[number % 20], label=name,
                    marker="o", markersize=3, linewidth=1.4,
                )  # fmt: skip
        axis.set_title(environment, fontsize=10)
        axis.set_yscale("log")
        axis.grid(alpha=0.3, which="both", linewidth=0.5)
    for axis in axes[1]:
        axis.set_xlabel("share of the reward calls")
    for axis in axes[:, 0]:
        axis.set_ylabel("total variation")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        handles |= {line.get_label(): line for line in axis.get_lines()}
    figure.legend(
        [handles[name] for name in names if name in handles], [n for n in names if n in handles],
        loc="lower center", ncol=7, frameon=False, fontsize=9,
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    from PIL import Image  # which matplotlib brings

    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)
    return True


def best_curve(rows: list[Row], environment: str, objective: str) -> list[float]:
    """Means over seeds at each share, under the backward policy that ends best."""
    found: list[list[float]] = []
    for backward in ("uniform", "learned"):
        curves = [
            [point["tv"] for point in row["curve"]]
            for row in rows
            if (row["environment"], row["objective"], row["backward"])
            == (environment, objective, backward)
            and "tv" in row["curve"][-1]
        ]
        if curves:
            found.append([statistics.mean(values) for values in zip(*curves, strict=True)])
    return min(found, key=lambda curve: curve[-1]) if found else []

"""The page of one run."""

from html import escape
from typing import Any

from gflow.report import objects
from gflow.report.chart import Line, chart, short
from gflow.report.definitions import definition
from gflow.report.folder import RunFacts
from gflow.report.html import command, document, facts, picture, section, table

FIRST = ("optimal", "tv", "mean_reward", "top_reward", "mean_log_reward", "log_z", "ess", "loss")
"""Metrics that come before the others."""
PICTURES = 3_000_000
"""Bytes of pictures that a page may hold; the page stays below five million with them."""


def page(run: RunFacts) -> str:
    """The page of a run."""
    body = [
        f"<header><h1>{escape(run.title)}</h1><p>{escape(opening(run))}</p></header>",
        section("Results", headline(run), "results"),
        section("Curves", charts([run]), "curves"),
        section("Pictures", pictures(run), "pictures"),
        section("Objects", objects.tables(run.objects), "objects"),
        section("All metrics", metrics(run), "metrics"),
        section("How it was trained", trained(run), "settings"),
    ]
    return document(f"{run.title}: gflow", "\n".join(body))


def opening(run: RunFacts) -> str:
    """What the run is and how far it has come, in a sentence or two."""
    what = str(run.about.get("summary", "")) or run.environment
    state = "finished" if run.finished else f"at step {run.step} of {run.steps}"
    if run.finished:
        state += f" after {run.step} steps"
    seconds = run.summary.get("timing", {}).get("seconds")
    time = "" if seconds is None else f", {duration(float(seconds))}"
    return f"{what[:1].upper()}{what[1:].rstrip('.')}. Seed {run.seed}, {state}{time}."


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def ordered(names: list[str]) -> list[str]:
    """Metrics, those that matter most first."""
    return [n for n in FIRST if n in names] + [n for n in names if n not in FIRST]


def headline(run: RunFacts) -> str:
    """A tile for each of the main numbers: now, untrained, exact."""
    tiles = []
    for name in [n for n in ordered(run.names) if n in run.metrics][:8]:
        before, exact = run.untrained.get(name), run.exact.get(name)
        notes = [] if before is None else [f"untrained {short(before)}"]
        notes += [] if exact is None else [f"exact {short(exact)}"]
        tiles.append(
            f'<div class="tile" tabindex="0" data-tip="{_tip(name, run)}">'
            f"<b>{short(run.metrics[name])}</b><span>{escape(name)}</span>"
            f"<small>{escape(', '.join(notes))}</small></div>"
        )
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def charts(runs: list[RunFacts]) -> str:
    """A chart of each metric of some runs, which share it."""
    found, one = [], len(runs) == 1
    for name in ordered(list(dict.fromkeys(n for run in runs for n in run.names))):
        lines = [Line(label_of(run, runs), run.curve(name)) for run in runs if run.curve(name)]
        if not lines or (one and len(lines[0].points) < 2):
            continue
        exact = {run.exact.get(name) for run in runs}
        known = exact.pop() if len(exact) == 1 else None
        marks = runs[0].resumed if one else ()
        found.append(
            f'<figure><figcaption tabindex="0" data-tip="{_tip(name, runs[0])}">{escape(name)}'
            f"</figcaption>{chart(name, lines, known, marks)}</figure>"
        )
    note = "Dashed: the exact value. Dotted: the run was resumed. Point at a line for its values."
    return f'<p>{note}</p><div class="charts">{"".join(found)}</div>' if found else ""


def label_of(run: RunFacts, runs: list[RunFacts]) -> str:
    """What a run is called beside others: its folder."""
    return run.folder.name if len(runs) > 1 else run.title


def pictures(run: RunFacts) -> str:
    """The pictures of the run, as many as fit; the others are named."""
    found, room, left = [], PICTURES, []
    for name, path in run.pictures.items():
        size = path.stat().st_size * 4 // 3
        if size > room:
            left.append(path.name)
            continue
        room -= size
        found.append(picture(path, run.captions.get(name) or name.replace("_", " ")))
    note = f"<p>Too large for this page: {escape(', '.join(left))}.</p>" if left else ""
    return f'<div class="pictures">{"".join(found)}</div>{note}' if found or left else ""


def metrics(run: RunFacts) -> str:
    """All numbers: untrained, now, exact, and what they are."""
    rows: list[list[Any]] = []
    for name in ordered(run.names):
        exact = run.exact.get(name)
        row = [name, run.untrained.get(name), run.metrics.get(name), exact]
        rows.append([*row, definition(name, run.environment)])
    head = ["metric", "untrained", "trained", "exact", "what it is"]
    return table(head, rows, f"Metrics at step {run.step}", filtered=True) if rows else ""


def trained(run: RunFacts) -> str:
    """The command, versions, the time, and all settings."""
    timing, about = run.summary.get("timing", {}), run.about
    versions = about.get("versions", {"torch": timing.get("torch", "")})
    pairs = [
        ("environment", run.environment),
        ("objective", run.objective),
        ("behaviour", run.behaviour),
        ("steps a second", timing.get("steps_per_second")),
        ("threads", timing.get("threads")),
        ("started", about.get("started", "")),
        ("resumed at", ", ".join(map(str, run.resumed))),
        *versions.items(),
    ]
    rows = [
        [where, key, ", ".join(map(str, value)) if isinstance(value, list) else value]
        for where, part in run.config.items()
        if isinstance(part, dict)
        for key, value in part.items()
    ]
    settings = table(["section", "setting", "value"], rows, "All settings", filtered=True)
    return (
        f"{command(str(about.get('command', '')))}{facts(pairs)}"
        f"<details><summary>All settings</summary>{settings}</details>"
    )


def _tip(name: str, run: RunFacts) -> str:
    """What a metric is, for a reader who points at it."""
    text = definition(name, run.environment)
    return escape(f"{name}: {text}" if text else name, quote=True)

"""The page of several runs, as of a sweep, side by side."""

from html import escape
from pathlib import Path
from typing import Any

from gflow.report.chart import COLOURS, short
from gflow.report.folder import RunFacts
from gflow.report.html import Raw, document, picture, section, table
from gflow.report.single import charts, ordered

MOST = 24
"""Runs whose curves are drawn; the table has all."""


def page(runs: list[RunFacts], folder: Path | None = None) -> str:
    """The page of some runs.

    Args:
        runs: At least two.
        folder: What they are all in, for its pictures and for links to pages of the runs.
    """
    name = "runs" if folder is None else folder.name
    finished = sum(run.finished for run in runs)
    shown = runs[:MOST]
    note = "" if len(shown) == len(runs) else f"<p>The first {MOST} of {len(runs)} runs.</p>"
    drawn = sorted(folder.glob("*.png")) if folder is not None else []
    body = [
        f"<header><h1>{escape(name)}</h1><p>{len(runs)} runs, {finished} of them finished.</p>"
        "</header>",
        section("Comparison", comparison(runs, folder), "comparison"),
        section("Pictures", "".join(picture(p, caption(p.stem)) for p in drawn), "pictures"),
        section("Curves", f"{note}{legend(shown)}{charts(shown)}", "curves"),
    ]
    return document(f"{name}: gflow", "\n".join(body))


def settings_of(run: RunFacts) -> dict[str, Any]:
    """All settings of a run, by section and name, but where it is."""
    return {
        f"{where}.{key}": value
        for where, part in {"": {"environment": run.environment}, **run.config}.items()
        if isinstance(part, dict)
        for key, value in part.items()
        if (where, key) != ("run", "out")
    }


def differing(runs: list[RunFacts]) -> list[str]:
    """The settings that are not the same in all runs."""
    all_settings = [settings_of(run) for run in runs]
    names = dict.fromkeys(name for settings in all_settings for name in settings)
    return [name for name in names if len({repr(s.get(name)) for s in all_settings}) > 1]


def comparison(runs: list[RunFacts], folder: Path | None) -> str:
    """A row for each run: what differs, and the last metrics."""
    settings, names = (
        differing(runs),
        ordered(list(dict.fromkeys(n for r in runs for n in r.names))),
    )
    rows: list[list[Any]] = []
    for run in runs:
        own, link = settings_of(run), escape(run.folder.name)
        if folder is not None and (run.folder / "report.html").exists():
            link = f'<a href="{escape(run.folder.name, quote=True)}/report.html">{link}</a>'
        values = [own.get(name) for name in settings]
        cells = [short(v) if isinstance(v, bool | list | dict) else v for v in values]
        rows.append([Raw(link), *cells, run.step, *(run.metrics.get(name) for name in names)])
    heads = ["run", *map(head, settings), "step", *names]
    return table(heads, rows, "Runs, by what differs between them", filtered=True)


def head(setting: str) -> str:
    """A setting at the head of a column: by its own name, and a part's name by what it is."""
    section, _, name = setting.rpartition(".")
    return section if name == "name" and section else name


def caption(name: str) -> str:
    """What a picture of a sweep shows, by the name of its file."""
    known = {"results": "The metric of the sweep for its settings, and how seeds spread."}
    return known.get(name, name)


def legend(runs: list[RunFacts]) -> str:
    """Which colour is which run."""
    items = "".join(
        f'<li><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">'
        f'<rect width="12" height="12" fill="{COLOURS[k % len(COLOURS)]}"/></svg> '
        f"{escape(run.folder.name)}</li>"
        for k, run in enumerate(runs)
    )
    return f'<ul class="legend">{items}</ul>'

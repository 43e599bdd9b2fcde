"""The best objects and samples of a run as tables."""

from html import escape
from typing import Any

from gflow.report.html import Raw, table

TITLES = {
    "best": "The best different objects of the run",
    "diverse": "The best objects that are far from each other",
    "front": "Objects that no other one beats in all scores",
    "sample": "Samples of the trained policy",
}
OWN = ("set", "object", "drawing", "step")
"""Keys of a row that are no column of numbers."""


def tables(objects: list[dict[str, Any]]) -> str:
    """One table for each set of objects."""
    found = []
    for kind in dict.fromkeys(str(row.get("set", "")) for row in objects):
        rows = [row for row in objects if str(row.get("set", "")) == kind]
        found.append(_table(TITLES.get(kind, kind), rows))
    return "".join(found)


def _table(title: str, rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(k for row in rows for k in row if k not in OWN))
    drawn = any(row.get("drawing") for row in rows)
    head = ["rank", *([""] if drawn else []), "object", *columns]
    cells = []
    for rank, row in enumerate(rows, 1):
        picture = [Raw(f'<div class="drawing">{row.get("drawing", "")}</div>')] if drawn else []
        shown = Raw(f"<code>{escape(str(row.get('object', '')))}</code>")
        cells.append([rank, *picture, shown, *(_plain(row.get(name)) for name in columns)])
    return table(head, cells, title, filtered=True)


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value

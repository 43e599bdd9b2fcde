"""Pieces of HTML that all pages share."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from gflow.report.chart import short

HERE = Path(__file__).parent


def document(title: str, body: str) -> str:
    """A whole page with its style and script inside."""
    style, script = (HERE / "page.css").read_text(), (HERE / "page.js").read_text()
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{style}</style></head>\n'
        f'<body><main>{body}</main><div id="tip" role="status" hidden></div>'
        f"<script>{script}</script></body></html>\n"
    )


def section(title: str, content: str, anchor: str) -> str:
    """A part of a page under a heading; nothing if it has no content."""
    if not content:
        return ""
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{content}</section>\n'


def table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str, filtered: bool = False
) -> str:
    """A table that the script sorts by a click on a column, and filters if wished.

    Cells are text or numbers; `Raw` is taken as it is.
    """
    cells = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{escape(name)}</button></th>'
        if name
        else '<th scope="col"><span class="quiet">drawing</span></th>'
        for name in head
    )
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    box = ""
    if filtered:
        box = (
            f'<label class="filter">Show rows with <input type="search" '
            f'aria-label="filter {escape(caption, quote=True)}"></label>'
            '<span class="count" role="status"></span>'
        )
    return (
        f'<div class="table">{box}<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div></div>"
    )


class Raw(str):
    """HTML that is ready."""


def _cell(value: Any) -> str:
    if isinstance(value, Raw):
        return f"<td>{value}</td>"
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="number" data-value="{value!r}">{short(value)}</td>'
    return f"<td>{escape(str(value))}</td>"


def picture(path: Path, title: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    said = escape(title, quote=True)
    return (
        f'<figure><img alt="{said}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def facts(pairs: Sequence[tuple[str, Any]]) -> str:
    """A list of names and values; those without a value are left out."""
    told = [(name, value) for name, value in pairs if value not in ("", None)]
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(short(value))}</dd></div>" for name, value in told
    )
    return f"<dl>{inner}</dl>" if told else ""


def command(text: str) -> str:
    """A command with a button that copies it."""
    if not text:
        return ""
    return (
        f'<div class="command"><pre><code>{escape(text)}</code></pre>'
        '<button type="button" class="copy">Copy</button></div>'
    )

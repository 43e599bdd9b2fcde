"""What each metric is, as docs/topics/metrics.md says."""

import json
import re
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("definitions.json")
"""Rows of the tables of docs/topics/metrics.md: names as they are written there, and meanings."""


def definition(metric: str, environment: str = "") -> str:
    """What a metric is, of an environment where several have it; empty if nobody says.

    Args:
        metric: Its name.
        environment: Name of the environment.
    """
    base = metric.split("_at_")[0]
    meant = ""
    for names, whose, text in _rows():
        if base not in names and not any(_begins(base, name) for name in names):
            continue
        if any(one in environment for one in whose):
            return text
        if not whose and not meant:
            meant = text
    return meant


def _begins(metric: str, name: str) -> bool:
    """Whether a name that ends in dots, as `second_...`, stands for a metric."""
    return name.endswith("...") and metric.startswith(name[:-3])


@cache
def _rows() -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """Names, the environments that they are of, none for all others, and the definition."""
    found = []
    for cell, text in json.loads(TABLE.read_text()):
        names = tuple(re.findall(r"`([^`]+)`", cell))
        whose = re.search(r"`(?: of a| of| on a) (\w+(?:, \w+)*)$", cell)
        found.append((names, tuple(whose[1].split(", ")) if whose else (), _plain(text)))
    return found


def _plain(text: str) -> str:
    """Without the marks of Markdown."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "")

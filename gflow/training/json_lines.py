"""Numbers as JSON that every reader accepts, and files of lines that survive a kill."""

import json
import math
from pathlib import Path
from typing import Any

NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Numbers for which JSON has no word; they are written as strings."""


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON by the standard: what is not finite becomes "NaN", "Infinity" or "-Infinity"."""
    return json.dumps(_finite(value), indent=indent, sort_keys=indent is not None, allow_nan=False)


def from_json(text: str | bytes) -> Any:
    """The inverse of `to_json`; null and the bare words NaN and Infinity are numbers as well."""
    return json.loads(text, object_pairs_hook=_numbers)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON objects; damaged ones are left out."""
    return read_lines(path)[0]


def read_document(path: Path) -> dict[str, Any]:
    """A file of one JSON object; empty if it is not there or damaged."""
    try:
        found = from_json(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; damaged ones are left out."""
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            row = from_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def read_lines(path: Path) -> tuple[list[dict[str, Any]], list[tuple[int, bytes]]]:
    """What a file of reports holds: its rows, and the damaged lines with their numbers from 1."""
    rows, damaged = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = from_json(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
        else:
            damaged.append((number, line))
    return rows, damaged


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # numpy's and torch's scalars
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _numbers(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: math.nan if value is None else _number(value) for key, value in pairs}


def _number(value: Any) -> Any:
    return NUMBERS.get(value, value) if isinstance(value, str) else value

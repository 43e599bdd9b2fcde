"""Aligned sequences by name, from FASTA, PHYLIP, NEXUS or JSON; the content tells which."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gflow.errors import ConfigError
from gflow.readers.nexus import parse_nexus
from gflow.readers.phylip import parse_phylip
from gflow.readers.text import read_text

FORMATS = "FASTA, PHYLIP, NEXUS, or a JSON object of sequences by name"


def read_alignment(
    path: str | Path, missing: str = "", encoding: str | None = None
) -> dict[str, str]:
    """Sequences by name, in the order of the file; characters that match the first are written out.

    A dot stands for the letter of the first sequence in PHYLIP, and in NEXUS if its FORMAT says so;
    elsewhere it is left as it is.

    Args:
        path: The file, compressed or not. NEXUS begins with ``#NEXUS``, FASTA with ``>``, JSON with
            a brace, PHYLIP with two numbers.
        missing: Where to get such a file; said when there is none.
        encoding: See `read_text`.

    Raises:
        ConfigError: If it is none of these, damaged, or repeats a name; with the line.
    """
    text = read_text(path, missing, encoding)
    start = text.lstrip()
    if not start:
        raise ConfigError(f"{path} is empty. {missing}".strip())
    if start[:6].upper() == "#NEXUS":
        return distinct(str(path), parse_nexus(str(path), text))
    if start[0] in ">;":
        return distinct(str(path), _parse_fasta(str(path), text))
    if start[0] in "{[":
        return distinct(str(path), _parse_json(str(path), text))
    words = start.split("\n", 1)[0].split()
    if len(words) >= 2 and words[0].isdigit() and words[1].isdigit():
        return distinct(str(path), parse_phylip(str(path), text))
    raise ConfigError(
        f"{path}, line {text[: len(text) - len(start)].count(chr(10)) + 1}: {start[:30]!r} begins "
        f"no alignment; known are {FORMATS}."
    )


def distinct(path: str, found: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """A dictionary of (name, sequence, place), unless a name is empty or repeated.

    Raises:
        ConfigError: With both places.
    """
    out: dict[str, str] = {}
    places: dict[str, str] = {}
    for name, sequence, place in found:
        if not name:
            raise ConfigError(f"{path}{place}: a sequence has no name. Give it one.")
        if name in out:
            raise ConfigError(
                f"{path}: two sequences are called {name!r} ({places[name].strip(', ')} and "
                f"{place.strip(', ')}). Give each a name of its own, without blanks."
            )
        out[name], places[name] = sequence, place
    return out


def _parse_fasta(path: str, text: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, list[str], str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(">"):
            words = line[1:].split()
            found.append((words[0] if words else "", [], f", line {number}"))
        elif line.strip() and not line.startswith(";"):
            if not found:
                raise ConfigError(f"{path}, line {number}: letters before the first name ('>').")
            found[-1][1].append("".join(line.split()))
    return [(name, "".join(parts), place) for name, parts, place in found]


def _parse_json(path: str, text: str) -> list[tuple[str, str, str]]:
    pairs: list[tuple[str, Any]] = []

    def keep(items: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        pairs[:] = items  # the outermost object comes last
        return items

    try:
        found = json.loads(text, object_pairs_hook=keep)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}.") from error
    if found != pairs:
        raise ConfigError(f"{path} holds another kind of JSON than an object of sequences by name.")
    for name, value in pairs:
        if not isinstance(value, str):
            raise ConfigError(
                f"{path}: the value of {name!r} must be its sequence, got {str(value)[:40]!r}. A "
                f"JSON object of sequences by name is needed."
            )
    return [
        (name.strip(), "".join(value.split()), f", entry {place}")
        for place, (name, value) in enumerate(pairs, 1)
    ]

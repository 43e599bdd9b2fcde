"""What lies in the folder that is served, and what only seems to."""

import os
from pathlib import Path

from gflow.errors import GFlowError

DEPTH = 3
"""Folders beneath the one that is served in which runs are looked for."""
LONGEST = 1000
"""Characters of a name."""
MOST = 1000
"""Runs that are shown."""
READ = (
    "config.yaml", "metrics.jsonl", "objects.jsonl", "summary.json", "about.json", "run.lock",
    "resume.log",
)  # fmt: skip
"""Files of a run that are read or written, beside its pictures."""


class OutsideError(GFlowError):
    """A name that leads out of the folder, or to nothing in it."""


def run_at(root: Path, name: str) -> Path:
    """The folder of a run by its name below the root, `.` for the root itself.

    Args:
        root: The folder that is served, resolved.
        name: With `/` between folders, as the list of runs has it.

    Raises:
        OutsideError: It is no plain name, a link leads out of the root, or no run is there.
    """
    parts = [] if name == "." else name.split("/")
    odd = any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)
    if odd or len(name) > LONGEST:
        raise OutsideError(
            f"{name[:100]!r} is no name of a run here: take one from the list of runs."
        )
    folder = root.joinpath(*parts)
    if not _within(root, folder):
        raise OutsideError(f"{name!r} leads out of the folder that is served.")
    if not _is_file(folder / "config.yaml"):
        raise OutsideError(f"There is no run {name!r} here: it has no config.yaml.")
    for path in (*(folder / file for file in READ), *folder.glob("*.png")):
        if not _within(root, path):
            raise OutsideError(f"{path.name} of {name!r} leads out of the folder that is served.")
    return folder


def run_names(root: Path) -> list[str]:
    """Names of the runs in a folder, at most `MOST` of them; links are not followed."""
    found: list[str] = []
    for place, folders, files in os.walk(root):
        here = Path(place).relative_to(root)
        if "config.yaml" in files:
            found.append(here.as_posix())
            folders.clear()
        deep = len(here.parts) >= DEPTH
        folders[:] = [] if deep else sorted(f for f in folders if not f.startswith("."))
        if len(found) == MOST:
            break
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a part of the name is too long
        return False


def _within(root: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a name too long, links in a circle
        return False

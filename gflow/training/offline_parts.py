"""The parts that W&B leaves of an offline run that was resumed, made one.

W&B begins a folder of its own each time. A run that is killed leaves one that lacks its last
seconds, or holds nothing, and `wandb sync` of some versions puts a later part in the place of an
earlier one. So the part of a run that goes on begins with all that came before, and those before it
are set aside.
"""

import re
from pathlib import Path

ASIDE = "replaced"
"""Folder beside the parts for those that a later one holds."""
PICTURE = re.compile(r"(?P<name>.+)_(?P<step>\d+)_[0-9a-f]+\.png")
"""What W&B calls pictures: by their name and step, and a hash."""


def earlier_parts(folder: Path, run_id: str, present: Path) -> list[Path]:
    """Parts of a run other than the present one, oldest first; none if one was uploaded.

    Args:
        folder: Where W&B keeps the parts.
        run_id: Of the run.
        present: The part that is being written.
    """
    parts = sorted(folder.glob(f"offline-run-*-{run_id}"))
    found = [part for part in parts if part.resolve() != present.resolve()]
    return [] if any(list(part.glob("*.synced")) for part in found) else found


def pictures_of(part: Path) -> dict[int, dict[str, Path]]:
    """The pictures of a part, by step and name."""
    found: dict[int, dict[str, Path]] = {}
    for path in sorted((part / "files" / "media" / "images").glob("*.png")):
        told = PICTURE.fullmatch(path.name)
        if told is not None:
            found.setdefault(int(told["step"]), {})[told["name"]] = path
    return found


def set_aside(parts: list[Path]) -> None:
    """Move parts where `wandb sync` does not look.

    Raises:
        OSError: They cannot be moved.
    """
    for part in parts:
        place = part.parent / ASIDE
        place.mkdir(exist_ok=True)
        part.rename(place / part.name)

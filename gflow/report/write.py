"""Pages from folders, and where they are written."""

from collections.abc import Sequence
from pathlib import Path

from gflow.errors import FolderError
from gflow.report import several, single
from gflow.report.folder import RunFacts, run_folders
from gflow.training.atomic import write_text

NAME = "report.html"
"""The page in a folder."""


def page_of(folders: Sequence[Path]) -> str:
    """The page of one run, of the runs in a folder, or of several runs.

    Raises:
        ConfigError: A folder holds no run.
    """
    runs = [RunFacts.read(found) for folder in folders for found in run_folders(folder)]
    whole = folders[0] if len(folders) == 1 else None
    return single.page(runs[0]) if len(runs) == 1 else several.page(runs, whole)


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page; where it is.

    Args:
        folders: Of runs or sweeps.
        out: The file; by default report.html in the folder, in the working folder of several.

    Raises:
        ConfigError: A folder holds no run.
        FolderError: The file cannot be written.
    """
    if out is None:
        out = folders[0] / NAME if len(folders) == 1 else Path(NAME)
    text = page_of(folders)
    try:
        write_text(out, text)
    except OSError as e:
        raise FolderError(
            f"{out} cannot be written: {e.strerror or e}. Name another file with --out FILE."
        ) from None
    return out

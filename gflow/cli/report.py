"""`gflow report`: a page of one run or several, from their folders alone."""

from pathlib import Path

from gflow.errors import ConfigError
from gflow.report import write_report


def report(folder: tuple[str, ...], out: str = "") -> int:
    """Write one HTML page about a run, a sweep, or several runs side by side.

    Args:
        folder: Folders of runs, or of a sweep.
        out: The file to write; by default report.html in the folder, here if there are several.
    """
    if not folder:
        raise ConfigError("gflow report needs FOLDER: that of a run or a sweep.")
    path = write_report([Path(name) for name in folder], Path(out) if out else None)
    print(f"report: {path}")
    return 0

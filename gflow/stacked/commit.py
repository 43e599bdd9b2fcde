"""Checkpoints of several runs that are replaced together or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path

from gflow.runs.run import Run
from gflow.training.atomic import write_text

NEXT = "next.pt"
"""A checkpoint beside that of its run, until it takes its place."""

DECIDED = "stacked.json"
"""Says whose checkpoints are whole and take the place of the ones before."""


def save_together(home: Path, runs: Sequence[Run]) -> None:
    """Save runs so that, whenever the process is killed, all are found at one step.

    Args:
        home: The folder of their folders.
        runs: Runs in folders of it.

    Raises:
        FolderError: A file cannot be written; all are as they were then.
    """
    for run in runs:
        run.save(_next(run.folder))
    with runs[0].files.writing():
        write_text(home / DECIDED, json.dumps([run.folder.name for run in runs]))
        finish_saving(home)
    for run in runs:
        run.files.saved = run.context.trainer.step


def finish_saving(home: Path) -> None:
    """Do what a process that was killed while saving had decided, and forget what it had not.

    A run that went on by itself meanwhile keeps its own checkpoint.
    """
    decided = home / DECIDED
    if decided.exists():
        for name in json.loads(decided.read_text()):
            ready, last = _next(home / name), home / name / "checkpoints" / "last.pt"
            if not ready.exists():
                continue
            if last.exists() and last.stat().st_mtime > decided.stat().st_mtime:
                continue
            ready.replace(last)
        decided.unlink()
    for left in home.glob(f"*/checkpoints/{NEXT}"):
        left.unlink()


def _next(folder: Path) -> Path:
    return folder / "checkpoints" / NEXT

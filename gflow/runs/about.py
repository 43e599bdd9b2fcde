"""What a run's folder says of how it came about: versions, the command, where it was resumed."""

import platform
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import gflow
from gflow.tasks.command import command_of
from gflow.tasks.options import RunConfig
from gflow.training.atomic import write_text
from gflow.training.json_lines import read_document, to_json
from gflow.training.services import RunLabel

NAME = "about.json"
"""The file in the folder."""


def label_of(folder: Path, config: RunConfig, new: bool = False) -> RunLabel:
    """What the run in a folder is called elsewhere.

    Args:
        folder: The folder.
        config: Its settings.
        new: Whether it gets an id of its own, and not the one that is noted there.
    """
    sweep = folder.resolve().parent
    what = (config.task.name, config.objective.name)
    group = sweep.name if (sweep / "sweep.json").exists() else "-".join(what)
    known = "" if new else read_document(folder / NAME).get("id", "")
    return RunLabel(
        known or uuid.uuid4().hex[:12], folder.name, group, (*what, config.behaviour.name)
    )


def write_about(folder: Path, config: RunConfig, run_id: str, resumed_at: int = -1) -> None:
    """Write the file of a new run, or note in it that the run was resumed.

    Args:
        folder: Of the run.
        config: Its settings.
        run_id: By which trackers know it.
        resumed_at: The step; negative for a new run.

    Raises:
        OSError: It cannot be written.
    """
    path = folder / NAME
    about = read_document(path) if resumed_at >= 0 else {}
    about.setdefault("started", datetime.now(UTC).isoformat(timespec="seconds"))
    steps = about.get("resumed", [])
    about |= {
        "id": run_id,
        "command": command_of(config),
        "summary": config.task.summary,
        "resumed": [*steps, resumed_at] if resumed_at >= 0 else [],
        "versions": versions(),
    }
    write_text(path, to_json(about, indent=2) + "\n")


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    return {
        "gflow": gflow.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }

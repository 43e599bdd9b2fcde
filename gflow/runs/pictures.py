"""The pictures of a run: what its task draws, what every run has, and their captions."""

import json
from pathlib import Path

from gflow.tasks.histogram import reward_histogram
from gflow.tasks.pictures import curves, pyplot
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context
from gflow.training.atomic import write_text

CAPTIONS = "captions.json"
"""What the pictures of a folder show, by the names of their files."""


def write_pictures(context: Context, folder: Path, samples: int) -> dict[str, Path]:
    """Write all pictures of a run, and captions.json beside them.

    Args:
        context: The run.
        folder: Its folder, with its reports and its summary.
        samples: Objects that are drawn for them, as many as for an evaluation.

    Returns:
        The pictures and tables by name, without the curves.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        OSError: A file cannot be written.
    """
    task = context.task
    found = task.artifacts(context, folder)
    curves(folder, task.headline)
    drawn = shown_pictures(context, samples)
    for name, picture in drawn.items():
        path = folder / f"{name}.png"
        picture.figure.savefig(path, dpi=120, bbox_inches="tight")
        pyplot().close(picture.figure)
        found[name] = path
    captions = {name: said for name, said in task.captions().items() if name in found}
    captions |= {name: picture.caption for name, picture in drawn.items()}
    write_text(folder / CAPTIONS, json.dumps(captions, indent=2) + "\n")
    return found


def shown_pictures(context: Context, samples: int) -> dict[str, Picture]:
    """The rewards, and what the task draws of its objects; by name.

    Args:
        context: The run.
        samples: Objects that are drawn for them.
    """
    shown = Shown.of(context, samples)
    rewards = reward_histogram(shown)
    return ({} if rewards is None else {"rewards": rewards}) | context.task.pictures(shown)

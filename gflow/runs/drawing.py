"""The pictures of a run while it trains; drawing them changes nothing about the training."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from gflow.errors import MissingExtraError
from gflow.runs.pictures import write_pictures
from gflow.tasks.task import Context
from gflow.training.trainer import Trainer


def draw(context: Context, folder: Path, samples: int) -> dict[str, Path]:
    """Write the pictures of a run; what was written, by name.

    Without matplotlib nothing is drawn, which is said.

    Args:
        context: The run.
        folder: Of the run.
        samples: Objects of which it shows rewards and the like.

    Raises:
        OSError: A file cannot be written.
    """
    try:
        with untouched(context.trainer):
            return write_pictures(context, folder, samples)
    except MissingExtraError as e:
        print(f"No pictures: {e}")
        return {}


@contextmanager
def untouched(trainer: Trainer) -> Iterator[None]:
    """Put random generators back to where they were, the trainer's and the global ones."""
    own, plain, numbers = trainer.generator.get_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [trainer.device] if trainer.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        trainer.generator.set_state(own)
        random.setstate(plain)
        np.random.set_state(numbers)  # noqa: NPY002

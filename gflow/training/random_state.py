"""The global random numbers of torch, Python and numpy, for checkpoints."""

import ast
import random
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Where the three are, as tensors, numbers and text."""
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    kind, keys, *rest = numpy_state
    return {
        "torch_random": torch.get_rng_state(),
        "python_random": repr(random.getstate()),
        "numpy_random": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
    }


def load_random_state(state: dict[str, Any]) -> None:
    """Take back what `random_state` gave; other keys are left alone."""
    torch.set_rng_state(state["torch_random"])
    version, internal, gauss = ast.literal_eval(state["python_random"])
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy_random"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002

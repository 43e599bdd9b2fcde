"""Sampling trajectories, forward and backward."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.sampling.exploration import Exploration
    from gflow.sampling.reversed import Reversed
    from gflow.sampling.sampler import Sampler

_HOME = {
    "Exploration": "gflow.sampling.exploration",
    "Reversed": "gflow.sampling.reversed",
    "Sampler": "gflow.sampling.sampler",
}

__all__ = [
    "Exploration",
    "Reversed",
    "Sampler",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

"""What a run remembers: replay, the best, the Pareto front."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.memory.best import BestObjects
    from gflow.memory.pareto import ParetoArchive
    from gflow.memory.replay import ReplayBuffer

_HOME = {
    "BestObjects": "gflow.memory.best",
    "ParetoArchive": "gflow.memory.pareto",
    "ReplayBuffer": "gflow.memory.replay",
}

__all__ = [
    "BestObjects",
    "ParetoArchive",
    "ReplayBuffer",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

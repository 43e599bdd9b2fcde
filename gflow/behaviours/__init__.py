"""Behaviours: where the trajectories of a training batch come from."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.behaviours.achieved import Achieved
    from gflow.behaviours.augmentation import BackwardAugmentation
    from gflow.behaviours.base import Behaviour, Incomplete, OnPolicy
    from gflow.behaviours.branching import Branching
    from gflow.behaviours.data import BackwardReplay
    from gflow.behaviours.exact_samples import ExactSamples
    from gflow.behaviours.explorer import Explorer
    from gflow.behaviours.front import FrontReplay
    from gflow.behaviours.hindsight import Hindsight
    from gflow.behaviours.langevin import LangevinSearch
    from gflow.behaviours.local_search import LocalSearch
    from gflow.behaviours.refreshed import Refreshed
    from gflow.behaviours.replay import Replay
    from gflow.behaviours.searchers import Searchers
    from gflow.behaviours.sources import Sources

_HOME = {
    "Achieved": "gflow.behaviours.achieved",
    "BackwardAugmentation": "gflow.behaviours.augmentation",
    "BackwardReplay": "gflow.behaviours.data",
    "Behaviour": "gflow.behaviours.base",
    "Branching": "gflow.behaviours.branching",
    "ExactSamples": "gflow.behaviours.exact_samples",
    "Explorer": "gflow.behaviours.explorer",
    "FrontReplay": "gflow.behaviours.front",
    "Hindsight": "gflow.behaviours.hindsight",
    "Incomplete": "gflow.behaviours.base",
    "LangevinSearch": "gflow.behaviours.langevin",
    "LocalSearch": "gflow.behaviours.local_search",
    "OnPolicy": "gflow.behaviours.base",
    "Refreshed": "gflow.behaviours.refreshed",
    "Replay": "gflow.behaviours.replay",
    "Searchers": "gflow.behaviours.searchers",
    "Sources": "gflow.behaviours.sources",
}

__all__ = [
    "Achieved",
    "BackwardAugmentation",
    "BackwardReplay",
    "Behaviour",
    "Branching",
    "ExactSamples",
    "Explorer",
    "FrontReplay",
    "Hindsight",
    "Incomplete",
    "LangevinSearch",
    "LocalSearch",
    "OnPolicy",
    "Refreshed",
    "Replay",
    "Searchers",
    "Sources",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

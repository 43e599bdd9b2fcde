"""Searchers: processes that sample trajectories while another trains on what they found."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.searchers.crew import Crew
    from gflow.searchers.memory import Finds
    from gflow.searchers.ray_crew import RayCrew
    from gflow.searchers.search import Search, news, publish

_HOME = {
    "Crew": "gflow.searchers.crew",
    "Finds": "gflow.searchers.memory",
    "RayCrew": "gflow.searchers.ray_crew",
    "Search": "gflow.searchers.search",
    "news": "gflow.searchers.search",
    "publish": "gflow.searchers.search",
}

__all__ = ["Crew", "Finds", "RayCrew", "Search", "news", "publish"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

"""One run in several processes, on one machine or many."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.machines.distributed import Distributed, join
    from gflow.machines.ranks import ALONE, Ranks

_HOME = {
    "ALONE": "gflow.machines.ranks",
    "Distributed": "gflow.machines.distributed",
    "Ranks": "gflow.machines.ranks",
    "join": "gflow.machines.distributed",
}

__all__ = ["ALONE", "Distributed", "Ranks", "join"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

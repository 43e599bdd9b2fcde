"""Runs that differ in seeds and rates, trained in one process by stacked networks."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.stacked.alike import apart, refusal
    from gflow.stacked.trainer import StackedTrainer

_HOME = {
    "StackedTrainer": "gflow.stacked.trainer",
    "apart": "gflow.stacked.alike",
    "refusal": "gflow.stacked.alike",
}

__all__ = ["StackedTrainer", "apart", "refusal"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

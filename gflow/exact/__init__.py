"""Exact answers on environments that can be listed."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.exact.graph import StateGraph, enumerate_states
    from gflow.exact.tabular import TabularPolicy

_HOME = {
    "StateGraph": "gflow.exact.graph",
    "TabularPolicy": "gflow.exact.tabular",
    "enumerate_states": "gflow.exact.graph",
}

__all__ = ["StateGraph", "TabularPolicy", "enumerate_states"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

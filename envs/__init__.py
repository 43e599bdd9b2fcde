"""Environments: what can be built, one step at a time."""

if __name__ != "gflow.envs":
    raise ImportError(f"this folder is the package gflow.envs: import that, not {__name__}")

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names

if TYPE_CHECKING:
    from gflow.env import Environment
    from gflow.envs.hypergrid import HyperGrid
    from gflow.envs.molecules import Molecules

_HOME = {
    "Environment": "gflow.env",
    "HyperGrid": "gflow.envs.hypergrid",
    "Molecules": "gflow.envs.molecules",
}

__all__ = ["Environment", "HyperGrid", "Molecules"]

__getattr__ = lazy_names(__name__, _HOME)

"""Environments: what can be built, one step at a time."""

if __name__ != "gflow.envs":
    raise ImportError(f"this folder is the package gflow.envs: import that, not {__name__}")

from gflow.env import Environment
from gflow.envs.hypergrid import HyperGrid

__all__ = ["Environment", "HyperGrid"]

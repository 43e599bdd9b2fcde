"""Causal structures."""

from gflow.envs.dags.env import Dags, DagState

__all__ = ["DagState", "Dags"]

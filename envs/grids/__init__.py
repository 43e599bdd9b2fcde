"""Cells of a grid."""

from gflow.envs.grids.hypergrid import HyperGrid

__all__ = ["HyperGrid"]

"""Subsets of nodes, and small graphs."""

from gflow.envs.graphs.dominating_set import DominatingSet
from gflow.envs.graphs.independent_set import Clique, IndependentSet, MaxCut
from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.graphs.small_graphs import SmallGraphs

__all__ = ["Clique", "DominatingSet", "GraphBatch", "IndependentSet", "MaxCut", "SmallGraphs"]

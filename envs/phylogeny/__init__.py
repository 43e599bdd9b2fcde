"""Phylogenetic trees."""

from gflow.envs.phylogeny.alignments import Alignment
from gflow.envs.phylogeny.env import Parsimony, Phylogeny

__all__ = ["Alignment", "Parsimony", "Phylogeny"]

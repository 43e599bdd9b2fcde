"""Sets and multisets."""

from gflow.envs.sets.bags import Bags, Substructures
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets, PairwiseEnergy, published_sets

__all__ = [
    "AdditiveEnergy",
    "Bags",
    "FixedSizeSets",
    "PairwiseEnergy",
    "Substructures",
    "published_sets",
]

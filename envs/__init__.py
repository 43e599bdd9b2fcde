"""Environments: what can be built, one step at a time."""

if __name__ != "gflow.envs":
    raise ImportError(f"this folder is the package gflow.envs: import that, not {__name__}")

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names

if TYPE_CHECKING:
    from gflow.env import Environment
    from gflow.envs.annealed import AnnealedLangevin
    from gflow.envs.architecture import Architectures
    from gflow.envs.atoms import Atoms
    from gflow.envs.bags import Bags
    from gflow.envs.box import Box
    from gflow.envs.composition import Product, Stack
    from gflow.envs.cube import Cube
    from gflow.envs.dags import Dags
    from gflow.envs.diffusion import Diffusion
    from gflow.envs.dominating_set import DominatingSet
    from gflow.envs.hypergrid import HyperGrid
    from gflow.envs.independent_set import Clique, IndependentSet, MaxCut
    from gflow.envs.molecules import Molecules
    from gflow.envs.phylogeny import Phylogeny
    from gflow.envs.sequences import AnyOrder, Autoregressive, PrependAppend, VariableLength
    from gflow.envs.sets import FixedSizeSets
    from gflow.envs.small_graphs import SmallGraphs
    from gflow.envs.spins import EnergyModel
    from gflow.envs.torus import Torus

_HOME = {
    "AnnealedLangevin": "gflow.envs.annealed",
    "AnyOrder": "gflow.envs.sequences",
    "Architectures": "gflow.envs.architecture",
    "Atoms": "gflow.envs.atoms",
    "Autoregressive": "gflow.envs.sequences",
    "Bags": "gflow.envs.bags",
    "Box": "gflow.envs.box",
    "Clique": "gflow.envs.independent_set",
    "Cube": "gflow.envs.cube",
    "Dags": "gflow.envs.dags",
    "Diffusion": "gflow.envs.diffusion",
    "DominatingSet": "gflow.envs.dominating_set",
    "EnergyModel": "gflow.envs.spins",
    "Environment": "gflow.env",
    "FixedSizeSets": "gflow.envs.sets",
    "HyperGrid": "gflow.envs.hypergrid",
    "IndependentSet": "gflow.envs.independent_set",
    "MaxCut": "gflow.envs.independent_set",
    "Molecules": "gflow.envs.molecules",
    "Phylogeny": "gflow.envs.phylogeny",
    "PrependAppend": "gflow.envs.sequences",
    "Product": "gflow.envs.composition",
    "SmallGraphs": "gflow.envs.small_graphs",
    "Stack": "gflow.envs.composition",
    "Torus": "gflow.envs.torus",
    "VariableLength": "gflow.envs.sequences",
}

__all__ = [
    "AnnealedLangevin",
    "AnyOrder",
    "Architectures",
    "Atoms",
    "Autoregressive",
    "Bags",
    "Box",
    "Clique",
    "Cube",
    "Dags",
    "Diffusion",
    "DominatingSet",
    "EnergyModel",
    "Environment",
    "FixedSizeSets",
    "HyperGrid",
    "IndependentSet",
    "MaxCut",
    "Molecules",
    "Phylogeny",
    "PrependAppend",
    "Product",
    "SmallGraphs",
    "Stack",
    "Torus",
    "VariableLength",
]

__getattr__ = lazy_names(__name__, _HOME)

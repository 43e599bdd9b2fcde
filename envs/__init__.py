"""Environments: what can be built, one step at a time."""

if __name__ != "gflow.envs":
    raise ImportError(f"this folder is the package gflow.envs: import that, not {__name__}")

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.environment.discrete import DiscreteEnvironment
    from gflow.envs.architectures.env import Architectures
    from gflow.envs.atoms.env import Atoms
    from gflow.envs.cubes.box import Box
    from gflow.envs.cubes.cube import Cube
    from gflow.envs.dags.env import Dags
    from gflow.envs.diffusion.annealed import AnnealedLangevin
    from gflow.envs.diffusion.env import Diffusion
    from gflow.envs.games.base import Game
    from gflow.envs.games.connect4 import Connect4
    from gflow.envs.games.nim import Nim
    from gflow.envs.games.pig import Pig
    from gflow.envs.games.tictactoe import TicTacToe
    from gflow.envs.grammar.env import Parser
    from gflow.envs.graphs.dominating_set import DominatingSet
    from gflow.envs.graphs.independent_set import Clique, IndependentSet, MaxCut
    from gflow.envs.graphs.small_graphs import SmallGraphs
    from gflow.envs.grids.hypergrid import HyperGrid
    from gflow.envs.molecules import Molecules
    from gflow.envs.noise.env import WithNoise
    from gflow.envs.noise.grid import StochasticGrid
    from gflow.envs.pairs.composition import Product, Stack
    from gflow.envs.phylogeny.env import Phylogeny
    from gflow.envs.reactions.env import Reactions
    from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength
    from gflow.envs.sets.bags import Bags
    from gflow.envs.sets.sets import FixedSizeSets
    from gflow.envs.spins.env import EnergyModel
    from gflow.envs.torus.env import Torus

_HOME = {
    "AnnealedLangevin": "gflow.envs.diffusion.annealed",
    "AnyOrder": "gflow.envs.sequences.env",
    "Architectures": "gflow.envs.architectures.env",
    "Atoms": "gflow.envs.atoms.env",
    "Autoregressive": "gflow.envs.sequences.env",
    "Bags": "gflow.envs.sets.bags",
    "Box": "gflow.envs.cubes.box",
    "Clique": "gflow.envs.graphs.independent_set",
    "Connect4": "gflow.envs.games.connect4",
    "Cube": "gflow.envs.cubes.cube",
    "Dags": "gflow.envs.dags.env",
    "Diffusion": "gflow.envs.diffusion.env",
    "DiscreteEnvironment": "gflow.environment.discrete",
    "DominatingSet": "gflow.envs.graphs.dominating_set",
    "EnergyModel": "gflow.envs.spins.env",
    "FixedSizeSets": "gflow.envs.sets.sets",
    "Game": "gflow.envs.games.base",
    "HyperGrid": "gflow.envs.grids.hypergrid",
    "IndependentSet": "gflow.envs.graphs.independent_set",
    "MaxCut": "gflow.envs.graphs.independent_set",
    "Molecules": "gflow.envs.molecules",
    "Nim": "gflow.envs.games.nim",
    "Parser": "gflow.envs.grammar.env",
    "Phylogeny": "gflow.envs.phylogeny.env",
    "Pig": "gflow.envs.games.pig",
    "PrependAppend": "gflow.envs.sequences.env",
    "Product": "gflow.envs.pairs.composition",
    "Reactions": "gflow.envs.reactions.env",
    "SmallGraphs": "gflow.envs.graphs.small_graphs",
    "Stack": "gflow.envs.pairs.composition",
    "StochasticGrid": "gflow.envs.noise.grid",
    "TicTacToe": "gflow.envs.games.tictactoe",
    "Torus": "gflow.envs.torus.env",
    "VariableLength": "gflow.envs.sequences.env",
    "WithNoise": "gflow.envs.noise.env",
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
    "Connect4",
    "Cube",
    "Dags",
    "Diffusion",
    "DiscreteEnvironment",
    "DominatingSet",
    "EnergyModel",
    "FixedSizeSets",
    "Game",
    "HyperGrid",
    "IndependentSet",
    "MaxCut",
    "Molecules",
    "Nim",
    "Parser",
    "Phylogeny",
    "Pig",
    "PrependAppend",
    "Product",
    "Reactions",
    "SmallGraphs",
    "Stack",
    "StochasticGrid",
    "TicTacToe",
    "Torus",
    "VariableLength",
    "WithNoise",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

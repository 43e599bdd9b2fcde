"""Molecules, grown fragment by fragment.

Importing this package imports neither RDKit nor, before it is needed, torch: the worker processes
that score molecules load only the parts without tensors.
"""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.envs.molecules.assembly import Assembly
    from gflow.envs.molecules.docking import Docking
    from gflow.envs.molecules.env import Molecules, MoleculeState
    from gflow.envs.molecules.extras import MoleculeError
    from gflow.envs.molecules.fragments import Fragment, make_fragment
    from gflow.envs.molecules.goal import Goal
    from gflow.envs.molecules.oracle import Oracle
    from gflow.envs.molecules.policy import MoleculePolicy
    from gflow.envs.molecules.properties import (
        Lightness,
        Qed,
        Similarity,
        Synthesizability,
        Window,
    )
    from gflow.envs.molecules.proxy import SehProxy
    from gflow.envs.molecules.rewards import MoleculeReward, MoleculeScores
    from gflow.envs.molecules.scoring import Record
    from gflow.envs.molecules.surrogate import SurrogateReward
    from gflow.envs.molecules.vocabulary import CutOptions, Vocabulary

_HOME = {
    "Assembly": "gflow.envs.molecules.assembly",
    "CutOptions": "gflow.envs.molecules.vocabulary",
    "Docking": "gflow.envs.molecules.docking",
    "Fragment": "gflow.envs.molecules.fragments",
    "Goal": "gflow.envs.molecules.goal",
    "Lightness": "gflow.envs.molecules.properties",
    "MoleculeError": "gflow.envs.molecules.extras",
    "MoleculePolicy": "gflow.envs.molecules.policy",
    "MoleculeReward": "gflow.envs.molecules.rewards",
    "MoleculeScores": "gflow.envs.molecules.rewards",
    "MoleculeState": "gflow.envs.molecules.env",
    "Molecules": "gflow.envs.molecules.env",
    "Oracle": "gflow.envs.molecules.oracle",
    "Qed": "gflow.envs.molecules.properties",
    "Record": "gflow.envs.molecules.scoring",
    "SehProxy": "gflow.envs.molecules.proxy",
    "Similarity": "gflow.envs.molecules.properties",
    "SurrogateReward": "gflow.envs.molecules.surrogate",
    "Synthesizability": "gflow.envs.molecules.properties",
    "Vocabulary": "gflow.envs.molecules.vocabulary",
    "Window": "gflow.envs.molecules.properties",
    "make_fragment": "gflow.envs.molecules.fragments",
}

__all__ = [
    "Assembly",
    "CutOptions",
    "Docking",
    "Fragment",
    "Goal",
    "Lightness",
    "MoleculeError",
    "MoleculePolicy",
    "MoleculeReward",
    "MoleculeScores",
    "MoleculeState",
    "Molecules",
    "Oracle",
    "Qed",
    "Record",
    "SehProxy",
    "Similarity",
    "SurrogateReward",
    "Synthesizability",
    "Vocabulary",
    "Window",
    "make_fragment",
]


__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

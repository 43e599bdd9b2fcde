"""Molecules, grown fragment by fragment.

Importing this package imports neither RDKit nor, before it is needed, torch: the worker processes
that score molecules load only the parts without tensors.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gflow.envs.molecules.assembly import Assembly
    from gflow.envs.molecules.env import Molecules, MoleculeState
    from gflow.envs.molecules.extras import MoleculeError
    from gflow.envs.molecules.fragments import Fragment, make_fragment
    from gflow.envs.molecules.goal import Goal
    from gflow.envs.molecules.policy import MoleculePolicy
    from gflow.envs.molecules.properties import Qed, Similarity, Synthesizability, Window
    from gflow.envs.molecules.rewards import MoleculeReward
    from gflow.envs.molecules.scoring import Record
    from gflow.envs.molecules.vocabulary import CutOptions, Vocabulary

_HOME = {
    "Assembly": "assembly",
    "CutOptions": "vocabulary",
    "Fragment": "fragments",
    "Goal": "goal",
    "MoleculeError": "extras",
    "MoleculePolicy": "policy",
    "MoleculeReward": "rewards",
    "MoleculeState": "env",
    "Molecules": "env",
    "Qed": "properties",
    "Record": "scoring",
    "Similarity": "properties",
    "Synthesizability": "properties",
    "Vocabulary": "vocabulary",
    "Window": "properties",
    "make_fragment": "fragments",
}

__all__ = [
    "Assembly",
    "CutOptions",
    "Fragment",
    "Goal",
    "MoleculeError",
    "MoleculePolicy",
    "MoleculeReward",
    "MoleculeState",
    "Molecules",
    "Qed",
    "Record",
    "Similarity",
    "Synthesizability",
    "Vocabulary",
    "Window",
    "make_fragment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

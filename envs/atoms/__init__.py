"""Molecules atom by atom.

Importing this package imports no torch: the worker processes that score molecules load only the
parts without tensors.
"""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.envs.atoms.env import Atoms, AtomState

_HOME = {
    "AtomState": "gflow.envs.atoms.env",
    "Atoms": "gflow.envs.atoms.env",
}

__all__ = ["AtomState", "Atoms"]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

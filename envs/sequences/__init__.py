"""Sequences over an alphabet."""

from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.base import SequenceEnvironment
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength

__all__ = [
    "Alphabet",
    "AnyOrder",
    "Autoregressive",
    "PrependAppend",
    "SequenceEnvironment",
    "VariableLength",
]

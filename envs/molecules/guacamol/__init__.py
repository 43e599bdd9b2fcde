"""Design goals of GuacaMol, as properties of molecules."""

from gflow.envs.molecules.guacamol.goals import GOALS, GuacaMol
from gflow.envs.molecules.guacamol.parts import Isomers, Measure, Pattern, Resemblance
from gflow.envs.molecules.guacamol.shapes import AtLeast, AtMost, Bell, Shape, Upto

__all__ = [
    "GOALS",
    "AtLeast",
    "AtMost",
    "Bell",
    "GuacaMol",
    "Isomers",
    "Measure",
    "Pattern",
    "Resemblance",
    "Shape",
    "Upto",
]

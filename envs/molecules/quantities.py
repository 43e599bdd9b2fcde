"""Numbers that RDKit computes of molecules, by name: what ranges are about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gflow.envs.molecules.druglikeness import qed
from gflow.envs.molecules.extras import rdkit
from gflow.ranges import Quantity


@dataclass(frozen=True)
class Measure(Quantity):
    """A quantity of molecules.

    Attributes:
        of: From an RDKit molecule to the number.
    """

    of: Callable[[Any], float] = field(kw_only=True)


def _by(module: str, function: str) -> Callable[[Any], float]:
    def number(molecule: Any) -> float:
        return float(getattr(rdkit(module), function)(molecule))

    return number


_COUNTS = "rdkit.Chem.rdMolDescriptors"

MEASURES: tuple[Measure, ...] = (
    Measure("logP", -1, 5, 0.5, what="Crippen's logP", of=_by("rdkit.Chem.Crippen", "MolLogP")),
    Measure("weight", 150, 450, 25, what="Da", of=_by("rdkit.Chem.Descriptors", "MolWt")),
    Measure("tpsa", 20, 120, 10, what="polar surface in square Å", of=_by(_COUNTS, "CalcTPSA")),
    Measure("donors", 0, 4, 1, True, "hydrogen bond donors", of=_by(_COUNTS, "CalcNumHBD")),
    Measure("acceptors", 1, 8, 1, True, "hydrogen bond acceptors", of=_by(_COUNTS, "CalcNumHBA")),
    Measure(
        "rotatable", 0, 8, 1, True, "rotatable bonds", of=_by(_COUNTS, "CalcNumRotatableBonds")
    ),
    Measure("rings", 1, 4, 1, True, "rings", of=_by(_COUNTS, "CalcNumRings")),
    Measure(
        "aromatic", 0, 3, 1, True, "aromatic rings", of=_by(_COUNTS, "CalcNumAromaticRings")
    ),
    Measure("atoms", 10, 32, 2, True, "heavy atoms", of=_by(_COUNTS, "CalcNumHeavyAtoms")),
    Measure("fsp3", 0, 1, 0.1, what="share of sp3 carbons", of=_by(_COUNTS, "CalcFractionCSP3")),
    Measure("qed", 0.3, 0.9, 0.1, what="drug-likeness", of=qed),
    Measure(
        "sa", 1.5, 4, 0.5, what="synthetic accessibility, 1 (easy) to 10",
        of=_by("rdkit.Contrib.SA_Score.sascorer", "calculateScore"),
    ),
)  # fmt: skip
"""In the order in which they are listed, with usual values and the width of a range's edge."""

ALSO = {"mw": "weight", "hbd": "donors", "hba": "acceptors", "heavy": "atoms"}
"""Other words for some."""

QUANTITIES = {m.name.lower(): m for m in MEASURES}
QUANTITIES |= {word: QUANTITIES[name] for word, name in ALSO.items()}
"""By lower-case name, and by other words."""


def measure(molecule: Any, names: Sequence[str]) -> tuple[float, ...]:
    """Some quantities of an RDKit molecule."""
    return tuple(QUANTITIES[name.lower()].of(molecule) for name in names)

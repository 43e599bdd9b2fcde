"""What goals are made of: resemblance to a drug, descriptors, formulas, patterns."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from gflow.envs.molecules.extras import parse_smiles, rdkit
from gflow.envs.molecules.guacamol.shapes import Bell, Shape, Upto
from gflow.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class Resemblance:
    """Tanimoto similarity to a molecule, by fingerprints that count how often each feature occurs.

    Attributes:
        smiles: The molecule.
        kind: ``"ECFP4"``, ``"ECFP6"``, ``"FCFP4"`` (circular, of radius 2, 3, and 2 with features
            in the place of atoms), ``"AP"`` (pairs of atoms up to 10 bonds apart) or ``"PHCO"``
            (Gobbi's 2-D pharmacophores, present or not).
        shape: How well a similarity serves.
    """

    smiles: str
    kind: str = "ECFP4"
    shape: Shape = field(default_factory=Upto)

    def __post_init__(self) -> None:
        """Refuse what is not a molecule, and unknown kinds."""
        parse_smiles(self.smiles, "Resemblance")
        if self.kind not in KINDS:
            raise UnknownNameError("kind of fingerprint", self.kind, tuple(KINDS))

    def __call__(self, molecule: Any) -> float:
        """In [0, 1]."""
        similarity = rdkit("rdkit.DataStructs").TanimotoSimilarity
        found = _fingerprint(self.kind)(molecule)
        return self.shape(float(similarity(found, _wanted(self.smiles, self.kind))))


@dataclass(frozen=True)
class Measure:
    """A descriptor.

    Attributes:
        quantity: ``"logp"`` (Crippen), ``"tpsa"`` (square ångström), ``"bertz"`` (complexity),
            ``"rings"``, ``"aromatic_rings"`` or ``"fluorines"``.
        shape: How well a value serves.
    """

    quantity: str
    shape: Shape

    def __post_init__(self) -> None:
        """Refuse unknown quantities."""
        if self.quantity not in QUANTITIES:
            raise UnknownNameError("descriptor", self.quantity, tuple(QUANTITIES))

    def __call__(self, molecule: Any) -> float:
        """In [0, 1]."""
        return self.shape(float(QUANTITIES[self.quantity](molecule)))


@dataclass(frozen=True)
class Pattern:
    """1 where a SMARTS pattern is found, or where it is not.

    Attributes:
        smarts: The pattern.
        present: Whether it is wanted.
    """

    smarts: str
    present: bool = True

    def __post_init__(self) -> None:
        """Refuse what is not a pattern."""
        if _pattern(self.smarts) is None:
            raise ConfigError(f"Pattern: {self.smarts!r} is not SMARTS that RDKit reads.")

    def __call__(self, molecule: Any) -> float:
        """0 or 1."""
        return float(molecule.HasSubstructMatch(_pattern(self.smarts)) == self.present)


@dataclass(frozen=True)
class Isomers:
    """Closeness to a molecular formula, hydrogens counted.

    The geometric mean of a bell of width 1 for the number of atoms of each element in the formula,
    and one of width 2 for the number of all atoms.

    Attributes:
        formula: Such as ``"C9H10N2O2PF2Cl"``.

    Raises:
        ConfigError: If it is no formula.
    """

    formula: str
    prefix: ClassVar[str] = "isomers"

    def __post_init__(self) -> None:
        """Refuse what is no formula."""
        _counts(self.formula)

    @property
    def name(self) -> str:
        """The short form, e.g. ``isomers:C11H24``."""
        return f"{self.prefix}:{self.formula}"

    def __call__(self, molecule: Any) -> float:
        """In (0, 1]."""
        counts = _counts(self.formula)
        found = Counter(atom.GetSymbol() for atom in molecule.GetAtoms())
        found["H"] += sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())
        scores = [Bell(count, 1.0)(found[element]) for element, count in counts.items()]
        scores.append(Bell(sum(counts.values()), 2.0)(found.total()))
        return geometric_mean(scores)


def geometric_mean(scores: list[float]) -> float:
    """Of numbers that are not negative."""
    product = 1.0
    for score in scores:
        product *= score
    return float(product ** (1.0 / len(scores)))


@cache
def _counts(formula: str) -> dict[str, int]:
    """How many atoms of each element.

    Raises:
        ConfigError: If it is no formula.
    """
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    table = rdkit("rdkit.Chem").GetPeriodicTable()
    counts: dict[str, int] = {}
    known = bool(parts) and "".join(a + b for a, b in parts) == formula
    for element, number in parts:
        try:
            table.GetAtomicNumber(element)
        except RuntimeError:
            known = False
        counts[element] = counts.get(element, 0) + int(number or 1)
    if not known or 0 in counts.values():
        raise ConfigError(
            f"Isomers: {formula!r} is not a molecular formula. Write elements and how many of each "
            f"there are, hydrogens too, e.g. C9H10N2O2PF2Cl."
        )
    return counts


def _morgan(radius: int, features: bool = False) -> Callable[[Any], Any]:
    module = rdkit("rdkit.Chem.rdFingerprintGenerator")
    kinds = module.GetMorganFeatureAtomInvGen() if features else None
    generator = module.GetMorganGenerator(radius=radius, atomInvariantsGenerator=kinds)
    fingerprint: Callable[[Any], Any] = generator.GetSparseCountFingerprint
    return fingerprint


def _pairs() -> Callable[[Any], Any]:
    module = rdkit("rdkit.Chem.rdFingerprintGenerator")
    generator = module.GetAtomPairGenerator(maxDistance=10, countSimulation=False)
    fingerprint: Callable[[Any], Any] = generator.GetSparseCountFingerprint
    return fingerprint


def _pharmacophores() -> Callable[[Any], Any]:
    factory = rdkit("rdkit.Chem.Pharm2D.Gobbi_Pharm2D").factory
    generate = rdkit("rdkit.Chem.Pharm2D.Generate").Gen2DFingerprint
    return lambda molecule: generate(molecule, factory)


KINDS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "ECFP4": lambda: _morgan(2),
    "ECFP6": lambda: _morgan(3),
    "FCFP4": lambda: _morgan(2, features=True),
    "AP": _pairs,
    "PHCO": _pharmacophores,
}
"""Fingerprints by name; each makes a function from a molecule."""

QUANTITIES: dict[str, Callable[[Any], float]] = {
    "logp": lambda molecule: rdkit("rdkit.Chem.Crippen").MolLogP(molecule),
    "tpsa": lambda molecule: rdkit("rdkit.Chem.rdMolDescriptors").CalcTPSA(molecule),
    "bertz": lambda molecule: rdkit("rdkit.Chem.GraphDescriptors").BertzCT(molecule),
    "rings": lambda molecule: rdkit("rdkit.Chem.rdMolDescriptors").CalcNumRings(molecule),
    "aromatic_rings": lambda molecule: rdkit("rdkit.Chem.rdMolDescriptors").CalcNumAromaticRings(
        molecule
    ),
    "fluorines": lambda molecule: sum(a.GetSymbol() == "F" for a in molecule.GetAtoms()),
}
"""Descriptors by name."""


@cache
def _fingerprint(kind: str) -> Callable[[Any], Any]:
    return KINDS[kind]()


@cache
def _wanted(smiles: str, kind: str) -> Any:
    return _fingerprint(kind)(parse_smiles(smiles, "Resemblance"))


@cache
def _pattern(smarts: str) -> Any:
    return rdkit("rdkit.Chem").MolFromSmarts(smarts)

"""Properties of molecules as numbers between 0 and 1, computed by RDKit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from gflow.envs.molecules.druglikeness import qed
from gflow.envs.molecules.extras import MoleculeError, parse_smiles, rdkit
from gflow.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class Qed:
    """Quantitative estimate of drug-likeness.

    Reference: Bickerton et al., Nature Chemistry 4, 2012, https://doi.org/10.1038/nchem.1243
    """

    name: ClassVar[str] = "qed"

    def __call__(self, molecule: Any) -> float:
        """In (0, 1)."""
        return qed(molecule)


@dataclass(frozen=True)
class Synthesizability:
    """(10 - SA) / 9, where SA runs from 1 (easy to make) to 10.

    Reference: Ertl and Schuffenhauer, Journal of Cheminformatics 1(8), 2009,
    https://doi.org/10.1186/1758-2946-1-8
    """

    name: ClassVar[str] = "sa"

    def __call__(self, molecule: Any) -> float:
        """In [0, 1]."""
        score = rdkit("rdkit.Contrib.SA_Score.sascorer").calculateScore(molecule)
        return float(min(max((10.0 - score) / 9.0, 0.0), 1.0))


@dataclass(frozen=True)
class Window:
    """1 inside [low, high], falling off exponentially outside, by e per half width of the window.

    Attributes:
        quantity: ``"logp"`` (Crippen) or ``"weight"`` (Dalton).
        low: Lower end.
        high: Upper end.
    """

    quantity: str
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse unknown quantities and empty windows."""
        if self.quantity not in ("logp", "weight"):
            raise UnknownNameError("window quantity", self.quantity, ("logp", "weight"))
        if not self.low < self.high:
            raise ConfigError(
                f"Window: the {self.quantity} window must have low < high, got "
                f"{self.low:g}:{self.high:g}."
            )

    @property
    def name(self) -> str:
        """The short form, e.g. ``logp:1:4``."""
        return f"{self.quantity}:{self.low:g}:{self.high:g}"

    def __call__(self, molecule: Any) -> float:
        """In (0, 1]."""
        if self.quantity == "logp":
            value = rdkit("rdkit.Chem.Crippen").MolLogP(molecule)
        else:
            value = rdkit("rdkit.Chem.Descriptors").MolWt(molecule)
        outside = max(self.low - value, value - self.high, 0.0)
        return math.exp(-2.0 * outside / (self.high - self.low))


@dataclass(frozen=True)
class Lightness:
    """1 up to 300 Dalton, falling in a straight line to 0 at 1000.

    Reference: Jain et al., Multi-objective GFlowNets, 2022, https://arxiv.org/abs/2210.12765
    """

    name: ClassVar[str] = "light"

    def __call__(self, molecule: Any) -> float:
        """In [0, 1]."""
        weight = float(rdkit("rdkit.Chem.Descriptors").MolWt(molecule))
        return min(max((300.0 - weight) / 700.0 + 1.0, 0.0), 1.0)


@dataclass(frozen=True)
class Similarity:
    """Tanimoto similarity of Morgan fingerprints (radius 2, 2048 bits) to a given molecule.

    Raises:
        MoleculeError: If `smiles` is not a molecule.
    """

    smiles: str

    def __post_init__(self) -> None:
        """Refuse what is not a molecule."""
        parse_smiles(self.smiles, "Similarity")

    @property
    def name(self) -> str:
        """The short form, e.g. ``similarity:CCO``."""
        return f"similarity:{self.smiles}"

    def __call__(self, molecule: Any) -> float:
        """In [0, 1]."""
        fingerprint = _fingerprints().GetFingerprint(molecule)
        similarity = rdkit("rdkit.DataStructs").TanimotoSimilarity
        return float(similarity(fingerprint, _reference(self.smiles)))


Property = Qed | Synthesizability | Window | Lightness | Similarity | Callable[[Any], float]
NAMES = (
    "qed",
    "sa",
    "light",
    "logp:LOW:HIGH",
    "weight:LOW:HIGH",
    "similarity:SMILES",
    "isomers:FORMULA",
    "guacamol:GOAL",
    "seh:FILE",
    "dock:FILE:BOX",
)


def read_property(text: str | Property) -> Property:
    """A property from its short form; anything else is returned as it is.

    Raises:
        UnknownNameError: If the name before the first colon is unknown.
        ConfigError: If a window is not two numbers.
    """
    if not isinstance(text, str):
        return text
    name, _, rest = text.partition(":")
    if name == "qed" and not rest:
        return Qed()
    if name == "sa" and not rest:
        return Synthesizability()
    if name == "light" and not rest:
        return Lightness()
    if name in ("logp", "weight"):
        try:
            low, high = map(float, rest.split(":"))
        except ValueError:
            raise ConfigError(
                f"The property {text!r} must be {name}:LOW:HIGH with two numbers, e.g. {name}:1:4."
            ) from None
        return Window(name, low, high)
    if name == "similarity":
        return Similarity(rest)
    if name == "isomers":
        from gflow.envs.molecules.guacamol import Isomers

        return Isomers(rest)
    if name == "guacamol":
        from gflow.envs.molecules.guacamol import GuacaMol

        return GuacaMol(rest)
    if name == "seh":
        from gflow.envs.molecules.proxy import SehProxy  # needs torch, which workers start without

        return SehProxy(rest)
    if name == "dock":
        from gflow.envs.molecules.docking import Docking

        return Docking.read(rest)
    raise UnknownNameError("molecular property", text, NAMES)


def property_name(function: Property) -> str:
    """What reports call a property."""
    return str(getattr(function, "name", getattr(function, "__name__", repr(function))))


@cache
def _fingerprints() -> Any:
    return rdkit("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=2, fpSize=2048)


@cache
def _reference(smiles: str) -> Any:
    return _fingerprints().GetFingerprint(parse_smiles(smiles, "Similarity"))


__all__ = [
    "Lightness",
    "MoleculeError",
    "Property",
    "Qed",
    "Similarity",
    "Synthesizability",
    "Window",
    "property_name",
    "read_property",
]

"""Factors of the reward: ranges of properties, structural alerts, parts required or forbidden."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from gflow.envs.molecules.extras import MoleculeError, rdkit
from gflow.envs.molecules.quantities import QUANTITIES, measure
from gflow.errors import UnknownNameError
from gflow.ranges import FLOOR, Range, log_factor, read_range

ALERTS = ("pains", "brenk", "nih")
"""Sets of structural alerts, from RDKit's catalogue."""

PER_ALERT, MISSING = 0.5, 0.1
"""Factor of each alert that a molecule has, and of a part that it should have or should not."""


class Factor(Protocol):
    """What multiplies the reward of a molecule, in (0, 1]; picklable."""

    def log(self, molecule: Any) -> float:
        """Log of the factor of an RDKit molecule."""


@dataclass(frozen=True)
class InRanges:
    """1 where all quantities lie in their ranges, falling off outside; see `Range`."""

    ranges: tuple[Range, ...]

    @classmethod
    def read(cls, texts: Sequence[str]) -> "InRanges":
        """From ranges as people write them."""
        return cls(tuple(read_range(text, QUANTITIES) for text in texts))

    def log(self, molecule: Any) -> float:
        """Log of the product over the ranges."""
        values = measure(molecule, [r.quantity for r in self.ranges])
        return log_factor(self.ranges, values)


RULE_OF_FIVE = ("weight ..500", "logP ..5", "donors ..5", "acceptors ..10")
"""Reference: Lipinski et al., Advanced Drug Delivery Reviews 23, 1997."""


@dataclass(frozen=True)
class WithoutAlerts:
    """One half to the number of structural alerts in a molecule.

    Reference: Baell and Holloway, Journal of Medicinal Chemistry 53, 2010 (PAINS); Brenk et al.,
    ChemMedChem 3, 2008; Jadhav et al., Journal of Medicinal Chemistry 53, 2010, and Doveston et
    al., Organic and Biomolecular Chemistry 13, 2015 (NIH); as compiled in RDKit.

    Attributes:
        sets: Which alerts: pains, brenk, nih.
    """

    sets: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse unknown sets."""
        for name in self.sets:
            if name not in ALERTS:
                raise UnknownNameError("set of alerts", name, ALERTS)

    def found(self, molecule: Any) -> list[str]:
        """The names of the alerts in a molecule."""
        catalogue = _catalogue(tuple(sorted(set(self.sets))))
        return [str(entry.GetDescription()) for entry in catalogue.GetMatches(molecule)]

    def log(self, molecule: Any) -> float:
        """Log of the factor."""
        return len(self.found(molecule)) * math.log(PER_ALERT)


@dataclass(frozen=True)
class Part:
    """One tenth where a part is missing, or is there though it should not be.

    Attributes:
        smarts: The part.
        wanted: Whether it should be there.
    """

    smarts: str
    wanted: bool

    def __post_init__(self) -> None:
        """Refuse what is no SMARTS."""
        pattern(self.smarts)

    def log(self, molecule: Any) -> float:
        """Log of the factor."""
        met = molecule.HasSubstructMatch(pattern(self.smarts)) == self.wanted
        return 0.0 if met else math.log(MISSING)


def factor_of(factors: Sequence[Factor], molecule: Any) -> float:
    """Their product, at least `FLOOR`."""
    return max(math.exp(sum(factor.log(molecule) for factor in factors)), FLOOR)


@cache
def pattern(smarts: str) -> Any:
    """A SMARTS as RDKit reads it.

    Raises:
        MoleculeError: It does not.
    """
    with rdkit("rdkit.rdBase").BlockLogs():
        found = rdkit().MolFromSmarts(smarts) if smarts.strip() else None
    if found is None:
        raise MoleculeError(
            f"{smarts!r} is not a valid SMARTS: write a part of a molecule, as in 'c1ccncc1' or "
            f"'[NX3;H2]'."
        )
    found.UpdatePropertyCache(strict=False)
    return found


@cache
def _catalogue(sets: tuple[str, ...]) -> Any:
    module = rdkit("rdkit.Chem.FilterCatalog")
    params = module.FilterCatalogParams()
    for name in sets:
        params.AddCatalog(getattr(module.FilterCatalogParams.FilterCatalogs, name.upper()))
    return module.FilterCatalog(params)

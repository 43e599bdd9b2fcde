"""Molecules as SMILES, letter by letter."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from gflow.bounds import Count
from gflow.envs.marginals.molecule_strings import MoleculeStrings
from gflow.envs.marginals.molecules import bundled_smiles, canonical, common, quality, symbols_of
from gflow.envs.marginals.pictures import molecules
from gflow.envs.sequences.alphabet import Alphabet

END = "!"
"""Fills the places after a molecule; no letter of SMILES."""


@dataclass(frozen=True)
class Smiles(MoleculeStrings):
    """Molecules that RDKit carries, in its canonical SMILES, whose letters are the symbols.

    One symbol more, ``!``, fills the places after the end. Molecules with a letter that fewer than
    ten have are left out.

    Attributes:
        length: Letters of the longest molecule, at least 10.
    """

    name: ClassVar[str] = "smiles"
    summary: ClassVar[str] = "molecules of RDKit's as SMILES, letter by letter"
    shortest: ClassVar[int] = 10

    length: Count = 40

    @staticmethod
    def short(length: int) -> tuple[Alphabet, Tensor]:
        """The letters and the end, and the molecules."""
        return _short(length)

    def encode(self, texts: list[str]) -> Tensor:
        """(N, D) symbols of SMILES, the end in all places after them."""
        return super().encode([text.ljust(self.length, END) for text in texts])

    def show(self, symbols: Tensor) -> list[str]:
        """SMILES without the ends that fill them up."""
        return [text.rstrip(END) for text in super().show(symbols)]

    def measure(self, symbols: Tensor) -> dict[str, float]:
        """Shares of molecules, of different ones among them, and of new ones among these.

        What has an end before a letter is no molecule.
        """
        known = set(self.show(self.data.train))
        return quality([canonical(text) for text in self.show(symbols)], known)

    def pictures(self, symbols: Tensor, folder: Path) -> dict[str, Path]:
        """The first twelve molecules."""
        return {"molecules": molecules(self.show(symbols), folder / "molecules.png")}


@cache
def _short(length: int) -> tuple[Alphabet, Tensor]:
    """The alphabet of molecules of at most so many letters, and (N, length) their symbols."""
    rows = common([smiles for smiles in bundled_smiles() if len(smiles) <= length])
    alphabet = Alphabet([*symbols_of(rows), END])
    return alphabet, alphabet.encode([str(row).ljust(length, END) for row in rows])

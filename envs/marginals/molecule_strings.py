"""What problems of molecules that are written as strings have in common."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gflow.bounds import Count
from gflow.envs.marginals.problem import Parts, Problem
from gflow.envs.sequences.alphabet import Alphabet
from gflow.errors import ConfigError

HELD = 0.1
"""Share of molecules to validate with, and to test with."""


@dataclass(frozen=True)
class MoleculeStrings(Problem):
    """Those of RDKit's molecules that are short enough, padded.

    Attributes:
        shortest: What `length` must at least be.
        length: Symbols of the longest molecule.
    """

    shortest: ClassVar[int]

    length: Count = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < self.shortest:
            raise ConfigError(
                f"{type(self).__name__}: length must be at least {self.shortest}, got "
                f"{self.length}."
            )

    @staticmethod
    @abstractmethod
    def short(length: int) -> tuple[Alphabet, Tensor]:
        """The alphabet of molecules of at most so many symbols, and (N, length) their symbols."""

    @property
    def alphabet(self) -> Alphabet:
        """The symbols of these molecules, and the padding as the last."""
        return self.short(self.length)[0]

    @property
    def places(self) -> int:
        """Symbols of the longest molecule."""
        return self.length

    @property
    def data(self) -> Parts:
        """Molecules as they are, no two alike.

        Raises:
            MissingExtraError: If a package that reads molecules is not installed.
        """
        return Parts.of(self.short(self.length)[1], HELD)

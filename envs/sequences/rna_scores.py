"""Scores of RNAs by ViennaRNA, in plain Python, so that workers start without torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Literal

from gflow.errors import ConfigError, MissingExtraError

LOOP = 3
"""A hairpin leaves at least this many nucleotides unpaired."""

Measure = Literal["mfe", "defect", "both"]

TARGETS = {
    "RNA1": "GAACGAGGCACAUUCCGGCUCGCCCGGCCCAUGUGAGCAUGGGCCGGACC"
    "CCGUCCGCGCGGGGCCCCCGCGCGGACGGGGGCGAGCCGGAAUGUGCCUC",
    "RNA2": "GAGGCACAUUCCGGCUCGCCCCCGUCCGCGCGGGGGCCCCGCGCGGACGG"
    "GGUCCGGCCCGCGCGGGGCCCCCGCGCGGGAGCCGGAAUGUGCCUCGUUC",
    "RNA3": "CCGGUGAUACUGUUAGUGGUCACGGUGCAUUUAUAGCGCUAAAGUACAGU"
    "CUUCCCCUGUUGAACGGCGCCAUUGCAUACAGGGCCAGCCGCGUAACGCC",
    "RNA4": "UAAGAGAGCGUAAAAAUAGAGAUAUGUUCUUGGGUCAGGGCUAUGCGUAC"
    "CCCAUGAGAGUAAAUCAUACCCCCAAUGGGCUUCGGCGGAAAUUCACUUA",
}
"""The targets of the usual landscapes, 100 nucleotides each."""


def vienna() -> ModuleType:
    """The module RNA of ViennaRNA.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import RNA
    except ImportError as error:
        raise MissingExtraError("ViennaRNA", "rna", "Folding RNA") from error
    return RNA  # type: ignore[no-any-return]


def base_pairs(structure: str) -> list[tuple[int, int]]:
    """The paired places of a structure in dot-bracket notation, by their opening places.

    Raises:
        ConfigError: Other characters, brackets that do not match, or too tight a hairpin.
    """
    opened, pairs = [], []
    for place, mark in enumerate(structure):
        if mark not in "(.)":
            raise ConfigError(f"The structure {structure!r} may hold only '(', '.' and ')'.")
        if mark == "(":
            opened.append(place)
        elif mark == ")":
            if not opened:
                raise ConfigError(f"The structure {structure!r} closes too often at {place}.")
            pairs.append((opened.pop(), place))
            if place - pairs[-1][0] <= LOOP:
                raise ConfigError(
                    f"The structure {structure!r} has a hairpin of fewer than {LOOP} at {place}; "
                    f"no RNA folds so tightly."
                )
    if opened:
        raise ConfigError(f"The structure {structure!r} never closes the bracket at {opened[-1]}.")
    return sorted(pairs)


@dataclass(frozen=True)
class DesignScore:
    r"""log R of RNAs for a target structure: beta log of an agreement in [0, 1].

    "mfe": twice the base pairs that the structure of minimum free energy shares with the target,
    over the pairs of both; 1 exactly for designs that fold into the target. "defect": 1 less the
    ensemble defect, the expected fraction of nucleotides in the wrong state. "both": their mean.

    Attributes:
        target: In dot-bracket notation.
        measure: Which agreement.
        beta: Exponent.
        floor: Smallest agreement.

    Reference:
        Zadeh et al., Nucleic acid sequence design via efficient ensemble defect optimization,
        2011, https://doi.org/10.1002/jcc.21633
    """

    target: str
    measure: Measure = "both"
    beta: float = 16.0
    floor: float = 0.01

    def __call__(self, sequences: list[str]) -> list[float]:
        """Log-rewards of RNAs."""
        return [self.beta * math.log(max(self.agreement(s), self.floor)) for s in sequences]

    def agreement(self, sequence: str) -> float:
        """The agreement of one RNA with the target."""
        fold = vienna().fold_compound(sequence)
        structure, energy = fold.mfe()
        if self.measure == "mfe":
            return self._shared(structure)
        fold.exp_params_rescale(energy)
        fold.pf()
        whole = 1.0 - float(fold.ensemble_defect(self.target))
        return whole if self.measure == "defect" else (whole + self._shared(structure)) / 2

    def _shared(self, structure: str) -> float:
        mine, wanted = set(base_pairs(structure)), set(base_pairs(self.target))
        total = len(mine) + len(wanted)
        return 2 * len(mine & wanted) / total if total else 1.0


def folds_into(sequences: Sequence[str], target: str) -> list[bool]:
    """Whether the structure of minimum free energy of each RNA is the target."""
    rna = vienna()
    return [rna.fold(sequence)[0] == target for sequence in sequences]


@dataclass(frozen=True)
class BindingScore:
    r"""log R of RNAs by how strongly they bind to targets: beta log max(y, floor).

    y is the mean over targets t of E(t, x) / E0(t), with E the energy of the duplex and E0 that of
    t with its own complement, times L / len(t). It may exceed 1, and be negative before the floor.

    Attributes:
        targets: RNAs.
        beta: Exponent.
        floor: Smallest y.

    Reference:
        Sinai et al., AdaLead: a simple and robust adaptive greedy search algorithm for sequence
        design, 2020, https://arxiv.org/abs/2010.02141
    """

    targets: tuple[str, ...]
    beta: float = 8.0
    floor: float = 1e-3

    def __call__(self, sequences: list[str]) -> list[float]:
        """Log-rewards of RNAs."""
        return [self.beta * math.log(max(y, self.floor)) for y in self.values(sequences)]

    def values(self, sequences: Sequence[str]) -> list[float]:
        """The values y of RNAs."""
        rna = vienna()
        unit = [duplex_with_complement(target) / len(target) for target in self.targets]
        return [
            sum(
                rna.duplexfold(target, x).energy / (e * len(x))
                for target, e in zip(self.targets, unit, strict=True)
            )
            / len(unit)
            for x in sequences
        ]


@cache
def duplex_with_complement(target: str) -> float:
    """Energy (kcal/mol) of the duplex of an RNA with its reverse complement."""
    complement = target.translate(str.maketrans("ACGU", "UGCA"))[::-1]
    return float(vienna().duplexfold(complement, target).energy)

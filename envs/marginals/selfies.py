"""Molecules as SELFIES, every string of which is one, near a wanted solubility."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from gflow.bounds import Count, Positive
from gflow.envs.marginals.molecule_strings import MoleculeStrings
from gflow.envs.marginals.molecules import (
    bundled_smiles,
    canonical,
    common,
    log_p,
    quality,
    symbols_of,
)
from gflow.envs.marginals.pictures import histogram, molecules
from gflow.envs.sequences.alphabet import Alphabet
from gflow.errors import ConfigError, MissingExtraError
from gflow.rewards.base import LogReward
from gflow.rewards.remembering import HostReward

NOTHING = "[nop]"
"""The symbol that stands for none, wherever it is."""
GAP = 25.0
"""How far from the target the log P of what is no molecule is held to be."""


@dataclass(frozen=True)
class Selfies(MoleculeStrings):
    r"""Molecules in symbols that always make one, with a log P near a target.

    .. math:: \log R(x) = -(\operatorname{logP}(x) - g)^2 / \tau

    Strings are what is sampled: those that make one molecule share its log R each. What is no
    molecule (nothing but padding, or what RDKit refuses) counts as 25 away from the target. The
    symbols are those of the molecules that RDKit carries and that are short enough, which are the
    data, less those that fewer than ten have.

    Attributes:
        length: Symbols of the longest molecule, at least 8; the padding [nop] may stand anywhere.
        target: g, the log P that is wanted.
        tau: Temperature.

    Reference:
        Krenn et al., Self-referencing embedded strings (SELFIES), 2020,
        https://arxiv.org/abs/1905.13741
    """

    name: ClassVar[str] = "selfies"
    summary: ClassVar[str] = "molecules as SELFIES with a log P near a target"
    shortest: ClassVar[int] = 8

    length: Count = 20
    target: float = 4.0
    tau: Positive = 1.0

    @staticmethod
    def short(length: int) -> tuple[Alphabet, Tensor]:
        """Symbols of SELFIES, and the molecules."""
        return _short(length)

    @property
    def energy(self) -> LogReward[Tensor]:
        """How near the log P is to the target, computed once for each molecule."""
        return LogPReward(self.alphabet, self.target, self.tau)

    def encode(self, texts: list[str]) -> Tensor:
        """(N, D) symbols of SELFIES, padded at the end."""
        rows = [split_symbols(text) for text in texts]
        padded = [row + [NOTHING] * (self.length - len(row)) for row in rows]
        return super().encode([" ".join(row) for row in padded])

    def show(self, symbols: Tensor) -> list[str]:
        """SELFIES without the padding at their end, ``[?]`` where nothing is known."""
        rows = self.alphabet.decode(symbols, "[?]")
        return [re.sub(rf"({re.escape(NOTHING)})+$", "", row.replace(" ", "")) for row in rows]

    def smiles(self, symbols: Tensor) -> list[str | None]:
        """Canonical SMILES of N finished objects, None of what is no molecule."""
        return [molecule(text) for text in self.show(symbols)]

    def measure(self, symbols: Tensor) -> dict[str, float]:
        """Shares of molecules, different and new ones; mean and deviation of log P."""
        found = self.smiles(symbols)
        values = [log_p(text) for text in found if text is not None]
        count = max(1, len(values))
        mean = sum(values) / count
        spread = (sum((value - mean) ** 2 for value in values) / count) ** 0.5
        return {**quality(found, _known(self.length)), "log_p": mean, "log_p_deviation": spread}

    def pictures(self, symbols: Tensor, folder: Path) -> dict[str, Path]:
        """The first twelve molecules, and the log P of all beside that of the data."""
        found = {
            "sampled": [t for t in self.smiles(symbols) if t is not None],
            "data": [t for t in self.smiles(self.data.train) if t is not None],
        }
        values = {name: [log_p(text) for text in texts] for name, texts in found.items()}
        path = folder / "log_p.png"
        histogram(values, path, "log P", self.target, (self.tau / 2) ** 0.5)
        return {
            "molecules": molecules(found["sampled"], folder / "molecules.png", log_p),
            "log_p": path,
        }


class LogPReward(HostReward[Tensor]):
    r"""Minus the squared distance of log P from a target, over a temperature.

    Args:
        alphabet: Symbols of SELFIES.
        target: The log P that is wanted.
        tau: Temperature.
        capacity: Number of strings remembered.
    """

    def __init__(
        self, alphabet: Alphabet, target: float = 4.0, tau: float = 1.0, capacity: int = 1_000_000
    ) -> None:
        super().__init__(self._texts, self._values_of, capacity=capacity)
        self.alphabet, self.target, self.tau = alphabet, target, tau

    def _texts(self, states: Tensor) -> list[Any]:
        return [row.replace(NOTHING, "").replace(" ", "") for row in self.alphabet.decode(states)]

    def _values_of(self, texts: list[Any]) -> Sequence[float]:
        found = (molecule(text) for text in texts)
        gaps = (GAP if text is None else log_p(text) - self.target for text in found)
        return [-(gap**2) / self.tau for gap in gaps]

    def __repr__(self) -> str:
        return f"LogPReward(target={self.target:g}, tau={self.tau:g})"


def molecule(text: str) -> str | None:
    """Canonical SMILES of SELFIES; None of what makes no molecule.

    Raises:
        MissingExtraError: If RDKit or selfies is not installed.
    """
    package = _package()
    try:
        smiles = package.decoder(text)
    except package.DecoderError:
        return None
    return canonical(smiles)


def split_symbols(text: str) -> list[str]:
    """The symbols of SELFIES, one after the other.

    Raises:
        ConfigError: If the text is not made of symbols in brackets.
    """
    found = re.findall(r"\[[^\]\[]*\]", text)
    if "".join(found) != text:
        raise ConfigError(f"Selfies: {text!r} is not a row of symbols in brackets.")
    return found


def _package() -> Any:
    try:
        import selfies
    except ImportError as error:
        raise MissingExtraError("selfies", "mol", "Molecules as SELFIES") from error
    return selfies


@cache
def _short(length: int) -> tuple[Alphabet, Tensor]:
    """The alphabet of molecules of at most so many symbols, and (N, length) their symbols."""
    rows = common([row for row in _all_rows() if len(row) <= length])
    alphabet = Alphabet([*symbols_of(rows), NOTHING])
    padded = [[*row, *[NOTHING] * (length - len(row))] for row in rows]
    return alphabet, alphabet.encode([" ".join(row) for row in padded])


@cache
def _all_rows() -> tuple[tuple[str, ...], ...]:
    """The symbols of each molecule that SELFIES can write, each row once."""
    package, rows = _package(), []
    for smiles in bundled_smiles():
        try:
            rows.append(tuple(split_symbols(package.encoder(smiles))))
        except package.EncoderError:  # more bonds than an atom of the kind may have
            continue
    return tuple(dict.fromkeys(rows))


@cache
def _known(length: int) -> frozenset[str | None]:
    """Canonical SMILES of the molecules to train on."""
    made = Selfies(length)
    return frozenset(made.smiles(made.data.train))

"""Aligned DNA sequences as bit sets of nucleotides, equal columns counted once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.readers.alignments import FORMATS, read_alignment
from gflow.readers.phylip import write_out

# IUPAC codes: which of A, C, G, T (bits 1, 2, 4, 8) a letter may stand for. A gap says nothing.
NUCLEOTIDES = {
    "A": 1, "C": 2, "G": 4, "T": 8, "U": 8, "M": 3, "R": 5, "W": 9, "S": 6, "Y": 10, "K": 12,
    "V": 7, "H": 11, "D": 13, "B": 14, "N": 15, "X": 15, "?": 15, "-": 15,
}  # fmt: skip

WHERE = (
    "The eight standard alignments DS1-DS8 come as JSON with the repository "
    "tristandeleu/gfn-maxent-rl on GitHub, in gfn_maxent_rl/envs/phylo_gfn/datasets; any alignment "
    f"in {FORMATS} will do."
)


@dataclass(frozen=True, eq=False)
class Alignment:
    """N aligned sequences, reduced to what parsimony can see.

    Columns in which one nucleotide suits all sequences need no mutation in any tree and are left
    out; equal columns are kept once, with their number.

    Attributes:
        names: N taxa.
        patterns: (N, P) uint8 sets of nucleotides as bits.
        weights: (P,) int64 columns with that pattern.
        num_sites: Columns of the alignment as given.
    """

    names: tuple[str, ...]
    patterns: Tensor
    weights: Tensor
    num_sites: int

    @classmethod
    def from_sequences(
        cls, sequences: Mapping[str, str], match: str = "", ambiguous: bool = False
    ) -> "Alignment":
        """From sequences by name, all of one length, in IUPAC letters.

        Args:
            sequences: Letters by name; ``-`` and ``?`` for what is unknown.
            match: A character, usually a dot, that stands for the letter of the first sequence.
            ambiguous: Take sequences that look like amino acids: more than half of their letters
                are ambiguity codes, or a tenth are V, H, D and B.

        Raises:
            ConfigError: Fewer than two sequences, different lengths, an unknown letter, or letters
                that look like amino acids; with the sequence.
        """
        if not isinstance(sequences, Mapping) or not all(
            isinstance(x, str) for pair in sequences.items() for x in pair
        ):
            raise ConfigError(
                "Alignment: a dictionary is needed, its names and sequences being texts: "
                "{'human': 'ACGT', ...}."
            )
        names = tuple(sequences)
        if len(names) < 2:
            raise ConfigError(f"Alignment: need at least two sequences, got {len(names)}.")
        first = sequences[names[0]]
        rows = []
        for name, text in sequences.items():
            if len(text) != len(first) or not text:
                raise ConfigError(
                    f"Alignment: the sequence of {name!r} has {len(text)} letters and that of "
                    f"{names[0]!r} has {len(first)}. Align them first: all must have one length."
                )
            letters = write_out(text, first, match, f"Alignment: {name!r}").upper()
            unknown = sorted(set(letters) - set(NUCLEOTIDES))
            if unknown:
                raise ConfigError(
                    f"Alignment: the sequence of {name!r} contains {unknown}; allowed are the "
                    f"IUPAC letters {''.join(NUCLEOTIDES)}.{_hint(set(unknown))}"
                )
            rows.append([NUCLEOTIDES[letter] for letter in letters])
        if not ambiguous:
            _refuse_amino_acids("".join(sequences.values()).upper())
        columns = torch.tensor(rows, dtype=torch.uint8).T  # (sites, N)
        common = torch.full_like(columns[:, 0], 15)
        for column in columns.T:
            common &= column
        varied = columns[common == 0]
        patterns, weights = torch.unique(varied, dim=0, return_counts=True)
        return cls(names, patterns.T.contiguous(), weights, len(columns))

    @classmethod
    def from_file(cls, path: str | Path, ambiguous: bool = False) -> "Alignment":
        """From a file in FASTA, PHYLIP, NEXUS or JSON, compressed or not; see `readers.alignments`.

        Args:
            path: The file.
            ambiguous: See `from_sequences`.

        Raises:
            ConfigError: The file is missing, with where to get one, or holds something else.
        """
        found = read_alignment(path, WHERE)
        try:
            return cls.from_sequences(found, ambiguous=ambiguous)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, path: str | Path) -> "Alignment":
        """From a JSON object of sequences by name; `from_file`, which knows it by its brace."""
        return cls.from_file(path)

    @classmethod
    def simulate(cls, taxa: int, sites: int, mutation: float = 0.1, seed: int = 0) -> "Alignment":
        """Sequences that evolved along a random tree: a stand-in for data.

        Args:
            taxa: Number of sequences.
            sites: Length of each.
            mutation: Probability that a site is drawn anew along a branch.
            seed: Of tree and mutations.
        """
        generator = torch.Generator().manual_seed(seed)

        def evolved(sequence: Tensor) -> Tensor:
            fresh = torch.randint(4, (sites,), generator=generator)
            return fresh.where(torch.rand(sites, generator=generator) < mutation, sequence)

        alive = [torch.randint(4, (sites,), generator=generator)]
        while len(alive) < taxa:
            parent = alive.pop(int(torch.randint(len(alive), (), generator=generator)))
            alive += [evolved(parent), evolved(parent)]
        return cls.from_sequences(
            {f"taxon{i}": "".join("ACGT"[x] for x in row) for i, row in enumerate(alive)}
        )


def _hint(unknown: set[str]) -> str:
    if unknown <= set("EFILPQ*"):
        return " These are amino acids; parsimony here is that of nucleotides."
    if "." in unknown:
        return (
            " A dot may mean a gap, or the letter of the first sequence: write '-' or that letter, "
            "or pass match='.' in Python."
        )
    return ""


def _refuse_amino_acids(letters: str) -> None:
    """Refuse letters that are IUPAC codes by accident."""
    counted = Counter(letters)
    plain = sum(counted[letter] for letter in "ACGTU")
    triple = sum(counted[letter] for letter in "VHDB")
    known = plain + triple + sum(counted[letter] for letter in "MRWSYK")
    if plain < known / 2 or triple > known / 10:
        raise ConfigError(
            f"Alignment: {known - plain} of {known} letters are ambiguity codes, as if these were "
            f"amino acids. If they are nucleotides, pass --ambiguous (ambiguous=True in "
            f"Python); else give the nucleotides."
        )

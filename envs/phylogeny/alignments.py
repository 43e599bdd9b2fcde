"""Aligned DNA sequences as bit sets of nucleotides, equal columns counted once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gflow.errors import ConfigError

# IUPAC codes: which of A, C, G, T (bits 1, 2, 4, 8) a letter may stand for. A gap says nothing.
NUCLEOTIDES = {
    "A": 1, "C": 2, "G": 4, "T": 8, "U": 8, "M": 3, "R": 5, "W": 9, "S": 6, "Y": 10, "K": 12,
    "V": 7, "H": 11, "D": 13, "B": 14, "N": 15, "X": 15, "?": 15, "-": 15, ".": 15,
}  # fmt: skip


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
    def from_sequences(cls, sequences: Mapping[str, str]) -> "Alignment":
        """From sequences by name, all of one length, in IUPAC letters.

        Raises:
            ConfigError: Fewer than two sequences, different lengths, or an unknown letter.
        """
        names = tuple(sequences)
        lengths = {len(text) for text in sequences.values()}
        if len(names) < 2 or len(lengths) != 1 or lengths == {0}:
            raise ConfigError(
                f"Alignment: need at least two sequences of one length, got {len(names)} of "
                f"lengths {sorted(lengths)}. Align them first."
            )
        rows = []
        for name, text in sequences.items():
            unknown = sorted(set(text.upper()) - set(NUCLEOTIDES))
            if unknown:
                raise ConfigError(
                    f"Alignment: the sequence of {name!r} contains {unknown}; allowed are the "
                    f"IUPAC letters {''.join(NUCLEOTIDES)}."
                )
            rows.append([NUCLEOTIDES[letter] for letter in text.upper()])
        columns = torch.tensor(rows, dtype=torch.uint8).T  # (sites, N)
        common = torch.full_like(columns[:, 0], 15)
        for column in columns.T:
            common &= column
        varied = columns[common == 0]
        patterns, weights = torch.unique(varied, dim=0, return_counts=True)
        return cls(names, patterns.T.contiguous(), weights, len(columns))

    @classmethod
    def from_json(cls, path: str | Path) -> "Alignment":
        """From a JSON file that maps names to aligned sequences.

        Raises:
            ConfigError: The file is missing, with where to get one, or holds something else.
        """
        path = Path(path)
        if not path.is_file():
            raise ConfigError(
                f"Alignment: there is no file {path}. The eight standard alignments DS1-DS8 come "
                f"as JSON with the repository tristandeleu/gfn-maxent-rl on GitHub, in "
                f"gfn_maxent_rl/envs/phylo_gfn/datasets; any JSON object of aligned sequences by "
                f"name will do."
            )
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise ConfigError(f"Alignment: {path} is not JSON: {error}.") from error
        if not isinstance(found, dict) or not all(isinstance(x, str) for x in found.values()):
            raise ConfigError(f"Alignment: {path} must be a JSON object of sequences by name.")
        return cls.from_sequences(found)

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

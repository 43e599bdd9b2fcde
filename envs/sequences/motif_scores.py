"""A landscape of 8-mers in closed form, to try on what is meant for measured binding."""

import torch
from torch import Tensor

LENGTH = 8
WIDTH = 6


def motif_scores(shift: float = 0.0) -> Tensor:
    r"""(65536,) float64 made-up binding of all 8-mers in [0, 1], alike on both strands.

    A soft maximum over two motifs m of width 6, their three places k and both strands z:

    .. math:: E(x) = \frac{2}{3} \log \sum_{m, k, z} \exp(1.5 \sum_i W_m[i, z_{k + i}]),
              W_m[i, c] = \sin(1.3 (i + 1)(c + 1) + 0.7 m + \phi) + 0.5 \cos(2.1 i + 1.9 c (m + 1)),

    shifted and scaled to [0, 1]. The complement of the letter c is 3 - c. The index of a sequence
    reads it in base 4, first letter first. It stands for no transcription factor.

    Args:
        shift: The phase phi: others give other landscapes, 0.37 t for t = 0 ... 29, say.
    """
    index = torch.arange(4**LENGTH)
    letters = index[:, None] // 4 ** torch.arange(LENGTH - 1, -1, -1) % 4
    i = torch.arange(WIDTH, dtype=torch.float64)[:, None]
    c = torch.arange(4, dtype=torch.float64)
    fits = []
    for m in range(2):
        weight = (1.3 * (i + 1) * (c + 1) + 0.7 * m + shift).sin()
        weight = weight + 0.5 * (2.1 * i + 1.9 * c * (m + 1)).cos()
        for strand in (letters, (3 - letters).flip(1)):
            for k in range(LENGTH - WIDTH + 1):
                fits.append(weight[torch.arange(WIDTH), strand[:, k : k + WIDTH]].sum(1))
    energy = (1.5 * torch.stack(fits)).logsumexp(0) / 1.5
    return (energy - energy.min()) / (energy.max() - energy.min())

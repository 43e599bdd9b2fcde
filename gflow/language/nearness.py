"""Which of texts that are near each other stay."""

import torch
from torch import Tensor

from gflow.language.edits import edit_distance


def near_each_other(
    one: Tensor, length: Tensor, other: Tensor, other_length: Tensor, tolerance: float
) -> Tensor:
    """(M,) bool whether texts are equal, or their edit distance is below what is tolerated.

    Args:
        one: (M, L) int64 texts.
        length: (M,) int64.
        other: (M, L) int64.
        other_length: (M,) int64.
        tolerance: Times the sum of both lengths.
    """
    limit = tolerance * (length + other_length)
    gap = (length - other_length).abs()
    found = torch.zeros(len(length), dtype=torch.bool)
    rows = ((gap < limit) | (gap == 0)).nonzero().squeeze(1)
    if len(rows):
        width = int(torch.maximum(length[rows], other_length[rows]).max())
        distance = edit_distance(
            one[rows, :width],
            length[rows],
            other[rows, :width],
            other_length[rows],
            band=int(limit[rows].max()),
        )
        found[rows] = (distance == 0) | (distance < limit[rows])
    return found


def keep_the_better(
    stays: Tensor, known: Tensor, near: Tensor, score: Tensor, mine: Tensor, capacity: int
) -> None:
    """Let B new texts in one after the other, each where it is better than all that are near.

    Those go then; where nothing is near and the shelf is full, the worst goes if it is worse.

    Args:
        stays: (P, C + B) bool which of C places on P shelves, and of the new texts, are taken;
            changed in place.
        known: (P, C + B) their scores.
        near: (B, C + B) bool which of them each new one is near.
        score: (B,) of the new ones.
        mine: (B,) their shelves.
        capacity: C.
    """
    full, values = stays.numpy(), known.to(torch.float64).numpy()
    for i, (shelf, close, value) in enumerate(
        zip(mine.tolist(), near.numpy(), score.tolist(), strict=True)
    ):
        there, said = full[shelf], values[shelf]
        rivals = close & there
        if rivals.any():
            if said[rivals].max() >= value:
                continue
            there[rivals] = False
        elif there.sum() == capacity:
            held = there.nonzero()[0]
            worst = held[said[held].argmin()]
            if said[worst] >= value:
                continue
            there[worst] = False
        there[capacity + i] = True

"""Edit distances of many pairs of texts at once."""

import numpy as np
import torch
from torch import Tensor

PAIRS = 8192
"""Pairs that are compared at a time."""


def edit_distance(
    one: Tensor, length: Tensor, other: Tensor, other_length: Tensor, band: int
) -> Tensor:
    """(M,) int64 fewest tokens to put in, take out or replace to make one text of another.

    Only paths that leave the diagonal by at most `band` are looked at, which finds every distance
    up to it; of more distant pairs the answer is `band + 1`.

    Args:
        one: (M, n) int64 texts.
        length: (M,) int64 their lengths; what lies behind is not read.
        other: (M, m) int64 texts to compare them with.
        other_length: (M,) int64.
        band: Largest distance that matters.

    Example:
        >>> a, b = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 3, 4, 4]])
        >>> edit_distance(a, torch.tensor([3]), b, torch.tensor([3]), band=5)
        tensor([2])
    """
    found = []
    for rows in torch.arange(len(length)).split(PAIRS):
        a, n, b, m = (part[rows].numpy() for part in (one, length, other, other_length))
        found.append(_distance(a, n, b, m, band))
    return torch.from_numpy(np.concatenate(found)) if found else length.clone()


def _distance(
    one: np.ndarray, length: np.ndarray, other: np.ndarray, other_length: np.ndarray, band: int
) -> np.ndarray:
    """As `edit_distance`: cell k of row i is place (i, i + k - band) of the usual table."""
    offset = np.arange(-band, band + 1)
    far = band + 1
    steps = int(length.max(initial=0))
    # `other` with room for the band at both sides, where no token stands.
    room = ((0, 0), (band, band + max(steps - other.shape[1], 0) + 1))
    padded = np.pad(other, room, constant_values=-1)
    row = np.broadcast_to(np.where(offset >= 0, offset, far), (len(one), len(offset)))
    last = row
    for i in range(1, steps + 1):
        differs = padded[:, i - 1 : i + 2 * band] != one[:, i - 1, None]
        step = row + differs
        step[:, :-1] = np.minimum(step[:, :-1], row[:, 1:] + 1)
        step[:, offset < -i] = far
        if i <= band:
            step[:, band - i] = i
        # What is put in moves along the row, one a place.
        row = np.minimum.accumulate(step - offset, axis=1) + offset
        last = np.where((length == i)[:, None], row, last)
    place = other_length - length + band
    inside = (place >= 0) & (place <= 2 * band)
    found = last[np.arange(len(one)), np.clip(place, 0, 2 * band)]
    return np.where(inside, np.minimum(found, far), far).astype(np.int64)

"""Numbers for keys, in the order in which they were first seen: a hash table made of tensors."""

import torch
from torch import Tensor

from gflow.distinct import Distinct

SCATTER = 0x1E3779B97F4A7C15
"""Odd. Products with it, of which the upper bits are read, spread keys that follow one another."""

LEAST = 10
"""A table begins with 2^10 places."""


class NumberedKeys:
    """Gives the keys 0, 1, 2, ... as they come, and tells which are new.

    Looking up and adding take as long for a large table as for a small one. A key lies at the place
    that it is hashed to or at the first free one behind it; at most half of the places are taken.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._count = 0
        self._make(LEAST, torch.device(device))

    def __len__(self) -> int:
        return self._count

    def __call__(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) int64 the number of each key, and the rows of those that are new.

        Args:
            keys: (M,) int64.

        Returns:
            The numbers, and (F,) int64 the first row of each key that was not there, in the order
            of their numbers, which go on from ``len(self)`` as it was.
        """
        number = self._find(keys)
        missing = (number < 0).nonzero().squeeze(1)
        if not len(missing):
            return number, missing
        first, group = Distinct(None)(keys[missing])
        fresh = missing[first]
        number[missing] = self._count + group
        self._add(keys[fresh])
        return number, fresh

    def _make(self, bits: int, device: torch.device) -> None:
        self._bits = bits
        self._keys = torch.zeros(2**bits, dtype=torch.int64, device=device)
        self._numbers = torch.full((2**bits,), -1, dtype=torch.int64, device=device)

    def _home(self, keys: Tensor) -> Tensor:
        """(M,) the places that keys are hashed to."""
        place: Tensor = (keys * SCATTER >> (64 - self._bits)) & (2**self._bits - 1)
        return place

    def _find(self, keys: Tensor) -> Tensor:
        """(M,) the number of each key, -1 for those that are not there."""
        place = self._home(keys)
        number = self._numbers[place]
        rows = ((self._keys[place] != keys) & (number >= 0)).nonzero().squeeze(1)
        place = place[rows]
        while len(rows):  # another key lies there: look behind it
            place = (place + 1) & (2**self._bits - 1)
            found = self._numbers[place]
            number[rows] = found
            again = ((self._keys[place] != keys[rows]) & (found >= 0)).nonzero().squeeze(1)
            rows, place = rows[again], place[again]
        return number

    def _add(self, keys: Tensor) -> None:
        """Add (F,) keys that are not there, with the next numbers."""
        numbers = torch.arange(self._count, self._count + len(keys), device=keys.device)
        self._count += len(keys)
        bits = self._bits
        while 2 * self._count > 2**bits:
            bits += 1
        if bits > self._bits:
            taken = self._numbers >= 0
            keys = torch.cat([self._keys[taken], keys])
            numbers = torch.cat([self._numbers[taken], numbers])
            self._make(bits, keys.device)
        place = self._home(keys)
        while len(keys):
            free = (self._numbers[place] < 0).nonzero().squeeze(1)
            self._numbers[place[free]] = numbers[free]  # of several at one place one has its way
            lies = self._numbers[place] == numbers
            self._keys[place[lies]] = keys[lies]
            left = (~lies).nonzero().squeeze(1)
            keys, numbers = keys[left], numbers[left]
            place = (place[left] + 1) & (2**self._bits - 1)

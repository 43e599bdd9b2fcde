"""Rows of a memory in the order of their values, kept in order as rows come and go."""

import numpy as np
import torch
from torch import Tensor


class SortedIndex:
    """Slots sorted by value, ascending; of equal values the older comes first.

    Changing m of n entries sorts the m and merges: no sort of all n, however often they are drawn.
    The merging is numpy's, whose boolean masks are many times faster on CPUs than those of torch.

    Attributes:
        values: (n,) ascending.
        slots: (n,) int64 where each value belongs.
    """

    def __init__(self) -> None:
        self.values = torch.zeros(0)
        self.slots = torch.zeros(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.slots)

    def remove(self, slots: Tensor) -> None:
        """Forget (m,) slots."""
        if not len(slots) or not len(self):
            return
        gone = torch.zeros(int(torch.maximum(slots.max(), self.slots.max())) + 1, dtype=torch.bool)
        gone[slots] = True
        kept = ~gone.numpy()[self.slots.numpy()]
        self.values = torch.from_numpy(self.values.numpy()[kept])
        self.slots = torch.from_numpy(self.slots.numpy()[kept])

    def add(self, values: Tensor, slots: Tensor) -> None:
        """Note (m,) values of (m,) slots that are not there yet."""
        order = torch.argsort(values, stable=True)
        values, slots = values[order].contiguous(), slots[order]
        old = self.values.to(values.dtype)
        place = torch.searchsorted(old, values, right=True).numpy()
        self.values = torch.from_numpy(np.insert(old.numpy(), place, values.numpy()))
        self.slots = torch.from_numpy(np.insert(self.slots.numpy(), place, slots.numpy()))

"""Columns of tensors with numbered rows, written in place and grown when needed."""

from typing import Any

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.state import batch_size, tensors, tree_map


class Columns:
    """Up to `capacity` rows of tensors or states, by name.

    Args:
        capacity: Largest number of rows.
        like: For columns of states: one state of the kind, to restore them from a checkpoint.
    """

    def __init__(self, capacity: int, like: dict[str, Any]) -> None:
        self.capacity, self.like = capacity, like
        self.size = 0
        self._stored: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """The rows written so far of a column, or None if there is none of that name."""
        column = self._stored.get(name)
        return None if column is None else tree_map(lambda t: t[: self.size], column)

    def write(self, columns: dict[str, Any], slots: Tensor) -> None:
        """Put M rows of every column into (M,) int64 slots.

        Raises:
            ConfigError: If the columns are not those that are there.
        """
        if self.size and set(columns) != set(self._stored):
            raise ConfigError(
                f"Entries with {', '.join(sorted(columns))} cannot join those with "
                f"{', '.join(sorted(self._stored))}: either all have conditions, or none."
            )
        needed = int(slots.max()) + 1
        for name, new in columns.items():
            old = self._stored.get(name)
            if old is None:
                old = tree_map(lambda t: t[:0], new)
            self._stored[name] = tree_map(lambda o, n: self._written(o, n, slots, needed), old, new)
        self.size = max(self.size, needed)

    def rewrite(self, name: str, values: Tensor, slots: Tensor) -> None:
        """Put (M, ...) `values` of one column into slots that hold something."""
        self.get(name)[slots] = values.to(self.get(name).dtype)

    def _written(self, old: Tensor, new: Tensor, slots: Tensor, needed: int) -> Tensor:
        if len(old) < needed:
            rows = min(self.capacity, max(2 * len(old), needed))
            longer = new.new_zeros(rows, *new.shape[1:])
            longer[: len(old)] = old
            old = longer
        old[slots] = new.to(old.dtype)
        return old

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Copies of all rows."""
        return {name: [t.clone() for t in tensors(self.get(name))] for name in self._stored}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Take back what `state_dict` gave."""
        self._stored, self.size = {}, 0
        for name, saved in state.items():
            parts = iter(saved)
            like = self.like.get(name, torch.zeros(0))
            self._stored[name] = tree_map(lambda _: next(parts).clone(), like)  # noqa: B023
            self.size = batch_size(self._stored[name])


def narrowest(count: int) -> torch.dtype:
    """The smallest signed whole numbers that hold ``range(count)``: a byte for most games."""
    for dtype in (torch.int8, torch.int16, torch.int32):
        if count - 1 <= torch.iinfo(dtype).max:
            return dtype
    return torch.int64

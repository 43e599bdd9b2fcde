"""Find equal states by their keys, so that a network sees each only once."""

from collections.abc import Iterable
from hashlib import blake2b

import torch
from torch import Tensor

TABLE_LIMIT = 1 << 22


class Distinct:
    """Groups equal keys. Deterministic: a group is represented by its first member.

    Small key ranges use a table that is written before it is read and never cleared; large ones
    are sorted.

    Args:
        num_keys: Keys lie in ``range(num_keys)``; None if they may be any int64.
    """

    def __init__(self, num_keys: int | None) -> None:
        self.num_keys = num_keys if num_keys is not None and num_keys <= TABLE_LIMIT else None
        self._table: Tensor | None = None

    def __call__(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Rows that represent the U distinct keys, and for each key the number of its group.

        Args:
            keys: (N,) int64.

        Returns:
            (U,) int64 rows and (N,) int64 with ``keys[rows][groups] == keys``.
        """
        count = keys.shape[0]
        order = torch.arange(count, device=keys.device)
        if self.num_keys is None:
            _, groups = torch.unique(keys, return_inverse=True)
            first = torch.full_like(order, count).scatter_reduce_(0, groups, order, "amin")
            return first[: int(groups.max()) + 1 if count else 0], groups
        if self._table is None or self._table.device != keys.device:
            self._table = torch.empty(self.num_keys, dtype=torch.int64, device=keys.device)
        table = self._table
        table.index_fill_(0, keys, count)
        table.scatter_reduce_(0, keys, order, "amin")
        first = table[keys]
        rows = (first == order).nonzero().squeeze(1)
        place = torch.empty_like(order)
        place[rows] = torch.arange(rows.shape[0], device=keys.device)
        return rows, place[first]


def text_keys(texts: Iterable[str]) -> Tensor:
    """(B,) int64 that differ for different texts, and are the same in every process.

    Example:
        >>> text_keys(["CCO", "C", "CCO"]).unique().shape
        torch.Size([2])
    """
    digests = (blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return torch.tensor([int.from_bytes(d, "big", signed=True) for d in digests]).long()

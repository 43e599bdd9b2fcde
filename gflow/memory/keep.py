"""Which entries a full memory keeps, and which objects it takes in at all."""

from collections.abc import Callable, Hashable
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.memory.sorted_index import SortedIndex
from gflow.state import batch_size, take, tensors

Keep = Literal["recent", "best", "diverse"]

Distance = Callable[[Any, Any], Tensor]
"""M and N objects to their (M, N) distances."""

CHUNK = 4096
"""Stored objects that are compared with new ones at a time."""


def weakest(order: SortedIndex, log_reward: Tensor, excess: int) -> tuple[Tensor, Tensor]:
    """Which of n stored and m new entries are the `excess` lowest; of equal ones the older.

    Returns:
        Slots of the stored ones among them, and (m,) bool the new ones among them.
    """
    stored = order.values[:excess].to(log_reward.dtype)
    ranked = torch.argsort(torch.cat([stored, log_reward]), stable=True)[: max(excess, 0)]
    out = torch.zeros(len(stored) + len(log_reward), dtype=torch.bool)
    out[ranked] = True
    return order.slots[: len(stored)][out[: len(stored)]], out[len(stored) :]


def hamming(env: Environment[Any]) -> Distance:
    """Number of features in which two objects differ.

    Raises:
        IncompatibleError: When called, if the environment encodes no table of features.
    """

    def distance(a: Any, b: Any) -> Tensor:
        one, two = env.encode(a), env.encode(b)
        if not isinstance(one, Tensor) or one.dim() != 2:
            raise IncompatibleError(
                f"{env.name} encodes no (N, K) table of features, so the Hamming distance of its "
                f"objects is not defined. Give ReplayBuffer a `distance` of your own."
            )
        differing: Tensor = one[:, None] != two[None]
        return differing.sum(-1).to(torch.get_default_dtype())

    return distance


def far_apart(
    distance: Distance, cutoff: float, objects: Any, log_reward: Tensor, stored: Any
) -> Tensor:
    """(K,) rows of new objects at least `cutoff` from all stored and from each other, best first.

    Args:
        distance: Between objects.
        cutoff: Smallest distance allowed.
        objects: M new objects.
        log_reward: (M,) which of two that are close is taken: the better.
        stored: N objects that are there already.
    """
    rows = torch.arange(len(log_reward))
    for part in torch.arange(batch_size(stored)).split(CHUNK):
        if not len(rows):
            return rows
        near = distance(take(objects, rows), take(stored, part)) < cutoff
        rows = rows[~near.any(1)]
    rows = rows[torch.argsort(log_reward[rows], descending=True, stable=True)]
    if not len(rows):
        return rows
    among = (distance(take(objects, rows), take(objects, rows)) < cutoff).tolist()
    chosen: list[int] = []
    for k in range(len(rows)):
        if not any(among[k][other] for other in chosen):
            chosen.append(k)
    return rows[torch.tensor(chosen, dtype=torch.int64)]


def names(keys: Tensor | None, objects: Any, condition: Tensor | None) -> list[Hashable]:
    """What tells objects apart: key or content, and the condition that their reward depends on."""
    found: list[Hashable]
    if keys is not None:
        found = list(keys.tolist())
    else:
        found = [
            tuple(tuple(t[row].flatten().tolist()) for t in tensors(objects))
            for row in range(batch_size(objects))
        ]
    if condition is None:
        return found
    return list(zip(found, map(tuple, condition.tolist()), strict=True))

"""Which entries of a memory are drawn again: by rewards and by ranks."""

from typing import Literal

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.memory.sorted_index import SortedIndex

Draw = Literal["uniform", "reward", "prt", "rank", "top", "tenth"]

PRT_LEAST = 10
"""Fewer objects than this have no 90th percentile worth the name."""

RANK_FLATNESS = 0.01
"""k of the probabilities 1 / (k n + r) of ranks r = 0 (best), 1, ..."""


def uniform(count: int, size: int, generator: torch.Generator | None) -> Tensor:
    """(count,) of ``range(size)``, all equally likely."""
    return torch.randint(size, (count,), generator=generator, device=_device(generator)).cpu()


def by_reward(log_reward: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """(count,) rows in proportion to exp of (n,) `log_reward`."""
    weight = (log_reward - log_reward.max()).exp().to(_device(generator))
    return torch.multinomial(weight, count, replacement=True, generator=generator).cpu()


def prioritised(order: SortedIndex, count: int, generator: torch.Generator | None) -> Tensor:
    """(count,) slots: half of at least the 90th percentile, half of at most it.

    Entries equal to the percentile belong to both halves; of an odd number the upper half gets one
    more.

    Reference:
        Shen et al., Towards Understanding and Improving GFlowNet Training, 2023,
        https://arxiv.org/abs/2305.07170 (prioritised replay training)
    """
    size, values = len(order), order.values
    if size < PRT_LEAST:
        raise ConfigError(
            f"Prioritised replay needs at least {PRT_LEAST} objects, and {size} are remembered."
        )
    below, between = divmod(9 * (size - 1), 10)
    first, last = below + 1, below + 1  # first of the upper half, end of the lower
    if not between or values[below] == values[below + 1]:
        at = values[below : below + 1].contiguous()
        first = int(torch.searchsorted(values, at))
        last = int(torch.searchsorted(values, at, right=True))
    few = count // 2
    upper = first + uniform(count - few, size - first, generator)
    return order.slots[torch.cat([upper, uniform(few, last, generator)])]


def tenth(order: SortedIndex, count: int, generator: torch.Generator | None) -> Tensor:
    """(count,) slots: half from the tenth of highest reward, half from the rest.

    A memory of one entry has no rest, and gives that entry.
    """
    size = len(order)
    first = size - max(1, size // 10)
    few = count // 2 if first else 0
    upper = first + uniform(count - few, size - first, generator)
    return order.slots[torch.cat([upper, uniform(few, max(first, 1), generator)])]


def best(order: SortedIndex, count: int, top: int, generator: torch.Generator | None) -> Tensor:
    """(count,) slots, uniform among the `top` of highest reward."""
    size = len(order)
    return order.slots[size - 1 - uniform(count, min(top, size), generator)]


class ByRank:
    """P(rank r) in proportion to 1 / (k n + r), r = 0 for the best of n.

    Reference:
        Tripp et al., Sample-Efficient Optimization in the Latent Space of Deep Generative Models
        via Weighted Retraining, 2020, https://arxiv.org/abs/2006.09191
    """

    def __init__(self) -> None:
        self._cumulated = torch.zeros(0, dtype=torch.float64)

    def __call__(self, order: SortedIndex, count: int, generator: torch.Generator | None) -> Tensor:
        """(count,) slots."""
        size = len(order)
        if len(self._cumulated) != size:
            rank = torch.arange(size, dtype=torch.float64)
            self._cumulated = (1 / (RANK_FLATNESS * size + rank)).cumsum(0)
        u = torch.rand(
            count, generator=generator, device=_device(generator), dtype=torch.float64
        ).cpu()
        rank = torch.searchsorted(self._cumulated, u * self._cumulated[-1], right=True)
        return order.slots[size - 1 - rank.clamp(max=size - 1)]


def _device(generator: torch.Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")

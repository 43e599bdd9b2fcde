"""Single moves on the way to finished objects: what marginals are balanced on."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.marginals.orders import random_orders
from gflow.marginals.sites import Sites
from gflow.trajectories import Trajectories


def transitions(
    env: Environment[Any],
    sites: Sites,
    symbols: Tensor,
    generator: torch.Generator | None = None,
    size: Tensor | None = None,
) -> Trajectories[Any]:
    """B moves between parts of B finished objects, (B, D) symbols, in orders that are drawn.

    Args:
        env: The environment.
        sites: How symbols are written.
        symbols: (B, D) int64.
        generator: Source of orders and sizes.
        size: (B,) int64 how many places are known before each move; drawn by default.
    """
    count, places = symbols.shape
    device = symbols.device
    rank = random_orders(count, places, generator, device).argsort(1)
    if size is None:
        size = torch.randint(places, (count,), generator=generator, device=device)
    size = size[:, None]
    before = symbols.masked_fill(rank >= size, sites.symbols)
    after = symbols.masked_fill(rank > size, sites.symbols)
    place = (rank == size).long().argmax(1)
    value = symbols.gather(1, place[:, None]).squeeze(1)
    return Trajectories.transitions(
        env, sites.write(before), place * sites.symbols + value, sites.write(after), check=False
    )

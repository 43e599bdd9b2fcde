"""Random orders of places."""

import torch
from torch import Tensor


def random_orders(
    count: int,
    places: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """(count, places) int64 independent orders, all equally likely."""
    return torch.rand(count, places, generator=generator, device=device).argsort(1)

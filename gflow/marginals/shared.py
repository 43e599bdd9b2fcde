"""A perceptron of conditionals whose features the marginal reads."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.marginals.trunk import TrunkSites, silent


class SharedSites(TrunkSites):
    """A residual perceptron for conditionals, and a second one on its features for marginals.

    Args:
        places: D.
        symbols: K.
        width: Units.
        depth: Residual blocks of each.
    """

    @checked
    def __init__(self, places: Count, symbols: Count, width: Count = 256, depth: Count = 2) -> None:
        super().__init__(
            places,
            symbols,
            _Trunk(places, symbols, width, depth),
            nn.Sequential(
                _After(),
                nn.LayerNorm(width),
                silent(nn.Linear(width, places * symbols)),
                nn.Unflatten(1, (places, symbols)),
            ),
            nn.Sequential(
                nn.Linear(2 * width, width),
                *(_Block(width) for _ in range(depth)),
                nn.LayerNorm(width),
                silent(nn.Linear(width, places * (symbols + 1))),
                nn.Unflatten(1, (places, symbols + 1)),
            ),
        )


class _Trunk(nn.Module):
    """(N, 2 width): a sum of embeddings, before and after residual blocks."""

    def __init__(self, places: int, symbols: int, width: int, depth: int) -> None:
        super().__init__()
        bound = places**-0.5
        self.table = nn.Parameter(torch.empty(places * (symbols + 1), width).normal_(0, bound))
        self.register_buffer("offset", torch.arange(places) * (symbols + 1), persistent=False)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(depth)))

    def forward(self, symbols: Tensor) -> Tensor:
        offset: Any = self.offset
        first = F.embedding_bag(symbols + offset, self.table, mode="sum")
        return torch.cat([first, self.blocks(first)], 1)


class _After(nn.Module):
    """The latter half of such features."""

    def forward(self, features: Tensor) -> Tensor:
        return features.chunk(2, 1)[1]


class _Block(nn.Module):
    """A residual step of two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.narrow(F.leaky_relu(self.widen(self.norm(x))))
        return found

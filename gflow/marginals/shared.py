"""A perceptron of conditionals whose features the marginal reads."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.marginals.networks import SiteNetwork


class SharedSites(SiteNetwork):
    r"""A residual perceptron for conditionals, and a second one on its features for marginals.

    .. math:: \log p_\theta(x_S) = c + \sum_{i \in S} g_i(x_S)

    A marginal is a sum over known places, as a product of conditionals is, and that of nothing is
    one number. Where conditionals are fitted first, their features say most of what it needs.

    Args:
        places: D.
        symbols: K.
        width: Units.
        depth: Residual blocks of each.
    """

    @checked
    def __init__(self, places: Count, symbols: Count, width: Count = 256, depth: Count = 2) -> None:
        super().__init__()
        self.places, self.symbols = places, symbols
        self.trunk = _Trunk(places, symbols, width, depth)
        self.conditional = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, places * symbols))
        self.marginal = nn.Sequential(
            nn.Linear(2 * width, width),
            *(_Block(width) for _ in range(depth)),
            nn.LayerNorm(width),
            nn.Linear(width, places),
        )
        self.scale = nn.Parameter(torch.zeros(()))
        for head in (self.conditional, self.marginal):
            last: Any = head[-1]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    @property
    def conditional_part(self) -> nn.Module:
        """All but the second perceptron."""
        return nn.ModuleList([self.trunk, self.conditional])

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) by the second."""
        return self._marginal(symbols, *self._read(symbols))

    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) by the first."""
        return self._logits(self.trunk(symbols)[1])

    def both(self, symbols: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Either from one pass of the first."""
        first, features = self._read(symbols)
        asked = features if rows is None else features[rows]
        return self._marginal(symbols, first, features), self._logits(asked)

    def _read(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """(N, width) features before and after the blocks, as the marginal reads them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.fitted):
            found: tuple[Tensor, Tensor] = self.trunk(symbols)
        return found

    def _marginal(self, symbols: Tensor, first: Tensor, features: Tensor) -> Tensor:
        shares = self.marginal(torch.cat([first, features], 1))
        found: Tensor = shares.where(symbols < self.symbols, 0.0).sum(1) + self.scale
        return found

    def _logits(self, features: Tensor) -> Tensor:
        found: Tensor = self.conditional(features)
        return found.view(-1, self.places, self.symbols)


class _Trunk(nn.Module):
    """A sum of embeddings, before and after residual blocks."""

    def __init__(self, places: int, symbols: int, width: int, depth: int) -> None:
        super().__init__()
        bound = places**-0.5
        self.table = nn.Parameter(torch.empty(places * (symbols + 1), width).normal_(0, bound))
        self.register_buffer("offset", torch.arange(places) * (symbols + 1), persistent=False)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(depth)))

    def forward(self, symbols: Tensor) -> tuple[Tensor, Tensor]:
        offset: Any = self.offset
        first = F.embedding_bag(symbols + offset, self.table, mode="sum")
        return first, self.blocks(first)


class _Block(nn.Module):
    """A residual step of two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.narrow(F.leaky_relu(self.widen(self.norm(x))))
        return found

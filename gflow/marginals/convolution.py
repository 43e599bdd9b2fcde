"""A network of marginals and conditionals for pictures."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.marginals.networks import SiteNetwork


class ConvolutionSites(SiteNetwork):
    r"""A residual convolutional trunk with a head at each pixel, and a branch for the marginal.

    .. math:: \log p_\theta(x_S) = c + \sum_{i \in S} g_i(x_S)

    Pixels are places, row by row. A block reads the 5 x 5 pixels around each, or all of them if it
    has attention heads. The branch has a block of its own, and says a share for each known pixel.

    Args:
        height: Rows.
        width: Columns; D is their product.
        symbols: K.
        channels: Features of a pixel, a multiple of `heads`.
        depth: Blocks of the trunk.
        heads: Attention heads of each of these; 0 for convolutions alone.

    Reference:
        Liu et al., Generative marginalization models, 2024, https://arxiv.org/abs/2310.12920
    """

    @checked
    def __init__(
        self,
        height: Count,
        width: Count,
        symbols: Count,
        channels: Count = 32,
        depth: Count = 3,
        heads: Natural = 0,
    ) -> None:
        super().__init__()
        if heads and channels % heads:
            raise ConfigError(
                f"ConvolutionSites: channels must be a multiple of heads, got {channels} and "
                f"{heads}."
            )
        self.places, self.symbols = height * width, symbols
        self.trunk = _Trunk(height, width, symbols, channels, depth, heads)
        self.conditional = nn.Sequential(
            _Norm(channels), nn.GELU(), nn.Conv2d(channels, symbols, 1)
        )
        self.marginal = nn.Sequential(
            _Block(channels, 0),
            _Norm(channels),
            nn.Conv2d(channels, 4 * channels, 1),
            nn.GELU(),
            nn.Conv2d(4 * channels, 1, 1),
        )
        self.scale = nn.Parameter(torch.zeros(()))
        for head in (self.conditional, self.marginal):
            last: Any = head[-1]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    @property
    def conditional_part(self) -> nn.Module:
        """All but the branch of marginals."""
        return nn.ModuleList([self.trunk, self.conditional])

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) by the branch."""
        return self._marginal(symbols, self._read(symbols))

    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) at each pixel."""
        return self._logits(self.trunk(symbols))

    def both(self, symbols: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Either from one pass of the trunk."""
        features = self._read(symbols)
        asked = features if rows is None else features[rows]
        return self._marginal(symbols, features), self._logits(asked)

    def _read(self, symbols: Tensor) -> Tensor:
        """(N, channels, height, width) features, as the marginal reads them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.fitted):
            found: Tensor = self.trunk(symbols)
        return found

    def _marginal(self, symbols: Tensor, features: Tensor) -> Tensor:
        shares = self.marginal(features).flatten(1)
        found: Tensor = shares.where(symbols < self.symbols, 0.0).sum(1) + self.scale
        return found

    def _logits(self, features: Tensor) -> Tensor:
        found: Tensor = self.conditional(features).flatten(2).transpose(1, 2)
        return found


class _Trunk(nn.Module):
    """(N, D) symbols to (N, channels, height, width) features."""

    def __init__(
        self, height: int, width: int, symbols: int, channels: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.symbol = nn.Embedding(symbols + 1, channels)
        self.place = nn.Parameter(torch.empty(channels, height, width).normal_(0, 0.1))
        self.blocks = nn.Sequential(*(_Block(channels, heads) for _ in range(depth)))

    def forward(self, symbols: Tensor) -> Tensor:
        pixels = self.symbol(symbols).transpose(1, 2).unflatten(2, self.place.shape[1:])
        found: Tensor = self.blocks(pixels + self.place)
        return found


class _Block(nn.Module):
    """Two convolutions of 3 x 3 pixels, and attention to all pixels if there are heads."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(_Norm(channels) for _ in range(3 if heads else 2))
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        if heads:
            self.ask, self.mix = (
                nn.Conv2d(channels, 3 * channels, 1),
                nn.Conv2d(channels, channels, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, height, width)."""
        inner = self.first(F.gelu(self.norms[0](x)))
        x = x + self.second(F.gelu(self.norms[1](inner)))
        if not self.heads:
            return x
        asked = self.ask(self.norms[2](x)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = asked.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2)
        found: Tensor = x + self.mix(mixed.flatten(1, 2).unflatten(2, x.shape[2:]))
        return found


class _Norm(nn.LayerNorm):
    """Of the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, height, width)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)

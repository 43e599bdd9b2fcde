"""A network of marginals and conditionals for pictures."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.marginals.trunk import TrunkSites, silent


class ConvolutionSites(TrunkSites):
    """A residual convolutional trunk with a head at each pixel, and a branch for the marginal.

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
        if heads and channels % heads:
            raise ConfigError(
                f"ConvolutionSites: channels must be a multiple of heads, got {channels} and "
                f"{heads}."
            )
        super().__init__(
            height * width,
            symbols,
            _Trunk(height, width, symbols, channels, depth, heads),
            nn.Sequential(
                _Norm(channels),
                nn.GELU(),
                silent(nn.Conv2d(channels, symbols, 1)),
                nn.Flatten(2),
                _Places(),
            ),
            nn.Sequential(
                _Block(channels, 0),
                _Norm(channels),
                nn.Conv2d(channels, 4 * channels, 1),
                nn.GELU(),
                silent(nn.Conv2d(4 * channels, 1, 1)),
                nn.Flatten(1),
            ),
        )


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


class _Places(nn.Module):
    """Features first to places first."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, D) to (N, D, K)."""
        return x.transpose(1, 2)

"""A network of marginals and conditionals for pictures and lattices."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.marginals.trunk import TrunkSites, silent

Around = Literal["circular", "zeros"]

REACH = 2
"""Pixels in each direction that the first convolution sees, 5 x 5 in all."""


class ConvolutionSites(TrunkSites):
    """A residual convolutional trunk with two heads at each pixel, for conditionals and marginals.

    Pixels are places, row by row. First come windows of 5 x 5 pixels, linear in what is known;
    then blocks, each of which sees two pixels further, or all of them if it has attention heads.
    Heads read the windows as they are and what the blocks make of them, and if there are blocks
    the marginal has one of its own. Without blocks (depth 0) all is local and fast: enough for
    lattices whose spins feel their neighbours.

    Args:
        height: Rows.
        width: Columns; D is their product.
        symbols: K.
        channels: Features of a pixel, a multiple of `heads`.
        depth: Blocks of the trunk.
        heads: Attention heads of each of these; 0 for convolutions alone.
        periodic: Around a torus; else nothing is beyond the border.

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
        depth: Natural = 3,
        heads: Natural = 0,
        periodic: bool = False,
    ) -> None:
        if heads and channels % heads:
            raise ConfigError(
                f"ConvolutionSites: channels must be a multiple of heads, got {channels} and "
                f"{heads}."
            )
        if periodic and min(height, width) < REACH:
            raise ConfigError(
                f"ConvolutionSites: a torus needs at least {REACH} rows and columns, got {height} "
                f"and {width}. Set periodic=False."
            )
        around: Around = "circular" if periodic else "zeros"
        further = [_Block(channels, 0, around)] if depth else []
        norms = [_Norm(channels) if depth else nn.Identity() for _ in range(2)]
        super().__init__(
            height * width,
            symbols,
            _Trunk(height, width, symbols, channels, depth, heads, around),
            _Head(channels, symbols, norms[0], nn.GELU()),
            _Head(channels, symbols + 1, *further, norms[1], nn.GELU()),
        )


class _Trunk(nn.Module):
    """(N, D) symbols to (N, 2 channels, height, width): before the blocks, and after them."""

    def __init__(
        self,
        height: int,
        width: int,
        symbols: int,
        channels: int,
        depth: int,
        heads: int,
        around: Around,
    ) -> None:
        super().__init__()
        self.shape, self.known = (height, width), symbols + 1
        self.window = nn.Conv2d(
            symbols + 1, channels, 2 * REACH + 1, padding=REACH, padding_mode=around
        )
        self.place = nn.Parameter(torch.zeros(channels, height, width))
        self.blocks = nn.Sequential(*(_Block(channels, heads, around) for _ in range(depth)))

    def forward(self, symbols: Tensor) -> Tensor:
        pixels = F.one_hot(symbols, self.known).to(self.place.dtype).mT.unflatten(2, self.shape)
        first = self.window(pixels) + self.place
        return torch.cat([first, self.blocks(first)], 1)


class _Head(nn.Module):
    """(N, 2 channels, height, width) features to (N, D, out) numbers."""

    def __init__(self, channels: int, out: int, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.last = silent(nn.Conv2d(2 * channels, out, 1))

    def forward(self, features: Tensor) -> Tensor:
        first, after = features.chunk(2, 1)
        found: Tensor = self.last(torch.cat([first, self.layers(after)], 1))
        return found.flatten(2).mT


class _Block(nn.Module):
    """Two convolutions of 3 x 3 pixels, and attention to all pixels if there are heads."""

    def __init__(self, channels: int, heads: int, around: Around) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(_Norm(channels) for _ in range(3 if heads else 2))
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=around)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode=around)
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

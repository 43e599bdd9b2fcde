"""A transformer of marginals and conditionals."""

import torch
from torch import Tensor, nn

from gflow.bounds import Count
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.marginals.trunk import TrunkSites, silent


class TransformerSites(TrunkSites):
    """One transformer for both: features of each place, and a head for each on these.

    Args:
        places: D.
        symbols: K.
        width: Features of a place, a multiple of `heads`.
        depth: Layers.
        heads: Attention heads.
    """

    @checked
    def __init__(
        self,
        places: Count,
        symbols: Count,
        width: Count = 128,
        depth: Count = 4,
        heads: Count = 4,
    ) -> None:
        if width % heads:
            raise ConfigError(
                f"TransformerSites: width must be a multiple of heads, got {width} and {heads}."
            )
        super().__init__(
            places,
            symbols,
            _Attention(places, symbols, width, depth, heads),
            silent(nn.Linear(width, symbols)),
            nn.Sequential(
                nn.Linear(width, 4 * width),
                nn.GELU(),
                silent(nn.Linear(4 * width, symbols + 1)),
            ),
        )


class _Attention(nn.Module):
    """Features of every place, which looks at all others."""

    def __init__(self, places: int, symbols: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.symbol = nn.Embedding(symbols + 1, width)
        self.place = nn.Parameter(torch.empty(places, width).normal_(0, 0.02))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, symbols: Tensor) -> Tensor:
        found: Tensor = self.norm(self.layers(self.symbol(symbols) + self.place))
        return found

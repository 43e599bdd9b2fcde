"""Networks of marginals and conditionals: from some known symbols to numbers about the others."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.bounds import Count
from gflow.checks import checked
from gflow.errors import ConfigError


class SiteNetwork(nn.Module, ABC):
    """What `MarginalPolicy` learns: a marginal, and a conditional for each place.

    Attributes:
        places: D.
        symbols: K.
        fitted: Whether somebody else trains `conditional_part`, as `AnyOrderFit` does: objectives
            then send no gradient there.
    """

    places: int
    symbols: int
    fitted: bool = False

    @property
    def conditional_part(self) -> nn.Module:
        """All that conditionals depend on; the rest is for marginals alone.

        Raises:
            ConfigError: If the network does not say.
        """
        raise ConfigError(
            f"{type(self).__name__} does not say which part conditionals depend on: define the "
            f"property `conditional_part`, a module with all its parameters."
        )

    @abstractmethod
    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) log p of the known symbols, not normalised; (N, D) int64, K where none is known."""

    @abstractmethod
    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) logits of each place; those of known ones mean nothing."""

    def both(self, symbols: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N,) `log_marginal` of all and (R, D, K) `logits` of some rows, all by default.

        To be overridden where they share work.
        """
        return self.log_marginal(symbols), self.logits(symbols if rows is None else symbols[rows])


class ResidualSites(SiteNetwork):
    """Two residual perceptrons, one for marginals and one for conditionals.

    Args:
        places: D.
        symbols: K.
        width: Units.
        depth: Residual blocks of each.

    Reference:
        Liu et al., Generative marginalization models, 2024, https://arxiv.org/abs/2310.12920
    """

    @checked
    def __init__(self, places: Count, symbols: Count, width: Count = 256, depth: Count = 3) -> None:
        super().__init__()
        self.places, self.symbols = places, symbols
        self.marginal = _Residual(places, symbols, width, depth, 1)
        self.conditional = _Residual(places, symbols, width, depth, places * symbols)

    @property
    def conditional_part(self) -> nn.Module:
        """The second of them."""
        return self.conditional

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) by the one."""
        found: Tensor = self.marginal(symbols).squeeze(-1)
        return found

    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) by the other."""
        found: Tensor = self.conditional(symbols)
        return found.view(-1, self.places, self.symbols)


class _Residual(nn.Module):
    """A sum of embeddings, residual blocks, a linear layer."""

    def __init__(self, places: int, symbols: int, width: int, depth: int, out: int) -> None:
        super().__init__()
        bound = places**-0.5
        self.table = nn.Parameter(torch.empty(places * (symbols + 1), width).normal_(0, bound))
        self.register_buffer("offset", torch.arange(places) * (symbols + 1), persistent=False)
        self.blocks: Any = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)])
            for _ in range(depth)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, out)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, symbols: Tensor) -> Tensor:
        offset: Any = self.offset
        x = F.embedding_bag(symbols + offset, self.table, mode="sum")
        for norm, widen, narrow in self.blocks:
            x = x + narrow(F.leaky_relu(widen(norm(x))))
        found: Tensor = self.out(self.norm(x))
        return found


class TransformerSites(SiteNetwork):
    r"""One transformer for both: features of each place, and a head for each on these.

    .. math:: \log p_\theta(x_S) = c + \sum_{i \in S} g_i(x_S)

    A marginal is a sum over known places, as a product of conditionals is.

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
        super().__init__()
        if width % heads:
            raise ConfigError(
                f"TransformerSites: width must be a multiple of heads, got {width} and {heads}."
            )
        self.places, self.symbols = places, symbols
        self.trunk = _Attention(places, symbols, width, depth, heads)
        self.conditional = nn.Linear(width, symbols)
        self.marginal = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, 1)
        )
        self.scale = nn.Parameter(torch.zeros(()))
        heads_of: Any = (self.conditional, self.marginal[-1])
        for last in heads_of:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    @property
    def conditional_part(self) -> nn.Module:
        """All but the head of marginals."""
        return nn.ModuleList([self.trunk, self.conditional])

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) a sum of shares of the known places."""
        return self._marginal(symbols, self._read(symbols))

    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) of each feature."""
        found: Tensor = self.conditional(self.trunk(symbols))
        return found

    def both(self, symbols: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Either from one pass of the trunk."""
        features = self._read(symbols)
        asked = features if rows is None else features[rows]
        return self._marginal(symbols, features), self.conditional(asked)

    def _read(self, symbols: Tensor) -> Tensor:
        """(N, D, width) features, as the marginal reads them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.fitted):
            found: Tensor = self.trunk(symbols)
        return found

    def _marginal(self, symbols: Tensor, features: Tensor) -> Tensor:
        shares = self.marginal(features).squeeze(-1)
        found: Tensor = shares.where(symbols < self.symbols, 0.0).sum(1) + self.scale
        return found


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

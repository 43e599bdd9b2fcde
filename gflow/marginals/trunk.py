"""Networks of marginals and conditionals that share their features."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.marginals.networks import SiteNetwork


class TrunkSites(SiteNetwork):
    r"""One trunk, and on its features a head of conditionals and one of marginals.

    .. math:: \log p_\theta(x_S) = c + \sum_{i \in S} g_i(x_S)

    A marginal is a sum over known places, as a product of conditionals is, and that of nothing is
    one number. Where conditionals are fitted first, their features say most of what it needs.

    Args:
        places: D.
        symbols: K.
        trunk: (N, D) symbols to features, N first.
        conditional: Features to (N, D, K) logits.
        marginal: Features to (N, D) shares g.
    """

    def __init__(
        self, places: int, symbols: int, trunk: nn.Module, conditional: nn.Module, marginal: Any
    ) -> None:
        super().__init__()
        self.places, self.symbols = places, symbols
        self.trunk, self.conditional, self.marginal = trunk, conditional, marginal
        self.scale = nn.Parameter(torch.zeros(()))

    @property
    def conditional_part(self) -> nn.Module:
        """All but the head of marginals."""
        return nn.ModuleList([self.trunk, self.conditional])

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) a sum of shares of the known places."""
        return self._marginal(symbols, self._read(symbols))

    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) of each place."""
        found: Tensor = self.conditional(self.trunk(symbols))
        return found

    def both(self, symbols: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Either from one pass of the trunk."""
        features = self._read(symbols)
        asked = features if rows is None else features[rows]
        return self._marginal(symbols, features), self.conditional(asked)

    def _read(self, symbols: Tensor) -> Tensor:
        """Features, as the marginal reads them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.fitted):
            found: Tensor = self.trunk(symbols)
        return found

    def _marginal(self, symbols: Tensor, features: Tensor) -> Tensor:
        shares = self.marginal(features)
        found: Tensor = shares.where(symbols < self.symbols, 0.0).sum(1) + self.scale
        return found


def silent(layer: nn.Module) -> nn.Module:
    """A layer whose weights and biases are zero, so that nothing is said at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer

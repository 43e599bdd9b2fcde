"""Networks of marginals and conditionals that share their features."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.marginals.networks import SiteNetwork, open_choices


class TrunkSites(SiteNetwork):
    r"""One trunk, and on its features a head of conditionals and one of marginals.

    .. math:: \log p_\theta(x_S) = \sum_{i \in S} g_i(x_i; x_S)
              + \sum_{i \notin S} (\log K + u_i(x_S))

    Each place has a share: a known one for the symbol that it holds, an open one for what may
    still come. So a move changes the shares of one place and of what looks at it, and however
    many places there are, what is known of whole objects and of nothing is learned alike. Zeros
    are the solution of R = 1.

    Args:
        places: D.
        symbols: K.
        trunk: (N, D) symbols to features, N first.
        conditional: Features to (N, D, K) logits.
        marginal: Features to (N, D, K + 1) shares, g of each symbol and u.
    """

    def __init__(
        self, places: int, symbols: int, trunk: nn.Module, conditional: nn.Module, marginal: Any
    ) -> None:
        super().__init__()
        self.places, self.symbols = places, symbols
        self.trunk, self.conditional, self.marginal = trunk, conditional, marginal

    @property
    def conditional_part(self) -> nn.Module:
        """All but the head of marginals."""
        return nn.ModuleList([self.trunk, self.conditional])

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) a sum of shares of all places."""
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
        shares = self.marginal(features).gather(2, symbols[:, :, None])
        found: Tensor = shares.sum((1, 2)) + open_choices(symbols, self.symbols)
        return found


def silent(layer: nn.Module) -> nn.Module:
    """A layer whose weights and biases are zero, so that nothing is said at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer

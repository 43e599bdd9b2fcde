"""Networks of marginals and conditionals: from some known symbols to numbers about the others."""

import math
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
    r"""Two residual perceptrons, one for marginals and one for conditionals.

    .. math:: \log p_\theta(x_S) = \sum_{i \in S} g_i(x_i; x_S)
              + \sum_{i \notin S} (\log K + u_i(x_S))

    Beside what the blocks say, logits and shares g and u are linear in the symbols, which is all
    that energies of pairs need.

    Args:
        places: D.
        symbols: K.
        width: Units.
        depth: Residual blocks of each.
        linear: Whether there is the linear part, of 3 (D K)^2 numbers or so.

    Reference:
        Liu et al., Generative marginalization models, 2024, https://arxiv.org/abs/2310.12920
    """

    @checked
    def __init__(
        self,
        places: Count,
        symbols: Count,
        width: Count = 256,
        depth: Count = 3,
        linear: bool = True,
    ) -> None:
        super().__init__()
        self.places, self.symbols = places, symbols
        self.marginal = _Residual(places, symbols, width, depth, symbols + 1, linear)
        self.conditional = _Residual(places, symbols, width, depth, symbols, linear)

    @property
    def conditional_part(self) -> nn.Module:
        """The second of them."""
        return self.conditional

    def log_marginal(self, symbols: Tensor) -> Tensor:
        """(N,) by the one."""
        shares = self.marginal(symbols).gather(2, symbols[:, :, None])
        found: Tensor = shares.sum((1, 2)) + open_choices(symbols, self.symbols)
        return found

    def logits(self, symbols: Tensor) -> Tensor:
        """(N, D, K) by the other."""
        found: Tensor = self.conditional(symbols)
        return found


class _Residual(nn.Module):
    """A sum of embeddings, residual blocks, a linear layer: so many numbers for each place."""

    def __init__(
        self, places: int, symbols: int, width: int, depth: int, out: int, linear: bool
    ) -> None:
        super().__init__()
        bound, size = places**-0.5, places * (symbols + 1)
        self.places, self.out_each = places, out
        self.table = nn.Parameter(torch.empty(size, width).normal_(0, bound))
        self.linear = nn.Parameter(torch.zeros(size, places * out)) if linear else None
        self.register_buffer("offset", torch.arange(places) * (symbols + 1), persistent=False)
        self.blocks: Any = nn.ModuleList(
            nn.ModuleList([nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)])
            for _ in range(depth)
        )
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, places * out)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, symbols: Tensor) -> Tensor:
        offset: Any = self.offset
        rows = symbols + offset
        x = F.embedding_bag(rows, self.table, mode="sum")
        for norm, widen, narrow in self.blocks:
            x = x + narrow(F.leaky_relu(widen(norm(x))))
        found: Tensor = self.out(self.norm(x))
        if self.linear is not None:
            found = found + F.embedding_bag(rows, self.linear, mode="sum")
        return found.view(-1, self.places, self.out_each)


def open_choices(symbols: Tensor, none: int) -> Tensor:
    """(N,) log of the number of ways to fill the open places of (N, D) symbols, K or none."""
    return (symbols == none).sum(1) * math.log(none)

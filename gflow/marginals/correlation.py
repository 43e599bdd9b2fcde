"""Whether a marginal network and its conditionals agree about objects that resemble each other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gflow.bounds import Count, NotNegative
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.marginals.orders import random_orders
from gflow.marginals.policy import MarginalPolicy
from gflow.metrics.likelihood import pearson, spearman

FEWEST = 3
"""Objects that are needed for a correlation to say anything."""


@dataclass(frozen=True)
class Agreement:
    """Two log-probabilities of M objects around each of N items, and which of these are compared.

    Correlations are means over the items that have at least three to compare, NaN if none has.

    Attributes:
        network: (N, M) by the marginal network.
        ensemble: (N, M) by conditionals, the mean of p over several orders.
        kept: (N, M) bool objects far enough from each other in the latter.
    """

    network: Tensor
    ensemble: Tensor
    kept: Tensor

    @property
    def items(self) -> int:
        """Items that are counted."""
        return int((self.kept.sum(1) >= FEWEST).sum())

    @cached_property
    def spearman(self) -> float:
        """Correlation of the ranks."""
        return self._mean(spearman)

    @cached_property
    def pearson(self) -> float:
        """Linear correlation."""
        return self._mean(pearson)

    @property
    def gap(self) -> float:
        """Mean of the absolute difference, over all objects."""
        return float((self.network - self.ensemble).abs().mean())

    def _mean(self, correlation: Callable[[Tensor, Tensor], Tensor]) -> float:
        found = [
            float(correlation(a[keep], b[keep]))
            for a, b, keep in zip(self.network, self.ensemble, self.kept, strict=True)
            if int(keep.sum()) >= FEWEST
        ]
        return sum(found) / len(found) if found else math.nan


@checked
@torch.no_grad()
def agreement(
    policy: MarginalPolicy,
    states: Tensor,
    erase: Sequence[int],
    draws: Count = 1,
    threshold: NotNegative = 0.0,
    orders: Count = 5,
    generator: torch.Generator | None = None,
) -> Agreement:
    """How well the marginal network follows an ensemble of orders on objects near given ones.

    Of each object, so many random places are erased and drawn again from the conditionals, for
    each number in `erase` and several times. Of what comes out, sorted by the log-likelihood of
    the ensemble, those are compared that are more than a threshold above the last that is.

    Args:
        policy: Marginals and conditionals.
        states: N finished states.
        erase: Numbers of places.
        draws: Objects drawn for each number, each from its own places.
        threshold: Nats, or whatever logarithms are in.
        orders: Of the ensemble; D passes of the network for each.
        generator: Source of randomness.

    Raises:
        ConfigError: If more places than there are should be erased.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """
    places = policy.sites.places
    wrong = [number for number in erase if not 1 <= number <= places]
    if wrong or not erase:
        raise ConfigError(
            f"agreement: numbers in `erase` must lie in 1 ... {places}, got {list(erase)}."
        )
    symbols = policy.sites.read(states)
    each = len(erase) * draws
    count = torch.tensor([*erase], device=symbols.device).repeat_interleave(draws)
    size = count.repeat(len(symbols))[:, None]
    whole = symbols.repeat_interleave(each, 0)
    order = random_orders(len(whole), places, generator, symbols.device)
    known = whole.masked_fill(order.argsort(1) < size, policy.sites.symbols)
    found = policy.sample(policy.sites.write(known), generator=generator)
    ensemble = policy.log_likelihood(found, orders, generator).view(-1, each)
    network = policy.marginal(found).view(-1, each)
    return Agreement(network, ensemble, far_apart(ensemble, threshold))


def far_apart(values: Tensor, threshold: float) -> Tensor:
    """(N, M) bool: of each row the smallest, and whatever is above the last one by the threshold.

    Args:
        values: (N, M).
        threshold: What the difference must exceed.

    Example:
        >>> far_apart(torch.tensor([[5.0, 1.0, 1.5, 2.5]]), 1.0).tolist()
        [[True, True, False, True]]
    """
    ordered, rank = values.sort(1)
    last = ordered[:, 0]
    kept = [torch.ones_like(last, dtype=torch.bool)]
    for value in ordered[:, 1:].unbind(1):
        kept.append(value - last > threshold)
        last = value.where(kept[-1], last)
    return torch.stack(kept, 1).gather(1, rank.argsort(1))

"""Log-likelihood by a single conditional: what a marginal network spares one from."""

import torch
from torch import Tensor

from gflow.marginals.orders import random_orders
from gflow.marginals.policy import MarginalPolicy


def one_conditional(
    policy: MarginalPolicy,
    states: Tensor,
    order: Tensor | None = None,
    size: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""(N,) estimates of log p of N finished states from one conditional each (ARM-MC).

    .. math:: \hat\ell(x) = D \log p_\phi(x_{\sigma(d + 1)} \mid x_{\sigma(1)} \dots x_{\sigma(d)})

    with a random order and a random d in 0 ... D - 1. Unbiased for the mean over orders of
    log p along them, and of a variance that grows with D squared. It has a gradient.

    Args:
        policy: Gives the conditionals.
        states: N finished states.
        order: (N, D) int64 orders; drawn by default.
        size: (N,) int64 places that are known; drawn by default.
        generator: Source of both.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """
    symbols, places = policy.sites.read(states), policy.sites.places
    count, device = len(symbols), symbols.device
    if order is None:
        order = random_orders(count, places, generator, device)
    if size is None:
        size = torch.randint(places, (count,), generator=generator, device=device)
    hidden = order.argsort(1) >= size[:, None]
    place = order.gather(1, size[:, None]).squeeze(1)
    said = policy.log_conditionals(symbols.masked_fill(hidden, policy.sites.symbols))
    rows = torch.arange(count, device=device)
    return places * said[rows, place, symbols[rows, place]]

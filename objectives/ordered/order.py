r"""Order losses: log-rewards rho are to be ordered like scores, whatever their values.

Plain functions of rho, (B,) or (B, C) with columns compared apart from one another, and of raw
scores, (B, K), or (B, C, K) where they differ by column. u beats v if it is at least as large in
every score and larger in one. All return what each of the B items adds to the loss, in the shape of
rho; a column sums to its loss. Only differences of rho matter, and only the order of the scores.

Reference:
    Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gflow.errors import ShapeError

TIE = 1e-6
"""Scores this close are equal."""


def relation(scores: Tensor, tolerance: float = TIE) -> Tensor:
    """(B, B) int8: 1 where the row beats the column, -1 where it is beaten, 0 elsewhere.

    Scores are compared as they are, never as logarithms. Items that are equal, and items of which
    neither beats the other, are both 0. For scores (B, C, K) there is one matrix per column,
    (B, B, C).

    Args:
        scores: (B, K) or (B, C, K), all to be made large.
        tolerance: Scores this close are equal. With 0 "beats" is transitive; with more it need not
            be where scores differ by about that much.
    """
    delta = scores[:, None] - scores[None]
    above, below = (delta > tolerance).any(-1), (delta < -tolerance).any(-1)
    return (above & ~below).to(torch.int8) - (below & ~above).to(torch.int8)


def random_partner(count: int, generator: torch.Generator, group: Tensor | None = None) -> Tensor:
    """(B,) int64: each item's partner, from a random cycle through all, or through its group.

    A random permutation without fixed points, so that nobody is compared with itself unless alone.

    Args:
        count: B.
        generator: Source of randomness.
        group: (B,) int64 or None; partners are of the same group.
    """
    order = torch.randperm(count, generator=generator, device=generator.device)
    if group is None:
        partner = torch.empty_like(order)
        partner[order] = order.roll(-1)
        return partner
    order = order.to(group.device)
    order = order[torch.argsort(group[order], stable=True)]
    ranked = group[order]
    first = torch.searchsorted(ranked, ranked)  # where the group of each begins
    last = torch.searchsorted(ranked, ranked, right=True) - 1
    place = torch.arange(count, device=group.device)
    partner = torch.empty_like(order)
    partner[order] = order[torch.where(place < last, place + 1, first)]
    return partner


def pairwise(
    rho: Tensor,
    scores: Tensor,
    partner: Tensor,
    *,
    exists: Tensor | None = None,
    tolerance: float = TIE,
    limit: float | None = None,
) -> Tensor:
    r"""Cross-entropy of softmax(rho_i, rho_p(i)) with the order of the two, on average over i.

    The better of two has target 1, equal or incomparable ones have 1/2 each. Items that are their
    own partner are left out: they add a constant.

    Args:
        rho: (B,) or (B, C) log-rewards.
        scores: (B, K) or (B, C, K).
        partner: (B,) int64, a permutation; see `random_partner`.
        exists: Bool like rho, or None for all; others are compared with nothing.
        tolerance: See `relation`.
        limit: Largest loss of one comparison, which loses its gradient there; None for no limit.

    Returns:
        Shares, like rho.
    """
    value, known = _columns(rho, scores, exists)
    other = scores[partner]
    delta = scores - other
    above, below = (delta > tolerance).any(-1), (delta < -tolerance).any(-1)
    wins = ((above & ~below).to(value.dtype) - (below & ~above).to(value.dtype)).view(
        len(value), -1
    )
    place = torch.arange(len(value), device=partner.device)
    compared = known & known[partner] & (partner != place)[:, None]
    loss = _cross_entropy(value - value[partner], wins, limit).where(compared, 0.0)
    return (loss / compared.sum(0).clamp(min=1)).reshape(rho.shape)


def all_pairs(
    rho: Tensor,
    scores: Tensor,
    *,
    group: Tensor | None = None,
    exists: Tensor | None = None,
    tolerance: float = TIE,
    limit: float | None = None,
) -> Tensor:
    """The pairwise loss on average over all pairs i < j: `pairwise` without its noise.

    Its time and memory are those of B^2 numbers per column.

    Args:
        rho: (B,) or (B, C) log-rewards.
        scores: (B, K) or (B, C, K).
        group: (B,) int64 or None; only items of one group are compared.
        exists: Bool like rho, or None for all.
        tolerance: See `relation`.
        limit: Largest loss of one comparison.

    Returns:
        Shares, like rho; each pair counts half for each of the two.
    """
    value, known = _columns(rho, scores, exists)
    wins = relation(scores, tolerance).to(value.dtype).view(len(value), len(value), -1)
    compared = known[:, None] & known[None] & _pairs(group, value).triu(1)[..., None]
    gap = value[:, None] - value[None]
    loss = _cross_entropy(gap, wins, limit).where(compared, 0.0)
    share = (loss.sum(0) + loss.sum(1)) / 2
    return (share / compared.sum((0, 1)).clamp(min=1)).reshape(rho.shape)


def listwise(
    rho: Tensor,
    scores: Tensor,
    *,
    group: Tensor | None = None,
    exists: Tensor | None = None,
    tolerance: float = TIE,
    limit: float | None = None,
) -> Tensor:
    r"""Cross-entropy of softmax(rho) with the uniform distribution on the items that nobody beats.

    It equals KL(t || softmax) + log |front|. The front is that of the batch, which makes the loss
    biased: an item is pulled up as often as it is in the front of a batch, so beaten items keep
    mass. Equal items are all in the front.

    Args:
        rho: (B,) or (B, C) log-rewards.
        scores: (B, K) or (B, C, K).
        group: (B,) int64 or None; each group is a list, and lists of two or more count alike.
        exists: Bool like rho, or None for all.
        tolerance: See `relation`.
        limit: Largest share of one item in the loss of its list.

    Returns:
        Shares, like rho.
    """
    value, known = _columns(rho, scores, exists)
    beaten = relation(scores, tolerance).view(len(value), len(value), -1) < 0
    beaten = (beaten & known[None] & _pairs(group, value)[..., None]).any(1)
    front = known & ~beaten
    if group is None:
        group, count = torch.zeros(len(value), dtype=torch.int64, device=value.device), 1
    else:
        count = int(group.max()) + 1

    def total(part: Tensor) -> Tensor:
        return part.new_zeros(count, part.shape[1]).index_add(0, group, part)

    low = value.detach().masked_fill(~known, -torch.inf)
    index = group[:, None].expand_as(low)
    top = torch.full_like(total(low), -torch.inf).scatter_reduce(0, index, low, "amax")
    top = top.masked_fill(top == -torch.inf, 0.0)
    mass = total((value - top[group]).masked_fill(~known, -torch.inf).exp())
    log_mass = mass.masked_fill(mass == 0, 1.0).log()
    log_prob = value - top[group] - log_mass[group]
    members, best = total(known.to(value.dtype)), total(front.to(value.dtype))
    loss = (-log_prob / best[group].clamp(min=1)).where(front & (members[group] > 1), 0.0)
    if limit is not None:
        loss = loss.clamp(max=limit)
    return (loss / (members > 1).sum(0).clamp(min=1)).reshape(rho.shape)


def _cross_entropy(gap: Tensor, wins: Tensor, limit: float | None) -> Tensor:
    """Cross-entropy of softmax(gap, 0) with (1, 0), (1/2, 1/2) or (0, 1) for wins 1, 0 or -1."""
    target = (1 + wins) / 2
    loss = target * softplus(-gap) + (1 - target) * softplus(gap)
    return loss if limit is None else loss.clamp(max=limit)


def _pairs(group: Tensor | None, value: Tensor) -> Tensor:
    """(B, B) bool: of one group."""
    if group is None:
        return torch.ones(len(value), len(value), dtype=torch.bool, device=value.device)
    return group[:, None] == group


def _columns(rho: Tensor, scores: Tensor, exists: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, C) rho, with zeros where there is nothing, and (B, C) where there is something."""
    columns = rho.shape[1:] if scores.dim() == 3 else ()
    if rho.dim() not in (1, 2) or tuple(scores.shape[:-1]) != (len(rho), *columns):
        raise ShapeError(
            f"order loss: rho must have shape (B,) or (B, C) and scores (B, K) or (B, C, K), got "
            f"{tuple(rho.shape)} and {tuple(scores.shape)}."
        )
    value = rho.reshape(len(rho), -1)
    if exists is None:
        return value, torch.ones_like(value, dtype=torch.bool)
    known = exists.reshape(value.shape)
    return value.where(known, 0.0), known

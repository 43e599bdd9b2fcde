"""Distributions over legal actions: the one place where masks meet logits."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PART = 1 << 20
"""Numbers that `chosen_log_prob` works on at a time, so that no second table is made."""

WIDE = 64
"""Longer rows of bools are reduced as bytes, which on CPUs takes a tenth of the time."""


def some(mask: Tensor) -> Tensor:
    """(N, 1) bool: whether a row of (N, A) has a legal action."""
    if mask.shape[-1] <= WIDE:
        return mask.any(-1, keepdim=True)
    return mask.view(torch.uint8).amax(-1, keepdim=True).view(torch.bool)


def counted(mask: Tensor) -> Tensor:
    """(N,) how many legal actions the rows of (N, A) have."""
    if WIDE < mask.shape[-1] < 1 << 15:
        return mask.view(torch.uint8).sum(-1, dtype=torch.int16)
    return mask.sum(-1)


def masked_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """(N, A) log-probabilities over legal actions, -inf for the others.

    Rows without a legal action (finished objects, the source seen backwards) come out finite and
    meaningless instead of NaN, so that they poison neither values nor gradients. Nothing reads
    them.
    """
    return _legal(logits, mask).log_softmax(-1)


def chosen_log_prob(logits: Tensor, mask: Tensor, rows: Tensor, actions: Tensor) -> Tensor:
    """(...) log-probabilities of some actions, without an (N, A) table of all of them.

    The entries of `masked_log_softmax` at `rows` and `actions`. Nothing of the size of the logits
    is kept for the backward pass but the logits themselves.

    Args:
        logits: (N, A).
        mask: (N, A) bool legal actions.
        rows: (...) int64.
        actions: (...) int64.
    """
    found: Tensor = _Chosen.apply(logits, mask, rows.flatten(), actions.flatten())
    return found.view(actions.shape)


class _Chosen(torch.autograd.Function):
    """logit - logsumexp at (M,) rows and actions."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, mask: Tensor, rows: Tensor, actions: Tensor) -> Tensor:
        size = max(1, PART // logits.shape[1])
        parts = zip(logits.split(size), mask.split(size), strict=True)
        norm = torch.cat([_legal(part, ok).logsumexp(-1) for part, ok in parts])
        ctx.save_for_backward(logits, mask, rows, actions, norm)
        found = logits[rows, actions] - norm[rows]
        open_to = mask[rows, actions] | ~some(mask)[rows, 0]
        return found.masked_fill(~open_to, -torch.inf)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        logits, mask, rows, actions, norm = ctx.saved_tensors
        total = torch.zeros_like(norm).index_add_(0, rows, gradient)
        found, size = torch.empty_like(logits), max(1, PART // logits.shape[1])
        tables = (found, logits, norm[:, None], total.neg_()[:, None], mask)
        for out, part, less, weight, ok in zip(*(t.split(size) for t in tables), strict=True):
            torch.sub(part, less, out=out).exp_().mul_(weight)
            out.masked_fill_(~ok & some(ok), 0.0)
        found.index_put_((rows, actions), gradient, accumulate=True)
        return found, None, None, None


def _legal(logits: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask | ~some(mask), logits, -torch.inf)


def uniform_log_prob(mask: Tensor, classes: Tensor | None = None) -> Tensor:
    """(N,) log of one over the number of legal actions, equivalent ones counted once.

    Args:
        mask: (N, A) bool.
        classes: (N, A) int64 first action with the same result, or None if all differ.
    """
    if classes is not None:
        mask = representatives(mask, classes)
    return -counted(mask).clamp(min=1).log().to(torch.get_default_dtype())


def representatives(mask: Tensor, classes: Tensor) -> Tensor:
    """(N, A) bool: legal actions that come first in their class."""
    return mask & (classes == torch.arange(mask.shape[-1], device=mask.device))


def class_log_prob(log_prob: Tensor, classes: Tensor, actions: Tensor, exists: Tensor) -> Tensor:
    """(N,) log-probability of the class of each action: the sum over actions with its result.

    Args:
        log_prob: (N, A) log-probabilities of actions.
        classes: (N, A) int64 first action with the same result.
        actions: (N,) int64.
        exists: (N,) bool; the others come out finite and meaningless, so that their gradients
            cannot be NaN.
    """
    same = (classes == classes.gather(-1, actions[:, None])) | ~exists[:, None]
    return log_prob.masked_fill(~same, -torch.inf).logsumexp(-1)


def merge_classes(log_prob: Tensor, classes: Tensor) -> Tensor:
    """(N, A) for each action the log-probability of the first of its class, summed over the class.

    Entries that are the first of no class are -inf.
    """
    top = torch.full_like(log_prob, -torch.inf).scatter_reduce_(1, classes, log_prob, "amax")
    top = top.masked_fill(top == -torch.inf, 0.0)
    part = (log_prob - top.gather(1, classes)).exp()
    return torch.zeros_like(log_prob).scatter_add_(1, classes, part).log() + top


def sample_masked(logits: Tensor, mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """(N,) int64 actions drawn from softmax(logits) over legal ones, by the Gumbel-argmax trick.

    The mask is applied after the noise: whatever the noise, a forbidden action is -inf, and cannot
    be drawn while a legal one is left. No validation, no host read; can be captured.
    """
    return choose_masked(logits, mask, torch.empty_like(logits).uniform_(generator=generator))


def choose_masked(logits: Tensor, mask: Tensor, uniform: Tensor) -> Tensor:
    """(N,) int64 what `sample_masked` draws with given randomness, which it overwrites.

    Args:
        logits: (N, A).
        mask: (N, A) bool.
        uniform: (N, A) in [0, 1).
    """
    # An exponential variable by inversion: several times faster on CPUs than `exponential_`.
    noise = uniform.neg_().log1p_().neg_().log_()
    return torch.where(mask, torch.sub(logits, noise, out=noise), -torch.inf).argmax(-1)

"""Distributions over legal actions: the one place where masks meet logits."""

import torch
from torch import Tensor


def masked_log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """(N, A) log-probabilities over legal actions, -inf for the others.

    Rows without a legal action (finished objects, the source seen backwards) come out finite and
    meaningless instead of NaN, so that they poison neither values nor gradients. Nothing reads
    them.
    """
    dead = ~mask.any(-1, keepdim=True)
    return logits.masked_fill(~(mask | dead), -torch.inf).log_softmax(-1)


def uniform_log_prob(mask: Tensor, classes: Tensor | None = None) -> Tensor:
    """(N,) log of one over the number of legal actions, equivalent ones counted once.

    Args:
        mask: (N, A) bool.
        classes: (N, A) int64 first action with the same result, or None if all differ.
    """
    if classes is not None:
        mask = representatives(mask, classes)
    return -mask.sum(-1).clamp(min=1).log().to(torch.get_default_dtype())


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
    # An exponential variable by inversion: several times faster on CPUs than `exponential_`.
    noise = torch.empty_like(logits).uniform_(generator=generator).neg_().log1p_().neg_().log_()
    return torch.sub(logits, noise, out=noise).masked_fill_(~mask, -torch.inf).argmax(-1)

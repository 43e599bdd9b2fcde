"""The inside algorithm: the probability of a sentence, summed over all its trees."""

from typing import NoReturn

import torch
from torch import Tensor

from gflow.deferred import require
from gflow.envs.grammar.forest import NO_WORD
from gflow.envs.grammar.rules import Rules
from gflow.errors import ConfigError

NOTHING = -1e4
"""Log-scale of spans that no symbol derives."""


def log_marginal(rules: Rules, words: Tensor, spans: Tensor | None = None) -> Tensor:
    r"""(B,) log p(words), with gradients, for all sentences and all spans of one width at once.

    .. math:: \beta_{ij}(A \mid q) = \sum_{k, X, Y} p(A \to X Y \mid q)\,
              \beta_{ik}(X \mid A)\, \beta_{kj}(Y \mid A)

    with q the parent of A. Where expansions read it, this is the inside algorithm of the grammar
    over pairs [A, q]; where they do not, there is one q. Numbers are probabilities over the
    largest of their span, whose logarithm is kept apart, so that nothing underflows.

    Args:
        rules: Of the grammar.
        words: (B, L) int64, `NO_WORD` behind the last; at least two of each.
        spans: (B, L, L + 1) log-weights by which each node multiplies its tree: the gradient in
            them, at zero, holds the posterior probabilities of the spans.

    Raises:
        ConfigError: If a sentence has fewer than two words.

    Reference:
        Baker, Trainable grammars for speech recognition, 1979; Eisner, Inside-outside and
        forward-backward algorithms are just backprop, 2016
    """
    n, length = rules.nonterminals, (words != NO_WORD).sum(-1)
    require(length >= 2, _refuse_words, "sentences of two words or more")
    size, pairs = words.shape[1], rules.pairs.exp()
    contexts = torch.arange(n, device=words.device) if rules.reads_parent else slice(None)
    leaves = rules.words.exp()[contexts][:, :, words.clamp(min=0)]  # (C, M, B, L)
    leaves = torch.nn.functional.pad(leaves.permute(2, 3, 1, 0), (0, 0, n, 0))
    inner, scale = _scaled(leaves)
    betas, scales = [inner], [scale]  # of widths 1, 2, ...: (B, L - w + 1, N + M, C)
    totals = []
    for width in range(2, size + 1):
        starts = size - width + 1
        left = torch.stack([betas[a - 1][:, :starts] for a in range(1, width)], 2)
        right = torch.stack([betas[width - a - 1][:, a : a + starts] for a in range(1, width)], 2)
        log = torch.stack(
            [
                scales[a - 1][:, :starts] + scales[width - a - 1][:, a : a + starts]
                for a in range(1, width)
            ],
            2,
        )  # (B, starts, splits)
        largest = log.amax(-1, keepdim=True).detach()
        left = left * (log - largest).exp()[..., None, None]
        both = torch.einsum("bskxc,bskyc->bscxy", left, right)
        to = "bsaxy" if rules.reads_parent else "bszxy"
        found, scale = _scaled(torch.einsum(f"qaxy,{to}->bsaq", pairs, both))
        scale = scale + largest.squeeze(-1)
        if spans is not None:
            places = torch.arange(starts, device=words.device)
            scale = scale + spans[:, places, places + width]
        whole = found[:, 0, :, -1]  # under S, whose row is the last
        totals.append(torch.stack([(rules.top.exp() * whole).sum(-1), scale[:, 0]], -1))
        found = found[..., contexts]
        padding = found.new_zeros(*found.shape[:2], rules.preterminals, found.shape[3])
        betas.append(torch.cat([found, padding], 2))
        scales.append(scale)
    row = torch.arange(len(length), device=length.device)
    value, log = torch.stack(totals, 1)[row, length - 2].unbind(-1)
    return value.log() + log


def _refuse_words() -> NoReturn:
    raise ConfigError(
        "log_marginal: sentences have at least two words, as the topmost symbol is expanded into "
        "two. Leave out shorter ones."
    )


def _scaled(value: Tensor) -> tuple[Tensor, Tensor]:
    """(B, s, ...) over the largest number of each span, and its (B, s) logarithm."""
    largest = value.detach().flatten(2).amax(-1)
    there = largest > 0
    divisor = largest.where(there, 1.0)
    log = divisor.log().where(there, NOTHING)
    return value / divisor[:, :, None, None], log


def span_posterior(rules: Rules, words: Tensor) -> Tensor:
    """(B, L, L + 1) posterior probability that a node holds each span."""
    with torch.enable_grad():
        batch, size = words.shape
        spans = torch.zeros(batch, size, size + 1, device=words.device, dtype=rules.top.dtype)
        total = log_marginal(rules.detached(), words, spans.requires_grad_()).sum()
        return torch.autograd.grad(total, spans)[0]


def expected_parse(rules: Rules, words: Tensor) -> Tensor:
    """(B, L, L + 1) bool spans of the tree with the largest expected number of right spans.

    Reference:
        Goodman, Parsing algorithms and metrics, 1996
    """
    return best_spans(span_posterior(rules, words), (words != NO_WORD).sum(-1))


def best_spans(weight: Tensor, length: Tensor) -> Tensor:
    """(B, L, L + 1) bool spans of the binary tree with the largest sum of weights.

    Args:
        weight: (B, L, L + 1) of each span.
        length: (B,) int64 words of each sentence.
    """
    with torch.enable_grad():
        # The gradient of a maximum is what it is attained by.
        given = weight.detach().requires_grad_()
        size = given.shape[1]
        best = [given.new_zeros(len(given), size)]
        totals = []
        for width in range(2, size + 1):
            starts = size - width + 1
            places = torch.arange(starts, device=given.device)
            splits = torch.stack(
                [
                    best[a - 1][:, :starts] + best[width - a - 1][:, a : a + starts]
                    for a in range(1, width)
                ],
                -1,
            )
            best.append(splits.max(-1).values + given[:, places, places + width])
            totals.append(best[-1][:, 0])
        total = torch.stack(totals, -1).gather(1, length[:, None] - 2).sum()
        return torch.autograd.grad(total, given)[0] > 0.5

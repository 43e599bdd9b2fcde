"""How good parses and grammars are: bracketing F1, and likelihood per token."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gflow.errors import ShapeError


class F1(NamedTuple):
    """Unlabelled bracketing, between 0 and 1.

    Attributes:
        sentence: Mean over sentences of the F1 of each.
        corpus: F1 of all spans together.
    """

    sentence: float
    corpus: float


def bracketing(predicted: Tensor, gold: Tensor, length: Tensor) -> F1:
    """F1 of predicted spans, those of single words and of whole sentences left out.

    Of a sentence without gold spans everything was recalled; if none was predicted either, all is
    right.

    Args:
        predicted: (B, L, L + 1) bool spans by first word and first word after.
        gold: (B, L, L + 1) bool.
        length: (B,) int64 words of each sentence.

    Raises:
        ShapeError: If the tables have different shapes.
    """
    if predicted.shape != gold.shape:
        raise ShapeError(
            f"bracketing: tables of spans must have one shape, got {tuple(predicted.shape)} and "
            f"{tuple(gold.shape)}."
        )
    counts = judged(gold.shape[1], length)
    found = (predicted & counts).flatten(1)
    wanted = (gold & counts).flatten(1)
    right = (found & wanted).sum(-1).double()
    guessed, there = found.sum(-1).double(), wanted.sum(-1).double()
    recall = (right / there.clamp(min=1)).where(there > 0, 1.0)
    precision = (right / guessed.clamp(min=1)).where(guessed > 0, 1.0)
    both = precision + recall
    mean = (2 * precision * recall / both.clamp(min=1e-12)).mean()
    total = guessed.sum() + there.sum()
    return F1(float(mean), float(2 * right.sum() / total) if float(total) else 1.0)


def judged(size: int, length: Tensor) -> Tensor:
    """(B, L, L + 1) bool: spans that count, neither a word nor the whole sentence (0, n)."""
    first = torch.arange(size, device=length.device)[:, None]
    after = torch.arange(size + 1, device=length.device)
    several = after > first + 1
    whole = (first == 0) & (after == length[:, None, None])
    return several & ~whole


def nll_per_token(log_prob: Tensor, length: Tensor) -> float:
    """Nats per token of sentences with (B,) log-probabilities; the end of each is a token, too."""
    tokens = float((length + 1).sum())
    return -float(log_prob.double().sum()) / tokens


def perplexity(log_prob: Tensor, length: Tensor) -> float:
    """The exponential of `nll_per_token`."""
    return math.exp(nll_per_token(log_prob, length))

"""Logits that are not there yet: features, and the layer that would make a table of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

PART = 1 << 24
"""Logits that are made at a time."""


@dataclass(frozen=True)
class Projected:
    """N rows of features in place of (N, V) logits, which are made a part at a time and forgotten.

    With a vocabulary of 50,000 the logits of a batch of texts outweigh all else. Losses ask for a
    few of each row and for the normaliser, which is made anew in the backward pass.

    Attributes:
        features: (N, W).
        head: Gives the logits.
    """

    features: Tensor
    head: nn.Linear

    def __len__(self) -> int:
        return len(self.features)

    @property
    def num_tokens(self) -> int:
        """V."""
        return self.head.out_features

    def table(self) -> Tensor:
        """(N, V) all of them, in at least single precision."""
        return _wide(self.head(self.features))

    def take(self, rows: Tensor) -> "Projected":
        """Some of the rows."""
        return self.each(lambda features: features[rows])

    def each(self, change: Callable[[Tensor], Tensor]) -> "Projected":
        """The same with other features."""
        return Projected(change(self.features), self.head)

    @staticmethod
    def joined(parts: "Sequence[Projected]") -> "Projected":
        """All rows of several, by the head of the first."""
        return Projected(torch.cat([part.features for part in parts]), parts[0].head)

    def chosen(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """(...) the logits of `tokens` at `rows`, both (...) int64."""
        weight = _wide(self.head.weight[tokens])
        found = (_wide(self.features[rows]) * weight).sum(-1)
        return found if self.head.bias is None else found + _wide(self.head.bias[tokens])

    def log_norm(self, shift: Tensor) -> Tensor:
        """(N,) log of the sum over tokens of exp(logit + shift).

        Args:
            shift: (V,), -inf for tokens that are left out.
        """

        def part(features: Tensor) -> Tensor:
            return (_wide(self.head(features)) + shift).logsumexp(-1)

        size = max(1, PART // self.num_tokens)
        if len(self) <= size:
            return part(self.features)
        parts = self.features.split(size)
        if not torch.is_grad_enabled():
            return torch.cat([part(features) for features in parts])
        return torch.cat([checkpoint(part, one, use_reentrant=False) for one in parts])


def _wide(values: Tensor) -> Tensor:
    """In single precision if they are in half of it."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values

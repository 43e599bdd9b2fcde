"""Probabilities of the rules of a binary grammar, whose expansions may depend on the parent."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gflow.errors import ShapeError


@dataclass(frozen=True)
class Rules:
    """Log-probabilities of S -> A, A -> X Y and T -> w.

    There are N nonterminals A, which are expanded into two symbols, and M preterminals T, which
    become words; X and Y are any of these N + M symbols, nonterminals first. Expansions depend on
    the symbol alone (Q = 1) or on its parent too (Q = N + 1: each nonterminal, and S, the last,
    which is the parent of the topmost symbol).

    Attributes:
        top: (N,) S -> A.
        pairs: (Q, N, N + M, N + M) A -> X Y under each parent of A.
        words: (Q, M, V) T -> w under each parent of T.
    """

    top: Tensor
    pairs: Tensor
    words: Tensor

    def __post_init__(self) -> None:
        n, m = self.top.shape[-1], self.words.shape[1]
        contexts = self.pairs.shape[0]
        fits = (
            tuple(self.pairs.shape) == (contexts, n, n + m, n + m)
            and self.words.shape[0] == contexts
            and contexts in (1, n + 1)
        )
        if not fits:
            raise ShapeError(
                f"Rules: top (N,), pairs (Q, N, N + M, N + M) and words (Q, M, V) with Q = 1 or "
                f"N + 1, got {tuple(self.top.shape)}, {tuple(self.pairs.shape)} and "
                f"{tuple(self.words.shape)}."
            )

    @property
    def nonterminals(self) -> int:
        """N."""
        return self.top.shape[0]

    @property
    def preterminals(self) -> int:
        """M."""
        return self.words.shape[1]

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.words.shape[2]

    @property
    def reads_parent(self) -> bool:
        """Whether expansions depend on the parent."""
        return self.pairs.shape[0] > 1

    def under(self, parent: Tensor) -> Tensor:
        """Row of `pairs` and `words` for parents numbered 0 ... N - 1, and N for S."""
        return parent if self.reads_parent else torch.zeros_like(parent)

    def detached(self) -> "Rules":
        """The same numbers without gradients."""
        return Rules(self.top.detach(), self.pairs.detach(), self.words.detach())

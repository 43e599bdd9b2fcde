"""Categorical laws: moves that are numbered."""

from collections.abc import Callable
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from gflow.environment.law import Law
from gflow.masking import (
    chosen_log_prob,
    class_log_prob,
    masked_log_softmax,
    merge_classes,
    representatives,
    sample_masked,
    uniform_log_prob,
)

TABLE_ACTIONS = 1024
"""With more actions than this no table of log-probabilities is made: moves are asked for one by
one, and what is kept for the backward pass are the logits themselves."""

Classes = Callable[[], Tensor | None]


class Categorical(Law[Tensor]):
    """softmax(logits) over legal actions, in which equivalent actions count as one move.

    Shapes: N laws, A actions.

    Args:
        logits: (N, A), or None for equal probabilities.
        mask: (N, A) bool legal actions.
        classes: Gives (N, A) int64, for each action the first legal one with the same result, or
            None if all differ. It is called when a probability is asked for: drawing needs none.
            Without logits, or where they speak of results and not of actions, only the first of
            each class may be legal.
    """

    def __init__(self, logits: Tensor | None, mask: Tensor, classes: Classes | None = None) -> None:
        self.mask = mask
        self._classes, self._even = classes, logits is None
        if logits is not None:
            self.logits = logits

    @cached_property
    def logits(self) -> Tensor:
        """(N, A), zeros for equal probabilities."""
        return torch.zeros(self.mask.shape, device=self.mask.device)

    @cached_property
    def classes(self) -> Tensor | None:
        """(N, A) int64 first legal action with the same result; None if all differ."""
        return None if self._classes is None else self._classes()

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Tensor, None]:
        """(N,) int64 actions, the stop being one of them; there is no noise to add."""
        return sample_masked(self.logits, self.mask, generator), None

    def log_prob(
        self, moves: Tensor, rows: Tensor | None = None, exists: Tensor | None = None
    ) -> Tensor:
        """(...) log-probabilities of legal actions, those with the same result together.

        Args:
            moves: (N,) int64, or (...) together with `rows`.
            rows: (...) int64 in which law each is asked for; by default one in each.
            exists: (...) bool; the others are 0 and send no gradient, whatever is asked for.
        """
        if self._even:
            found = self._uniform if rows is None else self._uniform[rows]
        else:
            if rows is None:
                rows = torch.arange(len(moves), device=moves.device)
            found = self._chosen(moves, rows, exists)
        return found if exists is None else found.where(exists, 0.0)

    def _chosen(self, moves: Tensor, rows: Tensor, exists: Tensor | None) -> Tensor:
        actions = self.mask.shape[1]
        if self.classes is not None:
            there = torch.ones_like(moves, dtype=torch.bool) if exists is None else exists
            at, flat = rows.flatten(), moves.flatten()
            found = class_log_prob(self._table[at], self.classes[at], flat, there.flatten())
            return found.view(moves.shape)
        if actions > TABLE_ACTIONS:
            return chosen_log_prob(self.logits, self.mask, rows, moves)
        return self._table.view(-1)[rows * actions + moves]

    def of(self, action: int) -> Tensor:
        """(N,) log-probability of one action by itself; -inf where it is illegal."""
        if self.mask.shape[1] > TABLE_ACTIONS:
            rows = torch.arange(len(self.mask), device=self.mask.device)
            return chosen_log_prob(self.logits, self.mask, rows, torch.full_like(rows, action))
        return self._table[:, action]

    def log_prob_and(
        self, action: int, moves: Tensor, rows: Tensor, exists: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`log_prob` of (...) moves and `of` one action, with one pass over many actions."""
        if self._even or self.mask.shape[1] <= TABLE_ACTIONS or self.classes is not None:
            return self.log_prob(moves, rows, exists), self.of(action)
        each = torch.arange(len(self.mask), device=moves.device)
        asked = torch.cat([moves.flatten(), torch.full_like(each, action)])
        both = chosen_log_prob(self.logits, self.mask, torch.cat([rows.flatten(), each]), asked)
        chosen, single = both.split([moves.numel(), len(each)])
        return chosen.view(moves.shape).where(exists, 0.0), single

    def table(self) -> Tensor:
        """(N, A) log-probability of what each legal action leads to; -inf for others.

        Rows without a legal action are meaningless where there are no classes.
        """
        if self.classes is None:
            return self._table
        legal = self._table.masked_fill(~self.mask, -torch.inf)
        return merge_classes(legal, self.classes).gather(1, self.classes)

    @property
    def distinct(self) -> Tensor:
        """(N, A) bool: legal actions, only the first of those with one result."""
        return self.mask if self.classes is None else representatives(self.mask, self.classes)

    def take(self, rows: Tensor) -> "Categorical":
        """The laws of some of the states; see `Law.take`."""

        def classes() -> Tensor | None:
            return None if self.classes is None else self.classes[rows]

        return Categorical(None if self._even else self.logits[rows], self.mask[rows], classes)

    def where(self, condition: Tensor, other: Law[Tensor]) -> "Categorical":
        """Row by row this law where `condition` (N,) holds, else `other`, of the same actions."""
        other = cast(Categorical, other)
        rows = condition[:, None]
        logits = torch.where(rows, self.logits, other.logits.to(self.logits.dtype))
        mask = torch.where(rows, self.mask, other.mask)

        def classes() -> Tensor | None:
            mine, theirs = self.classes, other.classes
            if mine is None and theirs is None:
                return None
            each = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
            return torch.where(
                rows, each if mine is None else mine, each if theirs is None else theirs
            )

        return Categorical(logits, mask, classes)

    @cached_property
    def _table(self) -> Tensor:
        return masked_log_softmax(self.logits, self.mask)

    @cached_property
    def _uniform(self) -> Tensor:
        return uniform_log_prob(self.mask)

"""Atoms: the part of a distribution that has a probability instead of a density."""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F


class Atom:
    """One event for each of N rows that has a probability of its own: a stop, a move home.

    Where the event is forced or ruled out the log-probability is exactly 0 or -inf, whatever the
    logit, and no gradient flows.

    Args:
        logit: (N,) logits of the event.
        forced: (N,) bool: it happens for certain.
        ruled_out: (N,) bool: it cannot happen, even where it is forced.
    """

    def __init__(self, logit: Tensor, forced: Tensor, ruled_out: Tensor) -> None:
        forced = forced & ~ruled_out
        self.forced, self.ruled_out = forced, ruled_out
        self.yes = (
            F.logsigmoid(logit).masked_fill(forced, 0.0).masked_fill(ruled_out, -torch.inf)
        )  # (N,) log-probability that it happens
        self.no = (
            F.logsigmoid(-logit).masked_fill(forced, -torch.inf).masked_fill(ruled_out, 0.0)
        )  # (N,) log-probability that it does not

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(N,) bool: whether it happens."""
        u = torch.rand(
            self.yes.shape, dtype=self.yes.dtype, device=self.yes.device, generator=generator
        )
        return ((u < self.yes.exp()) | self.forced) & ~self.ruled_out

    def take(self, rows: Tensor) -> "Atom":
        """The events of some rows."""
        some = copy.copy(self)
        some.forced, some.ruled_out = self.forced[rows], self.ruled_out[rows]
        some.yes, some.no = self.yes[rows], self.no[rows]
        return some

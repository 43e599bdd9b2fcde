"""The law of the next token, without a table of all of them."""

from functools import cached_property

import torch
from torch import Tensor

from gflow.environment.categorical import Categorical
from gflow.language.projected import Projected


class TokenLaw(Categorical):
    """softmax over legal tokens, asked for one token a row and for the stop.

    Shapes: N laws, V tokens.

    Args:
        scores: The logits that are not there yet.
        legal: (V,) bool tokens that may be written, the stop not among them.
        stop_token: Number of the stop.
        write: (N,) bool whether tokens may be written.
        stop: (N,) bool whether the stop may.
        says: (N,) int64 the one token that is certain where it is no choice, -1 elsewhere; or None.
    """

    def __init__(
        self,
        scores: Projected,
        legal: Tensor,
        stop_token: int,
        write: Tensor,
        stop: Tensor,
        says: Tensor | None = None,
    ) -> None:
        self.scores, self.legal, self.stop_token = scores, legal, stop_token
        self.write, self.stop, self.says = write, stop, says
        self._classes, self._even = None, False

    @cached_property
    def logits(self) -> Tensor:
        """(N, V), made when somebody wants all of them."""
        return self.scores.table()

    @cached_property
    def mask(self) -> Tensor:  # type: ignore[override]
        """(N, V) bool legal tokens, made when somebody wants all of them."""
        mask = self.write[:, None] & self.legal
        mask[:, self.stop_token] = self.stop
        if self.says is None:
            return mask
        only = self.says[:, None] == torch.arange(len(self.legal), device=mask.device)
        return torch.where(self.says[:, None] >= 0, only, mask)

    @cached_property
    def log_norm(self) -> Tensor:
        """(N,) log-normalisers; 0 where nothing is to be chosen."""
        shift = torch.zeros(len(self.legal), device=self.legal.device)
        written = self.scores.log_norm(shift.masked_fill(~self.legal, -torch.inf))
        both = torch.stack([written, self._stop_logit], 1)
        may = torch.stack([self.write, self.stop], 1)
        none = ~may.any(1, keepdim=True)
        found = both.masked_fill(~(may | none), -torch.inf).logsumexp(1)
        return found.masked_fill(none.squeeze(1), 0.0)

    @cached_property
    def _stop_logit(self) -> Tensor:
        rows = torch.arange(len(self.scores), device=self.legal.device)
        return self.scores.chosen(rows, torch.full_like(rows, self.stop_token))

    def _chosen(self, moves: Tensor, rows: Tensor, exists: Tensor | None) -> Tensor:
        found = self.scores.chosen(rows, moves) - self.log_norm[rows]
        stops = moves == self.stop_token
        may = torch.where(stops, self.stop[rows], self.write[rows] & self.legal[moves])
        if self.says is None:
            return found.masked_fill(~may, -torch.inf)
        told = self.says[rows]
        found = found.masked_fill(~may & (told < 0), -torch.inf)
        return torch.where(told >= 0, torch.where(told == moves, 0.0, -torch.inf), found)

    def log_prob_and(
        self, action: int, moves: Tensor, rows: Tensor, exists: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both, which share the normalisers."""
        return self.log_prob(moves, rows, exists), self.of(action)

    def of(self, action: int) -> Tensor:
        """(N,) log-probability of one token; -inf where it is illegal."""
        rows = torch.arange(len(self.scores), device=self.legal.device)
        return self._chosen(torch.full_like(rows, action), rows, None)

    def take(self, rows: Tensor) -> "TokenLaw":
        """The laws of some of the states."""
        says = None if self.says is None else self.says[rows]
        return TokenLaw(
            self.scores.take(rows),
            self.legal,
            self.stop_token,
            self.write[rows],
            self.stop[rows],
            says,
        )

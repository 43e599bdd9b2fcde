"""A first layer that reads what changed: for states of many features, of which a move changes few.

Before its first nonlinearity a network has summed a row of weights for each feature. From one state
of a trajectory to the next it is enough to add the rows of the features that are new and to take
those of the old ones away: for K features the work on a state falls from K rows to a comparison.
"""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.policies.base import PolicyOutput, Session
from gflow.policies.heads import TrunkPolicy
from gflow.state import take
from gflow.trajectories import Trajectories

PART = 1 << 22
"""Features that are compared at a time."""

_whole: ContextVar[bool] = ContextVar("first layers read everything", default=False)


@contextmanager
def everything_read() -> Iterator[None]:
    """Read every feature of every state within a block: in graphs of fixed sizes, and in stacks."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


class ChangesPolicy(TrunkPolicy):
    """A policy whose trunk begins with a sum over features.

    A subclass defines `features`, `first`, `change` and `rest`, and sets `num_features`. Where
    there are many, rollouts and losses on the CPU read changes; GPUs prefer products of matrices,
    and compiled and stacked steps need them (`everything_read`), as how much changes is no fixed
    size.

    Attributes:
        num_features: K.
        many: With at least so many features the changes are read. It is where that becomes
            cheaper, as measured on a CPU, and a product of matrices is the harder to beat.
    """

    num_features: int = 0
    many: int = 192

    @abstractmethod
    def features(self, env: Environment[Any], states: Any) -> Tensor:
        """(N, K) bool or int64, what the first layer reads."""

    @abstractmethod
    def first(self, features: Tensor) -> Tensor:
        """(N, width) the first layer, before its nonlinearity, of (N, K) features."""

    @abstractmethod
    def change(self, column: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """(M, width) by how much the first layer changes with one feature.

        Args:
            column: (M,) int64 which feature.
            before: (M,) its value.
            after: (M,) its new value.
        """

    @abstractmethod
    def rest(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, width) what the heads read, from what `first` gave."""

    def adjusted(self, logits: Tensor, states: Any, condition: Tensor | None) -> Tensor:
        """(N, A) forward logits with what is known beside the network; as they are by default."""
        return logits

    @property
    def shares_work(self) -> bool:
        """Whether changes are read."""
        here = self.head.weight.device.type == "cpu" and not _whole.get()
        return here and self.num_features >= self.many

    def trunk(self, env: Environment[Any], states: Any, condition: Tensor | None = None) -> Tensor:
        """(N, width) what the heads read of N states."""
        return self.rest(self.first(self.features(env, states)), condition)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads."""
        return self._said(self.trunk(env, states, condition), states, condition)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward rows of the head alone."""
        logits = self.head.ahead(self.trunk(env, states, condition))
        return self.adjusted(logits, states, condition)

    def _said(self, read: Tensor, states: Any, condition: Tensor | None) -> PolicyOutput:
        output = self.head.all(read)
        logits = self.adjusted(output.forward_logits, states, condition)
        return replace(output, forward_logits=logits)

    def begin(
        self, env: Environment[Any], count: int, condition: Tensor | None = None
    ) -> Session | None:
        """A rollout that remembers the first layer, if there are many features."""
        return _Rollout(self, env, count, condition) if self.shares_work else None

    def of_trajectories(
        self,
        env: Environment[Any],
        trajectories: Trajectories[Any],
        condition: Tensor | None = None,
    ) -> PolicyOutput:
        """Outputs for the N stored states, from first states and changes if features are many."""
        if not self.shares_work:
            return super().of_trajectories(env, trajectories, condition)
        states, index, moves = trajectories.states, trajectories.state_index, trajectories.moves
        start = self.first(self.features(env, take(states, index[:, 0])))  # (B, width)
        count, longest = moves.shape
        place = moves.flatten().nonzero().squeeze(1)
        before, after = index[:, :-1].flatten(), index[:, 1:].flatten()
        total = start.new_zeros(count * longest, start.shape[1])
        for rows in place.split(max(1, PART // self.num_features)):
            row, change = self._changed(env, states, before[rows], after[rows])
            total = total.index_add(0, rows[row], change)
        table = torch.cat([start[:, None], total.view(count, longest, -1)], 1).cumsum(1)
        row, time = trajectories.first_visits()
        return self._said(self.rest(table[row, time], condition), states, condition)

    def _changed(
        self, env: Environment[Any], states: Any, before: Tensor, after: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(M,) which of the transitions changed a feature, and (M, width) what that changes."""
        old, new = (self.features(env, take(states, rows)) for rows in (before, after))
        row, column = (old != new).nonzero(as_tuple=True)
        return row, self.change(column, old[row, column], new[row, column])


class _Rollout:
    """The first layer of the live rows of one rollout."""

    def __init__(
        self, policy: ChangesPolicy, env: Environment[Any], count: int, condition: Tensor | None
    ) -> None:
        self.policy, self.env, self.condition = policy, env, condition
        self.rows = torch.arange(count, device=policy.head.weight.device)
        self.known: tuple[Tensor, Tensor] | None = None  # features, and the first layer

    def __call__(self, states: Any, rows: Tensor) -> Tensor:
        """(L, A) forward logits of the live rows, in ascending order."""
        policy, features = self.policy, self.policy.features(self.env, states)
        if self.known is None:
            x = policy.first(features)
        else:
            old, x = self.known
            if rows.shape[0] < self.rows.shape[0]:
                kept = torch.searchsorted(self.rows, rows)
                old, x = old[kept], x[kept]
            row, column = (old != features).nonzero(as_tuple=True)
            change = policy.change(column, old[row, column], features[row, column])
            x = x.index_add(0, row, change)
        self.known, self.rows = (features, x), rows
        given = None if self.condition is None else self.condition[rows]
        return policy.adjusted(policy.head.ahead(policy.rest(x, given)), states, given)

"""Pairs of states, and the moves of one side of a pair."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.rewards.base import LogReward
from gflow.state import where


@dataclass(frozen=True)
class PairState:
    """States of two environments.

    Attributes:
        first: B states of the first.
        second: B states of the second.
        stopped: (B, 2) bool: the policy has taken the stop action of the first, of the second.
    """

    first: Any
    second: Any
    stopped: Tensor


class SumOfRewards(LogReward[PairState]):
    """log R = log R_first + log R_second: the two objects are independent.

    The condition, if any, is that of the first followed by that of the second.
    """

    def __init__(self, first: DiscreteEnvironment[Any], second: DiscreteEnvironment[Any]) -> None:
        self.rewards = (first.reward, second.reward)
        self.dims = (first.condition_dim, second.condition_dim)
        self.parts = (first, second)
        self.has_partial = first.has_partial and second.has_partial

    def __call__(self, states: PairState, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of pairs of finished objects."""
        one, other = self._conditions(condition)
        return self.rewards[0](states.first, one) + self.rewards[1](states.second, other)

    def partial(self, states: PairState, condition: Tensor | None = None) -> Tensor:
        """(B,) minus the energies of both parts."""
        one, other = self._conditions(condition)
        first, second = self.parts
        energy = first.partial_log_reward(states.first, one)
        return energy + second.partial_log_reward(states.second, other)

    def _conditions(self, condition: Tensor | None) -> list[Tensor | None]:
        if condition is None:
            return [None, None]
        parts = condition.split(self.dims, -1)
        return [c if d else None for c, d in zip(parts, self.dims, strict=True)]

    def __repr__(self) -> str:
        return f"SumOfRewards({self.rewards[0]!r}, {self.rewards[1]!r})"


class Side:
    """Moves of one part within the pair, a stop of that part included.

    Stopping changes no tensor of the part, so the pair remembers it: as a move like any other, with
    a backward move of its own, the last of this side.
    """

    def __init__(self, env: DiscreteEnvironment[Any]) -> None:
        self.env = env
        self.num_backward = env.num_backward_actions + (env.stop_action is not None)

    def done(self, part: Any, stopped: Tensor) -> Tensor:
        """(B,) bool: the object of this side is finished."""
        return stopped | self.env.is_terminal(part) if self.env.has_forced_terminals else stopped

    def backward_mask(self, part: Any, stopped: Tensor) -> Tensor:
        """(B, P) legal backward moves of this side."""
        mask = self.env.backward_mask(part) & ~stopped[:, None]
        return mask if self.env.stop_action is None else torch.cat([mask, stopped[:, None]], 1)

    def step(self, part: Any, stopped: Tensor, action: Tensor, here: Tensor) -> tuple[Any, Tensor]:
        """The part and its mark after `action`, in rows `here` (B,)."""
        if self.env.stop_action is not None:
            stop = here & (action == self.env.stop_action)
            stopped, here = stopped | stop, here & ~stop
        moved = self.env._step(part, action.where(here, 0))
        return where(here, moved, part), stopped

    def backstep(
        self, part: Any, stopped: Tensor, undo: Tensor, here: Tensor
    ) -> tuple[Any, Tensor]:
        """The part and its mark after backward `undo`, in rows `here` (B,)."""
        if self.env.stop_action is not None:
            resume = here & (undo == self.env.num_backward_actions)
            stopped, here = stopped & ~resume, here & ~resume
        moved = self.env._backstep(part, undo.where(here, 0))
        return where(here, moved, part), stopped

    def backward_action(self, part: Any, action: Tensor) -> Tensor:
        """(B,) the backward move that takes `action` back."""
        stop = self.env.stop_action
        if stop is None:
            return self.env.backward_action(part, action)
        undo = self.env.backward_action(part, action.where(action != stop, 0))
        return undo.where(action != stop, self.env.num_backward_actions)

    def forward_action(self, part: Any, undo: Tensor) -> Tensor:
        """(B,) the move that backward move `undo` takes back."""
        stop = self.env.stop_action
        if stop is None:
            return self.env.forward_action(part, undo)
        moves = undo < self.env.num_backward_actions
        return self.env.forward_action(part, undo.where(moves, 0)).where(moves, stop)

    def backward_classes(self, part: Any) -> Tensor | None:
        """(B, P) backward classes of the part; taking a stop back is a class of its own."""
        classes = self.env.backward_classes(part)
        if classes is None or self.env.stop_action is None:
            return classes
        return torch.nn.functional.pad(classes, (0, 1), value=self.env.num_backward_actions)

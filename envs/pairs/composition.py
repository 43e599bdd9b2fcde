"""Composition: two environments side by side, or one after the other, as one environment."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.pairs.pair import PairState, Side, SumOfRewards
from gflow.errors import IncompatibleError
from gflow.rewards.base import LogReward
from gflow.state import take, where

__all__ = ["PairState", "Product", "Stack", "SumOfRewards"]

LARGEST_KEY = 2**62


class _Pair(DiscreteEnvironment[PairState]):
    """What `Product` and `Stack` share; they differ in whose turn it is.

    Actions of the second environment are numbered after all actions of the first, forward and
    backward. A pair is finished by force when both objects are.

    Raises:
        IncompatibleError: If some moves of a part are not the agent's.
    """

    def __init__(
        self,
        first: DiscreteEnvironment[Any],
        second: DiscreteEnvironment[Any],
        reward: LogReward[PairState] | None = None,
    ) -> None:
        for part in (first, second):
            if part.has_movers:
                raise IncompatibleError(
                    f"{type(self).__name__}: some moves of {part.name} are not the agent's, and a "
                    f"pair says of none whose they are. Write one environment of both, with a "
                    f"`mover`."
                )
        self.first, self.second = first, second
        self._one, self._two = Side(first), Side(second)
        self.reward = SumOfRewards(first, second) if reward is None else reward
        self.num_actions = first.num_actions + second.num_actions
        self.num_backward_actions = self._one.num_backward + self._two.num_backward
        self.horizon = first.horizon + second.horizon
        self.condition_dim = first.condition_dim + second.condition_dim
        self._marks = [i for i, env in enumerate((first, second)) if env.stop_action is not None]
        if first.feature_sizes and second.feature_sizes:
            marks = (2,) * len(self._marks)
            self.feature_sizes = (*first.feature_sizes, *second.feature_sizes, *marks)
        sizes = (first.num_keys, second.num_keys)
        self.has_keys = False  # type: ignore[misc]
        if first.has_keys and second.has_keys and None not in sizes:
            count = sizes[0] * sizes[1] * 2 ** len(self._marks)  # type: ignore[operator]
            if count <= LARGEST_KEY:
                self.num_keys, self.has_keys = count, True  # type: ignore[misc]

    @abstractmethod
    def _second_may_move(self, states: PairState) -> Tensor | None:
        """(B,) bool: the second may be built; None for always."""

    @abstractmethod
    def _first_may_be_undone(self, states: PairState) -> Tensor | None:
        """(B,) bool: the first may be taken back; None for always."""

    # ------------------------------------------------------------------ moves

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> PairState:
        """B pairs of sources."""
        return PairState(
            self.first.initial(batch_size, device),
            self.second.initial(batch_size, device),
            torch.zeros(batch_size, 2, dtype=torch.bool, device=device),
        )

    def forward_mask(self, states: PairState) -> Tensor:
        """(B, A) legal actions of the part or parts whose turn it is."""
        one = self.first.forward_mask(states.first) & ~states.stopped[:, :1]
        two = self.second.forward_mask(states.second) & ~states.stopped[:, 1:]
        turn = self._second_may_move(states)
        return torch.cat([one, two if turn is None else two & turn[:, None]], 1)

    def backward_mask(self, states: PairState) -> Tensor:
        """(B, P) legal backward actions of either part: of one that has stopped, its stop."""
        one = self._one.backward_mask(states.first, states.stopped[:, 0])
        two = self._two.backward_mask(states.second, states.stopped[:, 1])
        turn = self._first_may_be_undone(states)
        return torch.cat([one if turn is None else one & turn[:, None], two], 1)

    def is_terminal(self, states: PairState) -> Tensor:
        """(B,) both objects are finished."""
        one = self._one.done(states.first, states.stopped[:, 0])
        return one & self._two.done(states.second, states.stopped[:, 1])

    def is_initial(self, states: PairState) -> Tensor:
        """(B,) nothing has been done in either."""
        begun = states.stopped.any(-1)
        return self.first.is_initial(states.first) & self.second.is_initial(states.second) & ~begun

    def backward_action(self, states: PairState, actions: Tensor) -> Tensor:
        """(B,) the part's own backward action, or the one that takes its stop back."""
        here, shift = actions < self.first.num_actions, self.first.num_actions
        one = self._one.backward_action(states.first, actions.where(here, 0))
        two = self._two.backward_action(states.second, (actions - shift).where(~here, 0))
        return one.where(here, two + self._one.num_backward)

    def forward_action(self, states: PairState, backward_actions: Tensor) -> Tensor:
        """(B,) the part's own forward action, its stop included."""
        undo, shift = backward_actions, self._one.num_backward
        here = undo < shift
        one = self._one.forward_action(states.first, undo.where(here, 0))
        two = self._two.forward_action(states.second, (undo - shift).where(~here, 0))
        return one.where(here, two + self.first.num_actions)

    def forward_classes(self, states: PairState) -> Tensor | None:
        """(B, A) classes of the parts; moves of different parts never have one child."""
        one = self.first.forward_classes(states.first)
        two = self.second.forward_classes(states.second)
        return _joined(states.stopped, one, two, self.first.num_actions, self.second.num_actions)

    def backward_classes(self, states: PairState) -> Tensor | None:
        """(B, P) classes of the parts."""
        one = self._one.backward_classes(states.first)
        two = self._two.backward_classes(states.second)
        return _joined(states.stopped, one, two, self._one.num_backward, self._two.num_backward)

    def _step(self, states: PairState, actions: Tensor) -> PairState:
        here, shift = actions < self.first.num_actions, self.first.num_actions
        one, ended = self._one.step(states.first, states.stopped[:, 0], actions, here)
        two, over = self._two.step(states.second, states.stopped[:, 1], actions - shift, ~here)
        return PairState(one, two, torch.stack([ended, over], 1))

    def _backstep(self, states: PairState, actions: Tensor) -> PairState:
        here, shift = actions < self._one.num_backward, self._one.num_backward
        one, ended = self._one.backstep(states.first, states.stopped[:, 0], actions, here)
        two, over = self._two.backstep(states.second, states.stopped[:, 1], actions - shift, ~here)
        return PairState(one, two, torch.stack([ended, over], 1))

    # ------------------------------------------------------------------ values

    def encode(self, states: PairState) -> Any:
        """(B, K) features of the first, of the second, and which stops were taken.

        A tuple of the three if the parts do not both encode to categorical features.
        """
        marks = states.stopped[:, self._marks].long()
        one, two = self.first.encode(states.first), self.second.encode(states.second)
        return torch.cat([one, two, marks], 1) if self.feature_sizes else (one, two, marks)

    def key(self, states: PairState) -> Tensor:
        """(B,) the keys of both and the marks in mixed radix."""
        assert self.first.num_keys is not None
        assert self.second.num_keys is not None
        key = states.stopped.new_zeros(states.stopped.shape[0], dtype=torch.int64)
        for mark in self._marks:
            key = 2 * key + states.stopped[:, mark]
        key = key * self.second.num_keys + self.second.key(states.second)
        return key * self.first.num_keys + self.first.key(states.first)

    def object_key(self, states: PairState) -> Tensor:
        """(B,) the key, or a hash of the objects' keys where a part has some of its own."""
        parts = (self.first, self.second)
        if all(type(part).object_key is Environment.object_key for part in parts):
            return self.key(states)
        one = self.first.object_key(states.first) * 0x2545F4914F6CDD1D
        return one + self.second.object_key(states.second)

    def all_states(self, device: torch.device | str = "cpu") -> PairState | None:
        """All pairs in the order of their keys, if both parts list theirs; s0 if impossible."""
        if self.num_keys is None:
            return None
        one, two = self.first.all_states(device), self.second.all_states(device)
        if one is None or two is None:
            return None
        assert self.first.num_keys is not None
        assert self.second.num_keys is not None
        keys = torch.arange(self.num_keys, device=device)
        rest = keys // self.first.num_keys
        marks = rest // self.second.num_keys
        stopped = torch.zeros(len(keys), 2, dtype=torch.bool, device=device)
        for mark in reversed(self._marks):
            stopped[:, mark] = marks % 2 > 0
            marks = marks // 2
        one, two = take(one, keys % self.first.num_keys), take(two, rest % self.second.num_keys)
        states = PairState(one, two, stopped)
        exists = torch.ones_like(stopped[:, 0])
        for mark in self._marks:
            env, part = (self.first, one) if mark == 0 else (self.second, two)
            exists &= env.forward_mask(part)[:, -1] | ~stopped[:, mark]
        turn = self._second_may_move(states)
        if turn is not None:
            exists &= turn | (self.second.is_initial(two) & ~stopped[:, 1])
        return where(exists, states, self.initial(len(keys), device))

    def log_symmetry(self, states: PairState) -> Tensor | None:
        """(B,) the sum of both, or None if neither has one."""
        one = self.first.log_symmetry(states.first)
        two = self.second.log_symmetry(states.second)
        return two if one is None else one if two is None else one + two

    def log_multiplicity(self, states: PairState) -> Tensor | None:
        """(B,) the sum of both, or None if neither has one."""
        one = self.first.log_multiplicity(states.first)
        two = self.second.log_multiplicity(states.second)
        return two if one is None else one if two is None else one + two

    def log_partition(self) -> float | None:
        """Log Z of independent parts that both know theirs."""
        if not isinstance(self.reward, SumOfRewards):
            return None
        one, two = self.first.log_partition(), self.second.log_partition()
        return None if one is None or two is None else one + two

    def show(self, states: PairState) -> list[str]:
        """Both parts; an exclamation mark follows what was stopped."""
        lines = zip(
            self.first.show(states.first),
            self.second.show(states.second),
            states.stopped.tolist(),
            strict=True,
        )
        return [f"<{a}{'!' * x} | {b}{'!' * y}>" for a, b, (x, y) in lines]


class Product(_Pair):
    r"""Two environments side by side: each step acts on one of them until both are finished.

    **What is built.** A pair of objects. **State.** `PairState`.

    **Forward actions.** Those of the first, then those of the second, stops included: stopping one
    part is a move, the pair is finished when both are.

    **Backward actions.** Those of the first (its stop taken back as the last, if it stops), then
    those of the second.

    **Reward.** Any `LogReward` of `PairState`, which sees both objects; by default their rewards
    are multiplied.

    **Size.** As many states as there are pairs of states, where an object that was declared
    finished by a stop is a state of its own; trajectories of k and l steps interleave to
    C(k + l, k) others.

    Args:
        first: An environment.
        second: Another, or the same.
        reward: Reward of pairs.

    Example:
        >>> from gflow.envs.grids.hypergrid import HyperGrid
        >>> env = Product(HyperGrid(1, 3), HyperGrid(1, 2))
        >>> pair = env.step(env.initial(1), torch.tensor([3]))  # stops the second
        >>> env.show(pair), env.forward_mask(pair).int().tolist()
        (['<(0) | (0)!>'], [[1, 1, 0, 0]])
    """

    def _second_may_move(self, states: PairState) -> Tensor | None:
        return None

    def _first_may_be_undone(self, states: PairState) -> Tensor | None:
        return None


class Stack(_Pair):
    r"""Two environments one after the other: the first to its end, then the second.

    **What is built.** A pair of objects. **State.** `PairState`.

    **Forward actions.** Numbered as in `Product`; those of the second are legal once the first is
    finished. The pair is finished with the second.

    **Backward actions.** Numbered as in `Product`; those of the first are legal while the second
    is untouched.

    **Reward.** Any `LogReward` of `PairState`; by default the product of both rewards.

    **Size.** (states of the first - objects) + objects of the first * states of the second, where
    an object that was declared finished by a stop is a state of its own.

    Args:
        first: An environment.
        second: Another, or the same.
        reward: Reward of pairs.

    Example:
        >>> from gflow.envs.grids.hypergrid import HyperGrid
        >>> env = Stack(HyperGrid(1, 3), HyperGrid(1, 2))
        >>> pair = env.step(env.initial(1), torch.tensor([1]))  # stops the first
        >>> env.show(pair), env.forward_mask(pair).int().tolist()
        (['<(0)! | (0)>'], [[0, 0, 1, 1]])
    """

    def _second_may_move(self, states: PairState) -> Tensor | None:
        return self._one.done(states.first, states.stopped[:, 0])

    def _first_may_be_undone(self, states: PairState) -> Tensor | None:
        return self.second.is_initial(states.second) & ~states.stopped[:, 1]


def _joined(
    like: Tensor, one: Tensor | None, two: Tensor | None, first: int, second: int
) -> Tensor | None:
    """(B, first + second) classes of both parts; None if neither declares any."""
    if one is None and two is None:
        return None
    numbers = torch.arange(first + second, device=like.device).expand(like.shape[0], -1)
    one = numbers[:, :first] if one is None else one
    two = numbers[:, first:] if two is None else two + first
    return torch.cat([one, two], 1)

"""A plain environment in batches."""

import math

import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.keys import LARGEST_KEY, hash_rows
from gflow.errors import ConfigError
from gflow.plain.base import PlainEnvironment, Row
from gflow.plain.moves import ListedMoves, Moves
from gflow.rewards.remembering import HostReward
from gflow.state import as_tuples


def vectorise(plain: PlainEnvironment, limit: int = 100_000) -> "Vectorised":
    """An environment of batches from one that is written for a single object.

    Its functions are asked in Python, state by state: once for each where all states are listed,
    and then training walks by tables; else whenever a state is met that is not remembered. That is
    fine to begin with and to check a batched environment against. Where there are many states an
    environment of tensors is much faster: see "Writing an environment".

    Args:
        plain: States, moves and reward of one object.
        limit: Most states that are listed to find the parents of each; not listed if it defines
            `parents`.

    Raises:
        ConfigError: If there are more states and no `parents`, or what it returns is no state.
    """
    return Vectorised(plain, limit)


class Vectorised(DiscreteEnvironment[Tensor]):
    """What `vectorise` makes.

    **State.** (B, K) int64, the numbers of each. **Forward actions.** Those of the plain
    environment; where all states are listed, actions with one child are one move. **Backward
    actions.** Number ``action + rank * num_actions``, rank counting the parents from which one
    action leads here.

    Args:
        plain: States, moves and reward of one object.
        limit: Most states that are listed.
    """

    def __init__(self, plain: PlainEnvironment, limit: int = 100_000) -> None:
        self.plain = plain
        _check_sizes(plain)
        self.feature_sizes = tuple(plain.sizes)
        self.num_actions, self.horizon = plain.num_actions, plain.horizon
        self.stop_action = plain.stop_action
        self.reward = HostReward(as_tuples, self._log_rewards)
        told = type(plain).parents is not PlainEnvironment.parents
        self._moves = Moves(plain) if told else ListedMoves(plain, limit)
        self._source = torch.tensor([self._moves.source()])
        ranks = 1
        if isinstance(self._moves, ListedMoves):
            ranks = max(1, *(_ranks(self._moves.into(state)) for state in self._moves.states))
            self.num_keys = len(self._moves.states)
        elif math.prod(plain.sizes) <= LARGEST_KEY:
            self.num_keys = math.prod(plain.sizes)
        self.num_backward_actions = ranks * plain.num_actions

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """B copies of the initial state."""
        return self._source.to(device).repeat(batch_size, 1)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, A) bool: the legal actions."""
        legal = [self._moves.legal(row) for row in as_tuples(states)]
        return _marked(legal, self.num_actions, states)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, P) bool: one for each parent."""
        slots = [list(self._slots(row)) for row in as_tuples(states)]
        return _marked(slots, self.num_backward_actions, states)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        moves = self._moves
        found = [
            moves.child(row, action) if action != self.stop_action and action in moves.legal(row)
            else row
            for row, action in zip(as_tuples(states), actions.tolist(), strict=True)
        ]  # fmt: skip
        return states.new_tensor(found).view_as(states)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        found = [
            self._slots(row).get(slot, (row, 0))[0]
            for row, slot in zip(as_tuples(states), actions.tolist(), strict=True)
        ]
        return states.new_tensor(found).view_as(states)

    def backward_action(self, states: Tensor, actions: Tensor) -> Tensor:
        """(B,) int64: the slot of each state among the parents of its child."""
        rows = zip(as_tuples(states), as_tuples(self._step(states, actions)), strict=True)
        return actions.new_tensor([self._slot_of(row, child) for row, child in rows])

    def forward_action(self, states: Tensor, backward_actions: Tensor) -> Tensor:
        """(B,) int64: the action of a slot."""
        return backward_actions % self.num_actions

    def forward_classes(self, states: Tensor) -> Tensor | None:
        """(B, A) int64: the first action with the same child; None where all differ."""
        if not (isinstance(self._moves, ListedMoves) and self._moves.merges):
            return None
        classes = torch.arange(self.num_actions).repeat(len(states), 1)
        for number, row in enumerate(as_tuples(states)):
            first: dict[Row, int] = {}
            for action, child in self._moves.children(row):
                classes[number, action] = first.setdefault(child, action)
        return classes.to(states.device)

    def key(self, states: Tensor) -> Tensor:
        """(B,) int64: the number in the list of states; digits, or a hash, without a list."""
        if isinstance(self._moves, ListedMoves):
            numbers = self._moves.states
            return states.new_tensor([numbers.get(row, 0) for row in as_tuples(states)])
        if self.num_keys is None:
            return hash_rows(states)
        places = [math.prod(self.feature_sizes[k + 1 :]) for k in range(states.shape[1])]
        return (states * states.new_tensor(places)).sum(1)

    def _slots(self, state: Row) -> dict[int, tuple[Row, int]]:
        """Backward actions with the parents that they lead to, and the actions there."""
        slots: dict[int, tuple[Row, int]] = {}
        for parent, action in self._moves.into(state):
            slot = action
            while slot in slots:
                slot += self.num_actions
            slots[slot] = (parent, action)
        if slots and max(slots) >= self.num_backward_actions:
            raise ConfigError(
                f"{self.plain.__class__.__name__}: one action leads to {state} from several "
                f"states: {[p for p, _ in slots.values()]}. With `parents`, number such actions "
                f"differently, or leave `parents` out where all states can be listed."
            )
        return slots

    def _slot_of(self, parent: Row, child: Row) -> int:
        if parent == child:  # a stop, or a row whose result is thrown away
            return 0
        for slot, (known, _) in self._slots(child).items():
            if known == parent:
                return slot
        raise ConfigError(
            f"{self.plain.__class__.__name__}: an action leads from {parent} to {child}, and "
            f"parents({child}) does not name it. It must name all states that lead there."
        )

    def _log_rewards(self, objects: list[Row]) -> list[float]:
        return [self.plain.log_reward(thing) for thing in objects]


def _check_sizes(plain: PlainEnvironment) -> None:
    name = type(plain).__name__
    for attribute in ("sizes", "num_actions", "horizon"):
        if not hasattr(plain, attribute):
            raise ConfigError(
                f"{name} has no `{attribute}`. A PlainEnvironment says sizes, num_actions and "
                f"horizon."
            )
    if plain.stop_action not in (None, plain.num_actions - 1):
        raise ConfigError(
            f"{name}: stop_action={plain.stop_action} must be the last action, "
            f"num_actions - 1 = {plain.num_actions - 1}, or None."
        )


def _ranks(into: tuple[tuple[Row, int], ...]) -> int:
    """How many parents one action leads here from, at most."""
    actions = [action for _, action in into]
    return max((actions.count(action) for action in set(actions)), default=1)


def _marked(chosen: list[list[int]] | list[tuple[int, ...]], size: int, like: Tensor) -> Tensor:
    """(B, size) bool: true at the chosen places of each row."""
    mask = torch.zeros(len(chosen), size, dtype=torch.bool)
    rows = [row for row, places in enumerate(chosen) for _ in places]
    mask[rows, [place for places in chosen for place in places]] = True
    return mask.to(like.device)

"""Moves of single states, each asked of a person's environment once and then remembered."""

from collections.abc import Iterable
from typing import Any

from gflow.errors import ConfigError, IllegalActionError
from gflow.plain.base import PlainEnvironment, Row

REMEMBERED = 1_000_000
"""States whose moves are kept; then all are forgotten and asked for again."""


class Moves:
    """What leads out of states and into them, checked as it is asked for.

    Args:
        plain: The environment.
    """

    def __init__(self, plain: PlainEnvironment) -> None:
        self.plain, self.name = plain, type(plain).__name__
        self._legal: dict[Row, tuple[int, ...]] = {}
        self._child: dict[tuple[Row, int], Row] = {}
        self._into: dict[Row, tuple[tuple[Row, int], ...]] = {}

    def source(self) -> Row:
        """The initial state."""
        return self.checked(self.plain.initial(), "initial()")

    def legal(self, state: Row) -> tuple[int, ...]:
        """Legal actions in rising order, the stop among them.

        Raises:
            IllegalActionError: If the environment names an action that there is not.
        """
        if state not in self._legal:
            self._make_room()
            found = tuple(sorted({self._number(a, state) for a in self.plain.actions(state)}))
            self._legal[state] = found
        return self._legal[state]

    def child(self, state: Row, action: int) -> Row:
        """Where a legal action leads that is no stop.

        Raises:
            ConfigError: If that is no state.
        """
        if (state, action) not in self._child:
            self._make_room()
            found = self.checked(self.plain.step(state, action), f"step({state}, {action})")
            if found == state:
                raise ConfigError(
                    f"{self.name}: step({state}, {action}) stays in that state. Every action leads "
                    f"to a new one; what ends an object is `stop_action`."
                )
            self._child[state, action] = found
        return self._child[state, action]

    def into(self, state: Row) -> tuple[tuple[Row, int], ...]:
        """Parents with the actions that lead here, as the environment names them.

        Raises:
            ConfigError: If an action does not lead here from there, or a parent comes twice.
        """
        if state not in self._into:
            self._make_room()
            found = tuple(
                (self.checked(parent, f"parents({state})"), self._number(action, parent))
                for parent, action in self.plain.parents(state)
            )
            self._check_parents(state, found)
            self._into[state] = found
        return self._into[state]

    def children(self, state: Row) -> Iterable[tuple[int, Row]]:
        """All legal actions but the stop, with where they lead."""
        stop = self.plain.stop_action
        return [(a, self.child(state, a)) for a in self.legal(state) if a != stop]

    def _check_parents(self, state: Row, found: tuple[tuple[Row, int], ...]) -> None:
        for parent, action in found:
            if action not in self.legal(parent) or self.child(parent, action) != state:
                raise ConfigError(
                    f"{self.name}: parents({state}) names {parent} with action {action}, and that "
                    f"does not lead there by `actions` and `step`."
                )
        if len({parent for parent, _ in found}) < len(found):
            raise ConfigError(
                f"{self.name}: parents({state}) names a parent twice: {list(found)}. With "
                f"`parents`, different actions must lead from a state to different states."
            )

    def _number(self, action: Any, state: Row) -> int:
        whole = isinstance(action, int) and not isinstance(action, bool)
        if not whole or not 0 <= action < self.plain.num_actions:
            raise IllegalActionError(
                f"{self.name}: {action!r} is no action (in state {state}): actions are whole "
                f"numbers from 0 to num_actions - 1 = {self.plain.num_actions - 1}."
            )
        return int(action)

    def checked(self, state: Any, where: str) -> Row:
        """A state as it came from a person's function.

        Raises:
            ConfigError: If it is not a tuple of whole numbers within `sizes`.
        """
        sizes = self.plain.sizes
        good = isinstance(state, tuple) and len(state) == len(sizes)
        good = good and all(
            isinstance(x, int) and 0 <= x < size for x, size in zip(state, sizes, strict=True)
        )
        if not good:
            raise ConfigError(
                f"{self.name}: {where} gave {state!r}. A state is a tuple of {len(sizes)} whole "
                f"numbers, number k in range(sizes[k]), with sizes = {tuple(sizes)}."
            )
        return tuple(int(x) for x in state)

    def _make_room(self) -> None:
        for known in (self._legal, self._child, self._into):
            if len(known) >= REMEMBERED:
                known.clear()


class ListedMoves(Moves):
    """The same where all states are listed: parents are what was seen to lead there.

    Args:
        plain: The environment.
        limit: Most states.

    Raises:
        ConfigError: If there are more states, or moves go round in a circle.
    """

    def __init__(self, plain: PlainEnvironment, limit: int) -> None:
        super().__init__(plain)
        start = self.source()
        self.states: dict[Row, int] = {start: 0}
        self.merges = False
        into: dict[Row, list[tuple[Row, int]]] = {start: []}
        waiting = [start]
        for state in waiting:
            seen: set[Row] = set()
            for action, child in self.children(state):
                if child in seen:  # two actions are one move: the first stands for both
                    self.merges = True
                    continue
                seen.add(child)
                if child not in into:
                    self._refuse_more(len(into), limit)
                    self.states[child] = len(self.states)
                    into[child] = []
                    waiting.append(child)
                into[child].append((state, action))
        self._into = {state: tuple(found) for state, found in into.items()}
        self._refuse_circles()

    def _make_room(self) -> None:
        """Nothing is forgotten."""

    def _refuse_more(self, count: int, limit: int) -> None:
        if count >= limit:
            raise ConfigError(
                f"{self.name} has more than limit={limit} states, too many to find the parents of "
                f"each by listing them. Define `parents(state)`, or raise limit."
            )

    def _refuse_circles(self) -> None:
        left = {state: len(found) for state, found in self._into.items()}
        ready = [state for state, count in left.items() if not count]
        for state in ready:
            for child in {child for _, child in self.children(state)}:
                left[child] -= 1
                if not left[child]:
                    ready.append(child)
        if len(ready) < len(left):
            stuck = next(state for state, count in left.items() if count)
            raise ConfigError(
                f"{self.name}: moves lead round in a circle through {stuck}. States must never "
                f"come back: let them tell how far building is."
            )

"""What a person writes who thinks of one object at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

Row = tuple[int, ...]
"""A state: as many whole numbers as there are `sizes`."""


class PlainEnvironment(ABC):
    """States, moves and the reward of one object at a time, in plain Python.

    `vectorise` makes an environment of it that works with everything there is. A state is a
    tuple of whole numbers that says all there is to know of it; actions are numbers too. Objects
    end where no action is left, or by `stop_action`.

    Attributes:
        sizes: Number k of a state lies in ``range(sizes[k])``.
        num_actions: Actions are numbered from 0 to this, less one; the stop is the last.
        horizon: Largest number of moves to an object, a stop included.
        stop_action: The action that ends the object as it is: ``num_actions - 1``, or None if
            objects end by lack of actions alone.

    Example:
        >>> from gflow import enumerate_states
        >>> from gflow.plain.vectorised import vectorise
        >>> class Coins(PlainEnvironment):
        ...     sizes, num_actions, horizon = (3, 3), 2, 2
        ...
        ...     def initial(self):
        ...         return (0, 0)
        ...
        ...     def actions(self, state):
        ...         return [0, 1] if sum(state) < 2 else []
        ...
        ...     def step(self, state, action):
        ...         return (state[0] + (action == 0), state[1] + (action == 1))
        ...
        ...     def log_reward(self, state):
        ...         return float(state[0])
        >>> len(enumerate_states(vectorise(Coins())).objects)
        3
    """

    sizes: tuple[int, ...]
    num_actions: int
    horizon: int
    stop_action: int | None = None

    @abstractmethod
    def initial(self) -> Row:
        """The state in which building begins."""

    @abstractmethod
    def actions(self, state: Row) -> Iterable[int]:
        """What may be done in a state; nothing where the object is finished."""

    @abstractmethod
    def step(self, state: Row, action: int) -> Row:
        """The state that an action leads to; never asked of the stop."""

    @abstractmethod
    def log_reward(self, state: Row) -> float:
        """Log R of a finished object."""

    def parents(self, state: Row) -> Iterable[tuple[Row, int]]:
        """All states from which one action leads here, each with that action.

        Needed only where there are too many states to list them all. Then different actions must
        lead from a state to different states.
        """
        raise NotImplementedError

"""Log-rewards: callables on finished objects, apart from the environments."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from torch import Tensor

from gflow.errors import IncompatibleError
from gflow.rewards.values import real
from gflow.state import device_of

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.trajectories import Trajectories

S = TypeVar("S")


class LogReward(ABC, Generic[S]):
    """log R of finished objects: ``reward(states, condition)`` is (B,) float.

    `condition` (B, C) or None is whatever the sampler was asked for (a temperature, preferences);
    plain rewards ignore it.

    A reward may change while a sampler is trained, as a learned energy does. Whoever changes it
    says so, ``reward.version += 1``, and memories and caches score anew what they hold.

    Attributes:
        has_partial: The reward is defined on unfinished objects too, or `partial` extends it.
        num_scores: K, the number of objectives that `scores` returns; 0 for plain rewards.
        has_known_log_z: `known_log_z` is defined.
    """

    has_partial: bool = False
    num_scores: int = 0
    has_known_log_z: bool = False
    _changes: int = 0

    @property
    def version(self) -> int:
        """An int that differs after every change, also of a reward that this one is made of."""
        return self._changes + sum(reward.version for reward in self.inner_rewards())

    @version.setter
    def version(self, value: int) -> None:
        self._changes = value - sum(reward.version for reward in self.inner_rewards())

    def inner_rewards(self) -> "list[LogReward[Any]]":
        """The rewards that this one is made of: its attributes, and those in tuples and lists."""
        held = [v if isinstance(v, tuple | list) else (v,) for v in vars(self).values()]
        return [reward for group in held for reward in group if isinstance(reward, LogReward)]

    @abstractmethod
    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log-reward of B finished objects."""

    def foresee(self, states: S) -> bool:
        """Begin to score finished objects elsewhere while this process does something else.

        Samplers say so as soon as they have the objects, and ask for the rewards when they are
        needed, after the network pass of a training step. Rewards without workers begin nothing.

        Returns:
            Whether anything has begun.
        """
        return False

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus the energy of B unfinished states: any extension of log R to them.

        Equal to log R at finished objects. Forward-looking objectives read it; a poor extension
        slows them and biases nothing. By default the reward itself, if `has_partial` says that it
        is defined on unfinished objects.

        Raises:
            IncompatibleError: If there is none.
        """
        if self.has_partial:
            return self(states, condition)
        raise IncompatibleError(
            f"The reward {self!r} is defined on finished objects only. Set `has_partial` on it "
            f"(FunctionReward(function, partial=True)) if it makes sense for unfinished ones, or "
            f"define `partial`."
        )

    def of_trajectories(
        self,
        env: "Environment[Any]",
        trajectories: "Trajectories[S]",
        condition: Tensor | None = None,
    ) -> Tensor:
        """(N,) log R of the N stored states of trajectories from the source, in the store's order.

        Where not every state is an object, it is `partial` of them. Overridden where states of a
        trajectory share work, such as the prefixes of one sequence, which one pass can score;
        `Trajectories.first_visits` tells where each stored state stands. Objectives that read the
        reward of every state ask once per batch. States of trajectories that begin elsewhere are
        scored one by one.

        Args:
            env: The environment.
            trajectories: B trajectories.
            condition: (N, C) the condition of each stored state, or None.
        """
        states = trajectories.states
        if self.has_partial and not env.every_state_stops:
            return self.partial(states, condition)
        return self(states) if condition is None else self(states, condition)

    def known_log_z(self, condition: Tensor | None) -> Tensor | None:
        """(B,) log Z for the conditions of a batch, () without any; None if it is not known.

        Where rewards are such that it is, log F of the source is anchored at it, as log R anchors
        the other end, and nothing has to be learned in its place. Say so by `has_known_log_z`.
        """
        return None

    def scores(self, states: S) -> Tensor:
        """(B, K) raw objectives of B finished objects, each to be made large.

        Raises:
            IncompatibleError: If there are none.
        """
        raise IncompatibleError(f"The reward {self!r} has no vector of scores.")

    def __repr__(self) -> str:
        return type(self).__name__


class FunctionReward(LogReward[S]):
    """A plain function ``states -> (B,) log-reward`` as a `LogReward`.

    Args:
        function: The function. Whole numbers, lists of numbers and numpy arrays become floats;
            truth values are refused.
        partial: Whether it makes sense for unfinished objects too, which lets forward-looking
            objectives use it.
    """

    def __init__(self, function: Callable[[S], Any], partial: bool = False) -> None:
        self.function, self.has_partial = function, partial

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return real(self.function(states), f"The reward {self!r}", device_of(states))

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))

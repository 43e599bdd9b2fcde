"""Log-rewards: callables on finished objects, apart from the environments, and their wrappers.

A wrapper takes a reward and is one, so they compose: ``Tempered(Clipped(QED(), low=-5), beta=8)``.
The order is explicit because it changes the target: clipping then tempering is not the reverse.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gflow.errors import ConfigError, IncompatibleError
from gflow.rewards.values import numbers, real
from gflow.state import device_of, take

S = TypeVar("S")


class LogReward(ABC, Generic[S]):
    """log R of finished objects: ``reward(states, condition)`` is (B,) float.

    `condition` (B, C) or None is whatever the sampler was asked for (a temperature, preferences);
    plain rewards ignore it.

    Attributes:
        has_partial: The reward is defined on unfinished objects too, or `partial` extends it.
        num_scores: K, the number of objectives that `scores` returns; 0 for plain rewards.
    """

    has_partial: bool = False
    num_scores: int = 0

    @abstractmethod
    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log-reward of B finished objects."""

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus the energy of B states on the way: any extension of log R to them.

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


class Tempered(LogReward[S]):
    """R^beta: ``beta * log R``. beta > 1 sharpens, beta < 1 flattens."""

    def __init__(self, reward: LogReward[S], beta: float) -> None:
        if not beta > 0:
            raise ConfigError(f"Tempered: beta must be positive, got {beta}.")
        self.reward, self.beta, self.has_partial = reward, beta, reward.has_partial

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self.beta * _of(self.reward, self.reward(states, condition))

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus energies."""
        return self.beta * _of(self.reward, self.reward.partial(states, condition))

    def __repr__(self) -> str:
        return f"Tempered({self.reward!r}, beta={self.beta:g})"


class Clipped(LogReward[S]):
    """log R kept within [low, high].

    With `low` objects whose reward is zero become possible: each gets R = e^low, so that n of them
    are sampled with a probability of at most n e^low / Z. Masks that leave them out are exact.
    """

    def __init__(
        self, reward: LogReward[S], low: float | None = None, high: float | None = None
    ) -> None:
        if low is not None and high is not None and low >= high:
            raise ConfigError(f"Clipped: low must be below high, got low={low}, high={high}.")
        self.reward, self.low, self.high = reward, low, high
        self.has_partial = reward.has_partial

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return _of(self.reward, self.reward(states, condition)).clamp(self.low, self.high)

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus energies, clipped alike: a plateau of the reward is one of the energy."""
        value = _of(self.reward, self.reward.partial(states, condition))
        return value.clamp(self.low, self.high)

    def __repr__(self) -> str:
        return f"Clipped({self.reward!r}, low={self.low}, high={self.high})"


class TemperatureConditional(LogReward[S]):
    """R^beta with beta given per object: ``condition[:, 0] * log R``."""

    def __init__(self, reward: LogReward[S]) -> None:
        self.reward, self.has_partial = reward, reward.has_partial

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self._tempered(_of(self.reward, self.reward(states)), condition)

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus energies."""
        return self._tempered(_of(self.reward, self.reward.partial(states)), condition)

    @staticmethod
    def _tempered(value: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            raise ConfigError(
                "TemperatureConditional: no condition was given. Train and sample with a condition "
                "(B, 1) that holds the inverse temperature, e.g. from `UniformCondition`."
            )
        return condition[:, 0].to(value.dtype) * value

    def __repr__(self) -> str:
        return f"TemperatureConditional({self.reward!r})"


class _Remembering(LogReward[S]):
    """Scores each distinct object once and remembers the latest `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.memory: dict[Any, float] = {}
        self.calls = 0

    def _values(self, objects: list[Any], score: Callable[[list[int]], Sequence[Any]]) -> Tensor:
        """(B,) values of `objects`; `score` is asked about the rows of unknown distinct ones."""
        fresh: dict[Any, int] = {}
        for row, thing in enumerate(objects):
            if thing not in self.memory:
                fresh.setdefault(thing, row)
        known: dict[Any, float] = {}
        if fresh:
            found = numbers(score(list(fresh.values())), list(fresh), f"The reward {self!r}")
            known = dict(zip(fresh, found, strict=True))
            self.calls += len(fresh)
        values = [known[x] if x in known else self.memory[x] for x in objects]
        self.memory.update(known)
        while len(self.memory) > self.capacity:
            del self.memory[next(iter(self.memory))]
        return torch.tensor(values, dtype=torch.get_default_dtype())


class CachedReward(_Remembering[S]):
    """Rewards remembered by the environment's key, so that no object is scored twice.

    For rewards that do not read the condition. The oldest objects are forgotten first.

    Args:
        reward: What to remember.
        key: ``states -> (B,) int64``, normally ``env.key``.
        capacity: Number of objects kept.
    """

    def __init__(
        self, reward: LogReward[S], key: Callable[[S], Tensor], capacity: int = 1_000_000
    ) -> None:
        super().__init__(capacity)
        self.reward, self.key, self.has_partial = reward, key, reward.has_partial

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus energies, not remembered."""
        return self.reward.partial(states, condition)

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self._values(
            self.key(states).tolist(),
            lambda rows: real(self.reward(take(states, torch.tensor(rows))), repr(self)).tolist(),
        ).to(device_of(states))

    def __repr__(self) -> str:
        return f"CachedReward({self.reward!r})"


class HostReward(_Remembering[S]):
    """A reward that is computed on the host, one call per batch of *distinct* objects.

    The states are turned into plain Python objects (SMILES, sequences); distinct ones that are
    not remembered are scored together, in parallel workers when a `pool` is given.

    Args:
        describe: ``states -> list of hashable objects``, one per state.
        score: ``list of objects -> list of log-rewards``, one number each; must be picklable for
            a pool.
        pool: `gflow.rewards.pool.WorkerPool`, or None to score in this process.
        capacity: Number of objects remembered.
        timeout: Seconds that scoring one object may take, in place of the pool's own limit.

    Raises:
        ConfigError: A timeout without a pool, whose workers can be ended.
    """

    def __init__(
        self,
        describe: Callable[[S], list[Any]],
        score: Callable[[list[Any]], Sequence[Any]],
        pool: Any = None,
        capacity: int = 1_000_000,
        timeout: float | None = None,
    ) -> None:
        super().__init__(capacity)
        self.describe, self.score, self.pool, self.timeout = describe, score, pool, timeout
        if timeout is not None and pool is None:
            raise ConfigError(
                f"HostReward: timeout={timeout} ends a worker that takes too long, and there is "
                f"none: pass pool=WorkerPool(workers=1) or more."
            )

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        objects = self.describe(states)

        def score(rows: list[int]) -> Sequence[Any]:
            things = [objects[row] for row in rows]
            if not self.pool:
                return self.score(things)
            limit = {} if self.timeout is None else {"timeout": self.timeout}
            found: Sequence[Any] = self.pool.map(self.score, things, **limit)
            return found

        return self._values(objects, score).to(device_of(states))

    def __repr__(self) -> str:
        return f"HostReward({getattr(self.score, '__name__', self.score)!s})"


def _of(reward: LogReward[Any], value: Any) -> Tensor:
    """What the wrapped `reward` returned, as floats: whole numbers would round a temperature."""
    return real(value, f"The reward {reward!r}")

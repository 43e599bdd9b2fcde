"""Log-rewards: callables on finished objects, apart from the environments, and their wrappers.

A wrapper takes a reward and is one, so they compose: ``Tempered(Clipped(QED(), low=-5), beta=8)``.
The order is explicit because it changes the target: clipping before tempering is not clipping after.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gflow.errors import ConfigError

S = TypeVar("S")


class LogReward(ABC, Generic[S]):
    """log R of finished objects: ``reward(states, condition)`` is (B,) float.

    `condition` (B, C) or None is whatever the sampler was asked for (a temperature, preferences);
    plain rewards ignore it.
    """

    @abstractmethod
    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log-reward of B finished objects."""

    def __repr__(self) -> str:
        return type(self).__name__


class FunctionReward(LogReward[S]):
    """A plain function ``states -> (B,) log-reward`` as a `LogReward`."""

    def __init__(self, function: Callable[[S], Tensor]) -> None:
        self.function = function

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        return self.function(states)

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


class Tempered(LogReward[S]):
    """R^beta: ``beta * log R``. beta > 1 sharpens, beta < 1 flattens."""

    def __init__(self, reward: LogReward[S], beta: float) -> None:
        if not beta > 0:
            raise ConfigError(f"Tempered: beta must be positive, got {beta}.")
        self.reward, self.beta = reward, beta

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        return self.beta * self.reward(states, condition)

    def __repr__(self) -> str:
        return f"Tempered({self.reward!r}, beta={self.beta:g})"


class Clipped(LogReward[S]):
    """log R kept within [low, high]."""

    def __init__(
        self, reward: LogReward[S], low: float | None = None, high: float | None = None
    ) -> None:
        if low is not None and high is not None and low >= high:
            raise ConfigError(f"Clipped: low must be below high, got low={low}, high={high}.")
        self.reward, self.low, self.high = reward, low, high

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        return self.reward(states, condition).clamp(self.low, self.high)

    def __repr__(self) -> str:
        return f"Clipped({self.reward!r}, low={self.low}, high={self.high})"


class TemperatureConditional(LogReward[S]):
    """R^beta with beta given per object: ``condition[:, 0] * log R``."""

    def __init__(self, reward: LogReward[S]) -> None:
        self.reward = reward

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ConfigError(
                "TemperatureConditional: no condition was given. Train and sample with a condition "
                "(B, 1) that holds the inverse temperature, e.g. from `UniformCondition`."
            )
        value = self.reward(states)
        return condition[:, 0].to(value.dtype) * value

    def __repr__(self) -> str:
        return f"TemperatureConditional({self.reward!r})"


class CachedReward(LogReward[S]):
    """Rewards remembered by the environment's key, so that no object is scored twice.

    For rewards that do not read the condition. The memory holds `capacity` objects; the oldest
    go first.

    Args:
        reward: What to remember.
        key: ``states -> (B,) int64``, normally ``env.key``.
        capacity: Number of objects kept.
    """

    def __init__(
        self, reward: LogReward[S], key: Callable[[S], Tensor], capacity: int = 1_000_000
    ) -> None:
        self.reward, self.key, self.capacity = reward, key, capacity
        self.memory: dict[int, float] = {}
        self.calls = 0

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        from gflow.state import take

        keys = self.key(states).tolist()
        fresh: dict[int, int] = {}
        for row, k in enumerate(keys):
            if k not in self.memory:
                fresh.setdefault(k, row)
        known: dict[int, float] = {}
        if fresh:
            rows = torch.tensor(list(fresh.values()))
            values = self.reward(take(states, rows))
            self.calls += len(rows)
            known = dict(zip(fresh, values.tolist(), strict=True))
        out = torch.tensor([known[k] if k in known else self.memory[k] for k in keys])
        self.memory.update(known)
        while len(self.memory) > self.capacity:
            del self.memory[next(iter(self.memory))]
        return out

    def __repr__(self) -> str:
        return f"CachedReward({self.reward!r})"


class HostReward(LogReward[S]):
    """A reward that is computed on the host, one call per batch of *distinct* objects.

    The states are turned into plain Python objects (SMILES, sequences); distinct ones that are
    not remembered are scored together, in parallel workers when a `pool` is given.

    Args:
        describe: ``states -> list of hashable objects``, one per state.
        score: ``list of objects -> list of (log-reward)``; must be picklable for a pool.
        pool: `gflow.pool.WorkerPool`, or None to score in this process.
        capacity: Number of objects remembered.
    """

    def __init__(
        self,
        describe: Callable[[S], list[Any]],
        score: Callable[[list[Any]], list[float]],
        pool: Any = None,
        capacity: int = 1_000_000,
    ) -> None:
        self.describe, self.score, self.pool, self.capacity = describe, score, pool, capacity
        self.memory: dict[Any, float] = {}
        self.calls = 0

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        objects = self.describe(states)
        fresh = [x for x in dict.fromkeys(objects) if x not in self.memory]
        known: dict[Any, float] = {}
        if fresh:
            values = self.pool.map(self.score, fresh) if self.pool else self.score(fresh)
            self.calls += len(fresh)
            known = dict(zip(fresh, values, strict=True))
        out = torch.tensor([known[x] if x in known else self.memory[x] for x in objects])
        self.memory.update(known)
        while len(self.memory) > self.capacity:
            del self.memory[next(iter(self.memory))]
        return out

    def __repr__(self) -> str:
        return f"HostReward({getattr(self.score, '__name__', self.score)!s})"

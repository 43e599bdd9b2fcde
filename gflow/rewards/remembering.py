"""Rewards that are dear: distinct objects are scored once, and remembered."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.rewards.pool import can_begin
from gflow.rewards.values import numbers, real
from gflow.state import device_of, take

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.rewards.pools import Pool
    from gflow.trajectories import Trajectories

S = TypeVar("S")


class _Remembering(LogReward[S]):
    """Scores each distinct object once and remembers the latest `capacity` of them.

    What an older version of the reward scored is forgotten.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.memory: dict[Any, float] = {}
        self._scored_by: int | None = None
        self._ahead: tuple[int, list[Any], Callable[[], Sequence[Any]]] | None = None
        self.calls = 0

    def _fresh(self, objects: list[Any]) -> dict[Any, int]:
        """Distinct objects that are not remembered, with the first row of each."""
        if self._scored_by != self.version:
            self.memory.clear()
            self._scored_by = self.version
        fresh: dict[Any, int] = {}
        for row, thing in enumerate(objects):
            if thing not in self.memory:
                fresh.setdefault(thing, row)
        return fresh

    def _settle(self) -> None:
        """Remember what was begun, if the reward is still the same."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            version, things, wait = ahead
            found = numbers(wait(), things, f"The reward {self!r}")
            if version == self.version:
                self.memory.update(zip(things, found, strict=True))

    def _values(self, objects: list[Any], ask: Callable[[list[int]], Sequence[Any]]) -> Tensor:
        """(B,) values of `objects`; `ask` is called with the rows of unknown distinct ones."""
        self._settle()
        fresh = self._fresh(objects)
        known: dict[Any, float] = {}
        if fresh:
            found = numbers(ask(list(fresh.values())), list(fresh), f"The reward {self!r}")
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

    def of_trajectories(
        self,
        env: "Environment[Any]",
        trajectories: "Trajectories[S]",
        condition: Tensor | None = None,
    ) -> Tensor:
        """(N,) log R of all stored states: by the reward's own pass if it has one."""
        if type(self.reward).of_trajectories is LogReward.of_trajectories:
            return super().of_trajectories(env, trajectories, condition)
        return self.reward.of_trajectories(env, trajectories, condition)

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
    not remembered are computed together, in parallel workers when a `pool` is given.

    Args:
        describe: ``states -> list of hashable objects``, one per state.
        log_rewards: ``list of objects -> list of log-rewards``, one number each; must be picklable
            for a pool.
        pool: Of workers (`gflow.rewards.open_pool`), or None to compute in this process.
        capacity: Number of objects remembered.
        timeout: Seconds that one object may take, in place of the pool's own limit.

    Raises:
        ConfigError: A timeout without a pool, whose workers can be ended.
    """

    def __init__(
        self,
        describe: Callable[[S], list[Any]],
        log_rewards: Callable[[list[Any]], Sequence[Any]],
        pool: "Pool | None" = None,
        capacity: int = 1_000_000,
        timeout: float | None = None,
    ) -> None:
        super().__init__(capacity)
        self.describe, self.log_rewards = describe, log_rewards
        self.pool, self.timeout = pool, timeout
        if timeout is not None and pool is None:
            raise ConfigError(
                f"HostReward: timeout={timeout} ends a worker that takes too long, and there is "
                f"none: pass pool=WorkerPool(workers=1) or more."
            )

    def foresee(self, states: S) -> bool:
        """Have the workers begin with what is not remembered, if there are any."""
        pool: Any = self.pool
        if not can_begin(pool):
            return False
        self._settle()
        things = list(self._fresh(self.describe(states)))
        if things:
            wait = pool.begin(self.log_rewards, things, **self._limit())
            self._ahead = self.version, things, wait
            self.calls += len(things)
        return bool(things)

    def _limit(self) -> dict[str, float]:
        return {} if self.timeout is None else {"timeout": self.timeout}

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        objects = self.describe(states)

        def ask(rows: list[int]) -> Sequence[Any]:
            things = [objects[row] for row in rows]
            if self.pool is None:
                return self.log_rewards(things)
            found: Sequence[Any] = self.pool.map(self.log_rewards, things, **self._limit())
            return found

        return self._values(objects, ask).to(device_of(states))

    def __repr__(self) -> str:
        return f"HostReward({getattr(self.log_rewards, '__name__', self.log_rewards)!s})"

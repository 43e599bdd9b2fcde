"""An environment with another reward: the same states and moves, another target."""

from typing import Any, TypeVar

from gflow.environment.base import Environment
from gflow.rewards.base import LogReward

E = TypeVar("E", bound=Environment[Any])


def with_reward(
    env: E, reward: LogReward[Any], condition_dim: int = 0, name: str | None = None
) -> E:
    """The same environment, of the same class, with another reward.

    What its class knows in closed form is about the reward that it was built for (log Z, exact
    samples, energies of unfinished objects) and is forgotten; the new reward may know some of it.

    Args:
        env: Any environment; it stays as it is.
        reward: The new one.
        condition_dim: Width of the condition that it reads, and policies with it; 0 for none.
        name: Name for messages; by default that of `env`.
    """
    held = vars(env) | {
        "reward": reward,
        "condition_dim": condition_dim,
        "called": name or env.name,
    }
    same: E = _restored(_plain(type(env)), held)
    return same


class _Rewarded:
    """What is forgotten of the old reward."""

    called: str

    @property
    def name(self) -> str:
        """Name of the environment for messages."""
        return self.called

    @property
    def has_exact_objects(self) -> bool:
        """No."""
        return False

    def log_partition(self) -> None:
        """Not known."""

    exact_objects = Environment.exact_objects
    partial_log_reward = Environment.partial_log_reward

    def __reduce__(self) -> Any:
        """Classes that are made here have no name by which they could be found again."""
        return _restored, (_plain(type(self)), vars(self))


_MADE: dict[type[Any], type[Any]] = {}


def _rewarded(cls: type[Any]) -> type[Any]:
    if cls not in _MADE:
        _MADE[cls] = type(cls.__name__, (_Rewarded, cls), {"__module__": cls.__module__})
    return _MADE[cls]


def _plain(cls: type[Any]) -> type[Any]:
    """The class that was written down, of one that was made here."""
    return cls.__mro__[2] if issubclass(cls, _Rewarded) else cls


def _restored(cls: type[Any], held: dict[str, Any]) -> Any:
    found = object.__new__(_rewarded(cls))
    vars(found).update(held)
    return found

"""Pools by name: worker processes of this machine, or Ray's on any number of them."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from gflow.errors import ConfigError
from gflow.machines.cluster import is_ray
from gflow.rewards.pool import WorkerPool

X = TypeVar("X")
Y = TypeVar("Y")


@runtime_checkable
class Pool(Protocol):
    """Computes a function for many objects elsewhere; whoever writes another needs no more.

    Attributes:
        workers: How many compute at once; 0 for none but this process.
    """

    workers: int

    def map(
        self,
        function: Callable[[list[X]], Sequence[Y]],
        items: Sequence[X],
        timeout: float | None = None,
    ) -> list[Y]:
        """``function(list(items))``, in parts, in order; seconds for each object.

        Raises:
            WorkerError: Naming the first object for which there is no result.
        """

    def close(self) -> None:
        """End the workers."""


def open_pool(pool: str | Pool = "local", workers: int = 0, timeout: float | None = None) -> Pool:
    """A pool of so many workers.

    Args:
        pool: "local" for processes of this machine; "ray" for those of Ray, on this machine or
            where RAY_ADDRESS says; "ray://HOST:PORT" for those of a cluster. A pool stays as it is.
        workers: How many; 0 computes in this process.
        timeout: Seconds that one object may take; None for no limit.

    Raises:
        ConfigError: If there is no such pool, or the numbers do not go with it.
    """
    if not isinstance(pool, str):
        if workers or timeout is not None:
            raise ConfigError(
                f"{type(pool).__name__} was given as a pool and has its own workers: leave "
                f"workers={workers} and timeout={timeout} out."
            )
        return pool
    check_pool(pool)
    if not is_ray(pool):
        return WorkerPool(workers, timeout=timeout)
    from gflow.rewards.ray_pool import RayPool

    return RayPool(workers, pool, timeout=timeout)


def check_pool(pool: str) -> None:
    """Refuse the name of a pool that there is not.

    Raises:
        ConfigError: With those that there are.
    """
    if pool != "local" and not is_ray(pool):
        raise ConfigError(
            f"pool must be local, ray (on this machine, or where RAY_ADDRESS says) or "
            f"ray://HOST:PORT, got {pool!r}."
        )

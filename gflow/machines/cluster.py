"""The connection of this process to Ray, shared by all that use it."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gflow.errors import ConfigError, MissingExtraError
from gflow.rewards.serve import BY_FILE

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Ray reports to nobody, and leaves the numbers of GPUs as they are."""

LOCAL = "ray"
"""What stands for Ray on this machine, or where RAY_ADDRESS says."""

_lock = threading.Lock()
_users = 0
_ours = ""
"""The address of a connection that was made here; empty for none."""


def is_ray(pool: str) -> bool:
    """Whether the name of a pool means Ray."""
    return pool == LOCAL or pool.startswith("ray://")


def connect(pool: str, workers: int) -> Any:
    """The package `ray`, connected; each call must be matched by one of `disconnect`.

    A connection that somebody else made in this process is used as it is.

    Args:
        pool: "ray", or "ray://host:port" of a cluster.
        workers: How many will work here, where a local one is started.

    Raises:
        MissingExtraError: If Ray is not installed.
        ConfigError: If the cluster cannot be reached, or another one is connected.
    """
    global _users, _ours
    try:
        import ray
    except ImportError as e:
        raise MissingExtraError("ray", "ray", f"pool={pool}") from e
    with _lock:
        if ray.is_initialized():
            if _ours and _ours != pool:
                raise ConfigError(
                    f"pool={pool}: this process is connected to Ray at {_ours!r} already, and one "
                    f"process has one connection. Use the same pool everywhere, or close the other."
                )
        else:
            _init(ray, pool, workers)
            _ours, _users = pool, 0
        _users += 1
    return ray


def _init(ray: Any, pool: str, workers: int) -> None:
    there = pool if pool != LOCAL else os.environ.get("RAY_ADDRESS", "")
    options: dict[str, Any] = {"address": there}
    if not there:
        options = {"address": "local", "num_cpus": workers, "include_dashboard": False}
        options |= {"logging_level": logging.ERROR}
    try:
        with _environment(), _signals():
            ray.init(**options)
    except (OSError, RuntimeError, ValueError, TimeoutError) as e:
        where = f"The cluster at {there}" if there else "Ray on this machine"
        raise ConfigError(
            f"pool={pool}: {where} does not answer ({_first_line(e)}). A cluster is started by "
            f"`ray start --head` and answers at ray://HOST:10001, with the same versions of Python "
            f"and Ray; pool=ray starts one here."
        ) from e


def disconnect() -> None:
    """One user less; with the last, a connection that was made here ends."""
    global _users, _ours
    ray = sys.modules.get("ray")
    with _lock:
        _users = max(0, _users - 1)
        if ray is not None and _ours and not _users:
            _ours = ""
            with contextlib.suppress(Exception):  # the cluster may be gone already
                ray.shutdown()


def kill(actor: Any) -> None:
    """End a worker of Ray if both are there; asked for anything, Ray would start anew."""
    ray = sys.modules.get("ray")
    if ray is not None and actor is not None and ray.is_initialized():
        with contextlib.suppress(Exception):  # it is dead already
            ray.kill(actor)


def is_remote(pool: str) -> bool:
    """Whether the pool is a cluster that others may use, too."""
    return pool != LOCAL or "RAY_ADDRESS" in os.environ


def dumps(thing: Any) -> bytes:
    """Pickle for another node: what the user's script or file defines goes along, by value."""
    from ray import cloudpickle

    own = [module for name, module in list(sys.modules.items()) if name.startswith(BY_FILE)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps(thing)
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
    return data


def loads(data: bytes, path: list[str]) -> Any:
    """What `dumps` pickled, with the folders of another process to import from as well."""
    from ray import cloudpickle

    sys.path.extend(folder for folder in path if folder not in sys.path)
    return cloudpickle.loads(data)


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update({name: value for name, value in QUIET.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextmanager
def _signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which asks a run to stop and save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

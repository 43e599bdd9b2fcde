"""A pool of Ray's workers, on this machine or on the nodes of a cluster."""

import hashlib
import math
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gflow.errors import ConfigError
from gflow.machines.cluster import connect, disconnect, dumps, is_ray, is_remote, kill, loads
from gflow.rewards.pool import Share, WorkerPool
from gflow.rewards.serve import Answer, call
from gflow.rewards.worker import import_path

X = TypeVar("X")
Y = TypeVar("Y")

STARTS_IN = 600.0
"""Seconds within which a worker must start: a cluster may have to add a node first."""


class RayPool(WorkerPool):
    """Maps a function over lists in Ray's workers.

    What `WorkerPool` is on one machine: objects go in chunks to whoever is free, what fails is
    named, and objects that take too long are given up. A worker that dies, alone or with its node,
    is replaced elsewhere, and what it held is computed again.

    The function goes to each worker once. What the user's script or file defines goes along with
    it; all else must be installed on the nodes.

    Args:
        workers: How many, at least 1.
        pool: "ray" for Ray on this machine (started if need be) or where RAY_ADDRESS says;
            "ray://HOST:PORT" for a cluster. On a cluster each worker takes one CPU.
        chunk: Largest number of objects sent at once.
        timeout: Seconds that one object may take; None for no limit.
        retries: How often objects are computed again because the worker that held them died.

    Raises:
        ConfigError: If a number is out of range, or the pool is not one of Ray.
        MissingExtraError: When workers start, if Ray is not installed.
    """

    def __init__(
        self,
        workers: int,
        pool: str = "ray",
        chunk: int = 64,
        timeout: float | None = None,
        retries: int = 3,
    ) -> None:
        if not is_ray(pool) or workers < 1:
            raise ConfigError(
                f"RayPool: need pool='ray' or 'ray://HOST:PORT' and workers >= 1, got {pool!r} and "
                f"workers={workers}. Without workers, use pool='local'."
            )
        super().__init__(workers, chunk, timeout, retries)
        self.pool = pool

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "pool": self.pool}

    def _start(self) -> None:
        if self._finalizer is None:
            ray = connect(self.pool, self.workers)
            self._idle = [RayWorker(ray, is_remote(self.pool)) for _ in range(self.workers)]
            self._finalizer = weakref.finalize(self, _end, list(self._idle))

    def _share(
        self,
        function: Callable[[list[X]], Sequence[Y]],
        chunks: list[list[X]],
        timeout: float | None,
    ) -> Share:
        return RayShare(dumps(function), chunks, timeout, self.retries)


class RayShare(Share):
    """Chunks that go through workers of Ray."""

    def heard(self, wait: float | None) -> list[Any]:
        """Those that have answered, or have not even started in time."""
        ray = next(iter(self.busy)).ray
        by_reference = {worker.reference: worker for worker in self.busy}
        latest = min(worker.starts_by for worker in self.busy)
        left = min(latest - time.monotonic(), math.inf if wait is None else wait)
        done, _ = ray.wait(
            list(by_reference), num_returns=1, timeout=None if math.isinf(left) else max(0.0, left)
        )
        if done:  # and all others that have answered meanwhile
            done, _ = ray.wait(list(by_reference), num_returns=len(by_reference), timeout=0)
        late = [w for w in self.busy if w.starts_by <= time.monotonic()]
        return [*{*map(by_reference.__getitem__, done), *late}]


class RayWorker:
    """One worker of Ray, seen from the process that asks it: what `Worker` is on one machine.

    Args:
        ray: The package, connected.
        remote: Whether it takes a CPU of a cluster that others use, too.

    Attributes:
        reference: Of its next message.
        starts_by: When it must have started, in the time of `time.monotonic`.
    """

    def __init__(self, ray: Any, remote: bool) -> None:
        self.ray, self.remote = ray, remote
        self.actor: Any = None
        self.reference: Any = None
        self.starts_by = math.inf
        self._known: set[bytes] = set()
        self._waiting: tuple[bytes, bytes] | None = None
        self._why = ""

    def send(self, code: bytes, chunk: list[Any], timed: bool) -> None:
        """Ask for the function pickled in `code`, applied to a chunk."""
        data, mark = dumps(chunk), hashlib.sha256(code).digest()
        if self.actor is None:
            self._spawn()
        if timed or mark not in self._known:  # the clock starts when it is ready to compute
            self._waiting = (mark, data)
            known = None if mark in self._known else code
            self.reference = self.actor.prepare.remote(mark, known)
            self._known.add(mark)
        else:
            self.reference = self.actor.answer.remote(mark, data)

    def receive(self) -> Any:
        """Its next message: None when it starts to compute, if it had to be made ready.

        Raises:
            EOFError: It died, or did not start in time.
        """
        if self.starts_by <= time.monotonic():
            self._why = f"Ray started no worker within {STARTS_IN:g} s: is there a free CPU?"
            raise EOFError
        try:
            said = self.ray.get(self.reference)
        except self.ray.exceptions.RayError as e:
            self._why = " ".join(str(e).split())[:300]
            raise EOFError from e
        self.starts_by = math.inf
        if self._waiting is None or said is not None:
            self._waiting = None
            return said
        (mark, data), self._waiting = self._waiting, None
        self.reference = self.actor.answer.remote(mark, data)
        return None

    def _spawn(self) -> None:
        options: dict[str, Any] = {"num_cpus": 1 if self.remote else 0, "max_restarts": 0}
        if self.remote:
            options["scheduling_strategy"] = "SPREAD"
        self.actor = self.ray.remote(Server).options(**options).remote(import_path())
        self._known, self._waiting = set(), None
        self.starts_by = time.monotonic() + STARTS_IN

    def bury(self) -> str:
        """How it died."""
        self.end()
        return self._why

    def hang_up(self) -> None:
        """It ends when it is asked to."""

    def end(self, patience: float = 0.0) -> None:
        """End it at once; another starts when it is next asked."""
        actor, self.actor, self.reference = self.actor, None, None
        self.starts_by = math.inf
        kill(actor)


class Server:
    """What runs in a worker of Ray.

    Args:
        path: Folders that the asking process imports from, where this machine has them.
    """

    def __init__(self, path: list[str]) -> None:
        self.path, self.functions = path, dict[bytes, Any]()

    def prepare(self, mark: bytes, code: bytes | None) -> Answer | None:
        """Read a function, if it is new; an answer only if that fails."""
        try:
            if code is not None:
                self.functions[mark] = loads(code, self.path)
        except Exception:
            return Answer(error=f"a worker cannot read it:\n{traceback.format_exc()}")
        return None

    def answer(self, mark: bytes, data: bytes) -> Answer:
        """The function of that mark on a chunk."""
        try:
            chunk = loads(data, self.path)
        except Exception:
            return Answer(error=f"a worker cannot read it:\n{traceback.format_exc()}")
        return call(self.functions[mark], chunk)


def _end(workers: list[RayWorker]) -> None:
    for worker in workers:
        worker.end()
    disconnect()

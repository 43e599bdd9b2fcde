"""A small pool of worker processes for rewards that need the CPU.

Workers are fresh interpreters that speak pickles over their standard streams. Compared with
`multiprocessing` they do not fork a process that holds threads or a GPU, and they do not run the
user's script a second time, so that a worker starts without importing torch and a script
needs no special guard (unless the function to call is defined in that script: see `WorkerPool`).
"""

import math
import pickle
import selectors
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gflow.errors import ConfigError, GFlowError
from gflow.rewards.serve import Answer, call
from gflow.rewards.worker import Worker

X = TypeVar("X")
Y = TypeVar("Y")


class WorkerError(GFlowError, RuntimeError):
    """A function failed in a worker, or a worker died; the message names the object."""


class WorkerTimeoutError(WorkerError, TimeoutError):
    """A function took longer for an object than it may; the message names the object."""


class WorkerPool:
    """Maps a function over lists in worker processes.

    Workers start when first needed and end with `close`, at the end of a ``with`` block, when the
    pool is collected, or when this process dies for whatever reason. Ctrl-C does not reach them:
    what stops `map` (an error, an interrupt) ends those that are still computing.

    The function takes a list and returns a list of equal length; it and the objects must be
    picklable. It is sent to each worker once, and keeps whatever it caches there. A function
    defined in the script that is being run is found by running the script once per worker under
    another name, as `multiprocessing` does, so such a script needs ``if __name__ == "__main__":``.

    Args:
        workers: Number of processes; 0 computes in this one.
        chunk: Largest number of objects sent at once. Small chunks balance the load.
        timeout: Seconds that one object may take; None for no limit. Objects are then sent one at
            a time. Needs workers, which can be ended.
        retries: How often objects are computed again because the worker that held them died.

    Raises:
        ConfigError: If a number is negative or zero where it may not be.
    """

    def __init__(
        self, workers: int = 0, chunk: int = 64, timeout: float | None = None, retries: int = 1
    ) -> None:
        if workers < 0 or chunk < 1 or retries < 0:
            raise ConfigError(
                f"{type(self).__name__}: need workers >= 0, chunk >= 1 and retries >= 0, got "
                f"workers={workers}, chunk={chunk}, retries={retries}."
            )
        self.workers, self.chunk, self.timeout = workers, chunk, self._limit(timeout, workers)
        self.retries = retries
        self._idle: list[Any] = []
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._lock = threading.RLock()
        self._begun: _Begun | None = None

    def map(
        self,
        function: Callable[[list[X]], Sequence[Y]],
        items: Sequence[X],
        timeout: float | None = None,
    ) -> list[Y]:
        """``function(list(items))``, computed in chunks by all workers, in order.

        Args:
            function: What to compute.
            items: For which objects.
            timeout: In place of the pool's own.

        Raises:
            WorkerError: If the function raises, naming the first object for which it does.
            WorkerTimeoutError: If it takes too long, naming the object.
        """
        items = list(items)
        timeout = self.timeout if timeout is None else self._limit(timeout, self.workers)
        if not items:
            return []
        if self.workers == 0:
            return _checked(call(function, items), items)
        # Several chunks per worker, so that none waits long for the slowest.
        chunks = self._chunks(items, 4 * self.workers, timeout)
        with self._lock:
            self._settle()
            self._start()
            answers = self._share(function, chunks, timeout).run(self._idle)
        return _joined(answers, chunks)

    def begin(
        self,
        function: Callable[[list[X]], Sequence[Y]],
        items: Sequence[X],
        timeout: float | None = None,
    ) -> Callable[[], list[Y]]:
        """`map` in two halves: the workers begin, and a call of what is returned waits for them.

        Meanwhile this process may do something else; only what each worker was given first, an
        equal part of the objects or `chunk` of them, is computed without it. What `map` would
        raise is raised by the call. Another `map` or `begin` waits for what was begun before.

        Raises:
            ConfigError: If there are no workers.
        """
        timeout = self.timeout if timeout is None else self._limit(timeout, self.workers)
        if self.workers == 0:
            raise ConfigError(
                "WorkerPool: workers=0 computes in this process, so nothing can be begun beside "
                "it. Use `map`, or set workers to 1 or more."
            )
        chunks = self._chunks(list(items), self.workers, timeout)
        with self._lock:
            self._settle()
            self._start()
            begun = _Begun(self._share(function, chunks, timeout))
            begun.share.send(self._idle)
            self._begun = begun

        def wait() -> list[Y]:
            with self._lock:
                begun.finish(self._idle)
            if begun.failure is not None:
                raise begun.failure
            return _joined(begun.answers, chunks)

        return wait

    def _chunks(self, items: list[X], parts: int, timeout: float | None) -> list[list[X]]:
        size = max(1, min(self.chunk, -(-len(items) // parts)))
        size = size if timeout is None else 1
        return [items[i : i + size] for i in range(0, len(items), size)]

    def _settle(self) -> None:
        """Wait for what was begun, whose workers are needed."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.finish(self._idle)

    def close(self) -> None:
        """End the workers. The pool may be used again, and then starts new ones."""
        with self._lock:
            if self._begun is not None:
                self._begun.abandon()
            self._begun = None
            if self._finalizer is not None:
                self._finalizer()
            self._finalizer = None

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        names = ("workers", "chunk", "timeout", "retries")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _start(self) -> None:
        if self._finalizer is None:
            self._idle = [Worker() for _ in range(self.workers)]
            self._finalizer = weakref.finalize(self, _end, list(self._idle))

    def _share(
        self,
        function: Callable[[list[X]], Sequence[Y]],
        chunks: list[list[X]],
        timeout: float | None,
    ) -> "Share":
        return Share(pickle.dumps(function), chunks, timeout, self.retries)

    @staticmethod
    def _limit(timeout: float | None, workers: int) -> float | None:
        if timeout is None:
            return None
        if not (timeout > 0 and math.isfinite(timeout)):
            raise ConfigError(
                f"WorkerPool: timeout must be a positive number of seconds, or None for no limit; "
                f"got {timeout}."
            )
        if workers == 0:
            raise ConfigError(
                f"WorkerPool: timeout={timeout:g} ends a worker that takes too long, and workers=0 "
                f"computes in this process, which cannot be ended. Set workers to 1 or more."
            )
        return timeout


def can_begin(pool: Any) -> bool:
    """Whether a pool can compute while this process does something else."""
    return getattr(pool, "workers", 0) > 0 and hasattr(pool, "begin")


class Share:
    """Chunks that go through the workers.

    Args:
        code: The pickled function.
        chunks: What to compute.
        timeout: Seconds a chunk may take, or None.
        retries: How often a chunk is computed again because its worker died.
    """

    def __init__(
        self, code: bytes, chunks: list[list[Any]], timeout: float | None, retries: int = 0
    ) -> None:
        self.code, self.chunks, self.timeout, self.retries = code, chunks, timeout, retries
        self.waiting = list(range(len(chunks)))[::-1]
        self.deaths = [0] * len(chunks)
        self.answers: list[Answer | None] = [None] * len(chunks)
        self.failures: dict[int, WorkerError] = {}
        self.busy: dict[Any, int] = {}
        self.deadline: dict[Any, float] = {}

    def run(self, idle: list[Any]) -> list[Any]:
        """All answers up to the first that is a failure; `idle` holds all workers afterwards.

        Raises:
            WorkerError: If a worker died or took too long at the first chunk that failed.
        """
        try:
            while self.waiting or self.busy:
                self.send(idle)
                for worker in self.ready():
                    if self._take(worker):
                        idle.append(worker)
                        del self.busy[worker]
                        self.deadline.pop(worker, None)
                bad = [n for n, a in enumerate(self.answers) if a is not None and a.results is None]
                first = min([*bad, *self.failures], default=len(self.chunks))
                if first < len(self.chunks):
                    self.waiting = [n for n in self.waiting if n < first]
                    if not self.waiting and all(n > first for n in self.busy.values()):
                        break
        finally:  # what is still computing after a failure or an interrupt is wanted no more
            for worker in self.busy:
                worker.end(0)
            idle.extend(self.busy)
        if self.failures and min(self.failures) == first:
            raise self.failures[first]
        return [a if a is not None else Answer(error="not computed") for a in self.answers]

    def send(self, idle: list[Any]) -> None:
        """Give each idle worker a chunk, as long as there are any."""
        while self.waiting and idle:
            worker = idle.pop()
            self.busy[worker] = self.waiting.pop()
            worker.send(self.code, self.chunks[self.busy[worker]], bool(self.timeout))

    def ready(self) -> list[Any]:
        """Workers with a message or past their deadline; waits for one."""
        wait = None
        if self.deadline:
            wait = max(0.0, min(self.deadline.values()) - time.monotonic())
        ready = self.heard(wait)
        now = time.monotonic()
        late = [w for w, until in self.deadline.items() if until <= now and w not in ready]
        return [*ready, *late]

    def heard(self, wait: float | None) -> list[Any]:
        """Workers with a message; waits so many seconds for one, or until there is one."""
        with selectors.DefaultSelector() as selector:
            for worker in self.busy:
                selector.register(worker, selectors.EVENT_READ)
            return [key.fileobj for key, _ in selector.select(wait)]

    def _take(self, worker: Any) -> bool:
        """Take a message of a worker, or end it if it is late; whether it is done."""
        number = self.busy[worker]
        chunk = self.chunks[number]
        if time.monotonic() >= self.deadline.get(worker, math.inf):
            worker.end(0)
            self.failures[number] = WorkerTimeoutError(
                f"WorkerPool: the function took more than timeout={self.timeout:g} s for "
                f"{_shown(chunk)}; its worker was ended and will be replaced. Raise the limit, or "
                f"let the function give up on such objects and return a low reward."
            )
            return True
        try:
            answer = worker.receive()
        except (EOFError, OSError):
            how = worker.bury()
            self.deaths[number] += 1
            if self.deaths[number] <= self.retries:
                self.waiting.append(number)
                return True
            times = self.deaths[number]
            self.failures[number] = WorkerError(
                f"WorkerPool: a worker died ({how}) while it held {_shown(chunk)}"
                f"{f', the last of {times} that did' if times > 1 else ''}. Its own message, if "
                f"any, is above; workers=0 computes in this process, where a debugger can see it."
            )
            return True
        if answer is None:
            if self.timeout is not None:
                self.deadline[worker] = time.monotonic() + self.timeout
            return False
        self.answers[number] = answer
        return True


class _Begun:
    """Chunks of which some went to workers, and whose answers are taken later, once."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.answers: list[Any] | None = None
        self.failure: Exception | None = None

    def finish(self, idle: list[Any]) -> None:
        """See all chunks through, unless that is done; an error is kept for whoever waits."""
        if self.answers is None and self.failure is None:
            try:
                self.answers = self.share.run(idle)
            except WorkerError as error:
                self.failure = error

    def abandon(self) -> None:
        """Give up, as the workers end."""
        if self.answers is None and self.failure is None:
            self.failure = WorkerError(
                "WorkerPool: the pool was closed before the results of what had begun were taken."
            )


def _joined(answers: Any, chunks: list[list[Any]]) -> list[Any]:
    results = [_checked(a, chunk) for a, chunk in zip(answers, chunks, strict=True)]
    return [y for result in results for y in result]


def _end(workers: list[Any]) -> None:
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        worker.end()


def _checked(answer: Answer, chunk: list[Any]) -> list[Any]:
    if answer.results is not None:
        return answer.results
    which = _shown(chunk) if answer.bad < 0 else repr(chunk[answer.bad])
    raise WorkerError(f"WorkerPool: the function failed for {which}: {answer.error}")


def _shown(chunk: list[Any]) -> str:
    more = f" and {len(chunk) - 3} more" if len(chunk) > 3 else ""
    return ", ".join(map(repr, chunk[:3])) + more

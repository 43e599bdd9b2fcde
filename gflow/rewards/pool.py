"""A small pool of worker processes for rewards that need the CPU.

Workers are fresh interpreters that speak pickles over their standard streams. Compared with
`multiprocessing` they do not fork a process that holds threads or a GPU, and they do not run the
user's script a second time, so that a worker starts without importing torch and a script
needs no special guard (unless the function to call is defined in that script: see `WorkerPool`).
"""

import contextlib
import hashlib
import io
import os
import pickle
import queue
import runpy
import struct
import subprocess
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar

from gflow.errors import ConfigError, GFlowError

X = TypeVar("X")
Y = TypeVar("Y")

_START = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from gflow.rewards.pool import _serve; _serve()"
)


class WorkerError(GFlowError, RuntimeError):
    """A function failed in a worker, or a worker died; the message names the object."""


class WorkerPool:
    """Maps a function over lists in worker processes.

    Workers start when first needed and end with `close`, at the end of a ``with`` block, when the
    pool is collected, or when this process dies for whatever reason.

    The function takes a list and returns a list of equal length; it and the objects must be
    picklable. It is sent to each worker once, and keeps whatever it caches there. A function
    defined in the script that is being run is found by running the script once per worker under
    another name, as `multiprocessing` does, so such a script needs ``if __name__ == "__main__":``.

    Args:
        workers: Number of processes; 0 computes in this one.
        chunk: Largest number of objects sent at once. Small chunks balance the load.

    Raises:
        ConfigError: If a number is negative or zero where it may not be.
    """

    def __init__(self, workers: int = 0, chunk: int = 64) -> None:
        if workers < 0 or chunk < 1:
            raise ConfigError(
                f"WorkerPool: need workers >= 0 and chunk >= 1, got workers={workers}, "
                f"chunk={chunk}."
            )
        self.workers, self.chunk = workers, chunk
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._threads: ThreadPoolExecutor | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._lock = threading.Lock()

    def map(self, function: Callable[[list[X]], list[Y]], items: Sequence[X]) -> list[Y]:
        """``function(list(items))``, computed in chunks by all workers, in order.

        Raises:
            WorkerError: If the function raises, naming the first object for which it does.
        """
        items = list(items)
        if not items:
            return []
        if self.workers == 0:
            return _checked(_call(function, items), items)
        threads = self._start()
        code = pickle.dumps(function)
        # Several chunks per worker, so that none waits long for the slowest.
        size = max(1, min(self.chunk, -(-len(items) // (4 * self.workers))))
        chunks = [items[i : i + size] for i in range(0, len(items), size)]
        futures = [threads.submit(self._on_worker, code, chunk) for chunk in chunks]
        try:
            results = [
                _checked(future.result(), chunk)
                for future, chunk in zip(futures, chunks, strict=True)
            ]
        finally:
            for future in futures:
                future.cancel()
        return [y for result in results for y in result]

    def close(self) -> None:
        """End the workers. The pool may be used again, and then starts new ones."""
        with self._lock:
            if self._threads is not None and self._finalizer is not None:
                self._threads.shutdown(wait=True, cancel_futures=True)
                self._finalizer()
            self._threads = self._finalizer = None

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"workers": self.workers, "chunk": self.chunk}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _start(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._idle = queue.SimpleQueue()
                started = [_Worker() for _ in range(self.workers)]
                for worker in started:
                    self._idle.put(worker)
                self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="gflow-pool")
                self._finalizer = weakref.finalize(self, _end, started)
            return self._threads

    def _on_worker(self, code: bytes, chunk: list[Any]) -> "_Answer":
        worker = self._idle.get()
        try:
            return worker.call(code, chunk)
        finally:
            self._idle.put(worker)


class _Answer:
    """Results, or the failure of one object."""

    def __init__(self, results: list[Any] | None = None, bad: int = -1, error: str = "") -> None:
        self.results, self.bad, self.error = results, bad, error


class _Worker:
    """One process. It starts at the first call, and again after it has died."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.known: set[bytes] = set()

    def call(self, code: bytes, chunk: list[Any]) -> _Answer:
        """The function pickled in `code`, applied to a chunk."""
        data = pickle.dumps(chunk)
        process = self.process if self.process is not None else self._spawn()
        assert process.stdin is not None
        assert process.stdout is not None
        mark = hashlib.sha256(code).digest()
        try:
            _send(process.stdin, (mark, None if mark in self.known else code, data))
            self.known.add(mark)
            answer: _Answer = _receive(process.stdout)
        except (EOFError, OSError) as error:
            self.end()
            raise WorkerError(
                f"WorkerPool: a worker died (exit status {process.returncode}) while it held "
                f"{_shown(chunk)}. Its own message, if any, is above; workers=0 computes in this "
                f"process, where a debugger can see it."
            ) from error
        return answer

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.known = set()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        pickle.dump([*sys.path], self.process.stdin)
        main = sys.modules.get("__main__")
        _send(self.process.stdin, getattr(main, "__file__", None))
        return self.process

    def end(self) -> None:
        """Ask the process to end, and insist if it does not."""
        process, self.process = self.process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()


def _call(function: Callable[[list[Any]], list[Any]], chunk: list[Any]) -> _Answer:
    """The function on a chunk; after a failure object by object, to find the first bad one."""
    try:
        results = list(function(chunk))
    except Exception:
        for index, item in enumerate(chunk):
            try:
                function([item])
            except Exception as error:
                lines = traceback.format_exception(error)
                return _Answer(
                    bad=index, error=f"{type(error).__name__}: {error}\n{''.join(lines)}"
                )
        return _Answer(error=f"only for these objects together:\n{traceback.format_exc()}")
    if len(results) != len(chunk):
        return _Answer(error=f"{len(results)} results for {len(chunk)} objects")
    return _Answer(results)


def _checked(answer: _Answer, chunk: list[Any]) -> list[Any]:
    if answer.results is not None:
        return answer.results
    which = _shown(chunk) if answer.bad < 0 else repr(chunk[answer.bad])
    raise WorkerError(f"WorkerPool: the function failed for {which}: {answer.error}")


def _shown(chunk: list[Any]) -> str:
    more = f" and {len(chunk) - 3} more" if len(chunk) > 3 else ""
    return ", ".join(map(repr, chunk[:3])) + more


def _send(stream: Any, message: Any) -> None:
    data = pickle.dumps(message)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def _receive(stream: Any) -> Any:
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    (size,) = struct.unpack("<Q", head)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)


def _serve() -> None:
    """The life of a worker: answer requests until the pipe is closed."""
    incoming: BinaryIO = sys.stdin.buffer
    outgoing = io.BufferedWriter(io.FileIO(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever prints, prints to stderr: stdout belongs to the answers
    codes: dict[bytes, bytes] = {}
    functions: dict[bytes, Any] = {}
    try:
        script = _Script(_receive(incoming))
        while True:
            mark, code, data = _receive(incoming)
            if code is not None:
                codes[mark] = code
            try:
                if mark not in functions:
                    functions[mark] = script.load(codes[mark])
                chunk = script.load(data)
            except Exception:
                answer = _Answer(error=f"a worker cannot read it:\n{traceback.format_exc()}")
            else:
                answer = _call(functions[mark], chunk)
            _send(outgoing, answer)
    except (EOFError, KeyboardInterrupt):
        pass


class _Script:
    """Unpickles; where that needs what the user's script defines, runs the script first."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def load(self, data: bytes) -> Any:
        try:
            return pickle.loads(data)
        except AttributeError:
            if self.path is None:
                raise
        path, self.path = self.path, None
        module = types.ModuleType("__mp_main__")
        module.__dict__.update(runpy.run_path(path, run_name="__mp_main__"))
        sys.modules["__mp_main__"] = sys.modules["__main__"] = module
        return pickle.loads(data)

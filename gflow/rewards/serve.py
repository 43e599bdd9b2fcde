"""The life of a worker process: what `WorkerPool` starts at the other end of the pipes."""

import contextlib
import importlib.util
import io
import os
import pickle
import runpy
import select
import signal
import struct
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

BY_FILE = "gflow_file_"
"""Names of modules that were imported by their file begin like this; no path leads to them."""


class Answer:
    """Results, or the failure of one object."""

    def __init__(self, results: list[Any] | None = None, bad: int = -1, error: str = "") -> None:
        self.results, self.bad, self.error = results, bad, error


def call(function: Callable[[list[Any]], Sequence[Any]], chunk: list[Any]) -> Answer:
    """The function on a chunk; after a failure object by object, to find the first bad one."""
    try:
        results = list(function(chunk))
    except Exception:
        for index, item in enumerate(chunk):
            try:
                function([item])
            except Exception as error:
                lines = traceback.format_exception(error)
                return Answer(bad=index, error=f"{type(error).__name__}: {error}\n{''.join(lines)}")
        return Answer(error=f"only for these objects together:\n{traceback.format_exc()}")
    if len(results) != len(chunk):
        return Answer(error=f"{len(results)} results for {len(chunk)} objects")
    return Answer(results)


def send(stream: Any, message: Any) -> None:
    """Write one message."""
    data = pickle.dumps(message)
    view = memoryview(struct.pack("<Q", len(data)) + data)
    while view:
        view = view[stream.write(view) :]
    stream.flush()


def receive(stream: Any) -> Any:
    """Read one message.

    Raises:
        EOFError: The other end is gone.
    """
    (size,) = struct.unpack("<Q", _exactly(stream, 8))
    return pickle.loads(_exactly(stream, size))


def _exactly(stream: Any, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def serve(lifeline: int) -> None:
    """Answer requests until the pipe is closed.

    Args:
        lifeline: Read end of a pipe that the parent keeps open while it lives.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    end_with(lifeline)
    incoming: BinaryIO = sys.stdin.buffer
    outgoing = io.BufferedWriter(io.FileIO(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever prints, prints to stderr: stdout belongs to the answers
    codes: dict[bytes, bytes] = {}
    functions: dict[bytes, Any] = {}
    with contextlib.suppress(EOFError, BrokenPipeError):
        path, files = receive(incoming)
        script = _Script(path)
        sys.meta_path.append(_Files(files))
        while True:
            mark, code, data, timed = receive(incoming)
            if code is not None:
                codes[mark] = code
            try:
                if mark not in functions:
                    functions[mark] = script.load(codes[mark])
                chunk = script.load(data)
            except Exception:
                answer = Answer(error=f"a worker cannot read it:\n{traceback.format_exc()}")
            else:
                if timed:
                    send(outgoing, None)  # the clock starts now
                answer = call(functions[mark], chunk)
            send(outgoing, answer)


def end_with(lifeline: int) -> None:
    """Have the system end this process, and what it started, once a pipe loses its writer.

    A thread that waits for that would wait for ever beside a function that never lets go of the
    interpreter; a signal with its default effect needs no interpreter.
    """
    import fcntl

    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # nothing is ever written: the parent is gone
        os._exit(1)


class _Files:
    """Finds modules that the parent imported by their file."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.files:
            return None
        return importlib.util.spec_from_file_location(name, self.files[name])


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

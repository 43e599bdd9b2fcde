"""Programs for tests: real processes that start in a moment.

`python -m gflow` spends three seconds of imports on others' packages before it does anything. So
tests let a process that has done those imports, and none of ours, fork for each program: what runs
has its own folder, environment, arguments, streams and signals, and imports gflow anew.
`conftest.py` offers a `Starter` as the fixture `starter`. What tests the start itself, signals or
kill -9 from the very beginning takes `subprocess` as before.
"""

import fcntl
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "torch._dynamo",
    "torch.profiler",
    "yaml",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
)
"""What all programs import in the end, and takes long."""
LARGEST = 200_000


class Program:
    """A program that was started, with the methods of `subprocess.Popen` that tests need."""

    returncode: int | None

    def __init__(self, link: socket.socket, pid: int) -> None:
        self.pid, self.returncode = pid, None
        self._link = link

    def poll(self) -> int | None:
        """Its exit status, negative after a signal, or None while it runs."""
        if self.returncode is None:
            self._link.send(json.dumps(self.pid).encode())
            self.returncode = json.loads(self._link.recv(LARGEST))
        return self.returncode

    def wait(self, timeout: float = 120) -> int:
        """Its exit status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: It takes longer.
        """
        limit, pause = time.monotonic() + timeout, 0.001
        while self.poll() is None:
            if time.monotonic() > limit:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Starter:
    """Starts programs by what follows `python`: ``-m module``, ``-c code`` or a file, and more."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._link.settimeout(120)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(
        self,
        words: Sequence[str],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        stdout: int = subprocess.DEVNULL,
        stderr: int = 2,
        terminal: int | None = None,
    ) -> Program:
        """Start a program whose streams are the given descriptors.

        Args:
            words: What follows `python` on the command line.
            cwd: Its folder, by default this one.
            env: All its environment, by default this one's.
            stdout: Where it prints; by default nowhere.
            stderr: Where it complains; by default where this process does.
            terminal: A terminal that it shall have for its own, in place of these streams.
        """
        about = {
            "words": list(words),
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "terminal": terminal is not None,
        }
        with Path(os.devnull).open("r+b") as nowhere:
            silent = nowhere.fileno()
            streams = [silent, silent if stdout == subprocess.DEVNULL else stdout, stderr]
            streams = streams if terminal is None else [terminal] * 3
            socket.send_fds(self._link, [json.dumps(about).encode()], streams)
        return Program(self._link, json.loads(self._link.recv(LARGEST)))

    def run(
        self,
        words: Sequence[str],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        timeout: float = 120,
    ) -> "subprocess.CompletedProcess[str]":
        """What a program prints and how it ends, as `subprocess.run` gives it.

        Raises:
            subprocess.TimeoutExpired: It takes longer; it is killed.
        """
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            program = self.start(words, cwd, env, out.fileno(), err.fileno())
            try:
                code = program.wait(timeout)
            except BaseException:
                program.send_signal(signal.SIGKILL)
                program.wait()
                raise
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(list(words), code, out.read(), err.read())

    def close(self) -> None:
        """End the process that forks."""
        self._link.send(b"")
        self._link.close()
        self._server.wait(10)


def serve(link: socket.socket) -> dict[str, Any]:
    """Answer requests; returns in each child, with what it shall run, and leaves when told."""
    while True:
        data, streams, _, _ = socket.recv_fds(link, LARGEST, 3)
        if not data:
            raise SystemExit
        request = json.loads(data)
        answer: int | None
        if isinstance(request, int):
            pid, status = os.waitpid(request, os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                link.close()
                for to, stream in enumerate(streams):
                    os.dup2(stream, to)
                    os.close(stream)
                return dict(request)
            for stream in streams:
                os.close(stream)
        link.send(json.dumps(answer).encode())


def become(words: list[str], cwd: str, env: dict[str, str], terminal: bool) -> None:
    """Run a program as `python words` would, in this process."""
    if terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    safe = words[0] == "-P"
    words = words[safe:]
    first = str(Path(words[0]).parent.resolve()) if words[0] not in ("-m", "-c") else ""
    first = cwd if words[0] == "-m" else first
    paths = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = ([] if safe else [first]) + paths
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    paths = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [path for path in sys.path if path not in paths]
    for package in PACKAGES:
        __import__(package)
    gc.freeze()  # what is never looked at again is never copied for a child
    with socket.socket(fileno=int(sys.argv[1])) as wire:
        asked = serve(wire)
    become(**asked)

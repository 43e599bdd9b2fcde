"""One worker process, seen from the process that started it."""

import contextlib
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from gflow.rewards.serve import BY_FILE, receive, send

_START = (
    "import sys, pickle; sys.path[:], lifeline = pickle.load(sys.stdin.buffer); "
    "from gflow.rewards.serve import serve; serve(lifeline)"
)


class Worker:
    """A process that starts at its first call, and again after it has died.

    It is in a session of its own, where no Ctrl-C of a terminal reaches it, and ends with this
    process, however that ends.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.known: set[bytes] = set()
        self._lifeline = -1

    def send(self, code: bytes, chunk: list[Any], timed: bool) -> None:
        """Ask for the function pickled in `code`, applied to a chunk."""
        data, mark = pickle.dumps(chunk), hashlib.sha256(code).digest()
        if self.process is not None and self.process.poll() is not None:
            self.end()  # it died while it had nothing to do
        process = self.process if self.process is not None else self._spawn()
        with contextlib.suppress(BrokenPipeError):  # `receive` tells
            send(process.stdin, (mark, None if mark in self.known else code, data, timed))
        self.known.add(mark)

    def receive(self) -> Any:
        """Its next message: None when it starts to compute (if timed), then an `Answer`.

        Raises:
            EOFError: It died.
        """
        assert self.process is not None
        return receive(self.process.stdout)

    def fileno(self) -> int:
        """Where to wait for its messages."""
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.known = set()
        ours, self._lifeline = os.pipe()
        try:
            # -P: a file of the user's in the working folder must not pass for a module of Python.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
                pass_fds=(ours,),
            )
        finally:
            os.close(ours)
        assert self.process.stdin is not None
        main = sys.modules.get("__main__")
        with contextlib.suppress(BrokenPipeError):
            pickle.dump((import_path(), ours), self.process.stdin)
            send(self.process.stdin, (getattr(main, "__file__", None), _by_file()))
        return self.process

    def hang_up(self) -> None:
        """Ask the process to end once it has nothing to do."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def bury(self) -> str:
        """How it died."""
        status = self.end()
        if status >= 0:
            return f"exit status {status}"
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"

    def end(self, patience: float = 2.0) -> int:
        """Wait for the end of the process, and insist after some seconds; its exit status."""
        process, self.process = self.process, None
        if process is None:
            return 0
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            pass
        finally:
            os.close(self._lifeline)  # which ends it, and what it started
            process.kill()
            process.wait()
            process.stdout.close()
        return process.returncode


def _by_file() -> dict[str, str]:
    """Files of modules that workers would not find by their names."""
    modules = {n: m for n, m in list(sys.modules.items()) if n.startswith(BY_FILE)}
    return {name: str(module.__file__) for name, module in modules.items()}


def import_path() -> list[str]:
    """The import path of this process, with Python's own library in front of all else.

    Functions are found in workers where they are found here, such as beside the user's script. But
    a `queue.py` that lies there is not taken for Python's.
    """
    library = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    library |= {str(Path(folder) / "lib-dynload") for folder in library}
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    own = [entry for entry in sys.path if entry in library or Path(entry).name == archive]
    return [*own, *(entry for entry in sys.path if entry not in own)]

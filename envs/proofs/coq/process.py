"""One process of Coq's server: bounded in time, memory and files, and ended with all it started."""

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from xml.etree import ElementTree

from gflow.envs.proofs.checker import CheckerError, MissingCheckerError
from gflow.envs.proofs.coq.markup import Answer, Reader

PROGRAM = "coqidetop.opt"
INSTALL = "apt-get install coq"

LIMITS = 'trap "" XFSZ; ulimit -f 0; ulimit -v "$1"; shift; exec "$@"'
"""No file can be written, and memory has a bound: said by a shell before it becomes Coq."""


class SilentError(CheckerError):
    """No answer within the time there is; the process was ended."""


def find_program(name: str = PROGRAM) -> str:
    """Where a program of Coq is.

    Raises:
        MissingCheckerError: It is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise MissingCheckerError(
            f"Proofs are checked by Coq, and there is no {name} on the path. Install it with: "
            f"{INSTALL} (Debian and Ubuntu) or brew install coq (macOS); or use a recorded checker."
        )
    return found


class CoqProcess:
    """A running server.

    Args:
        seconds: How long an answer may take before the process is ended.
        memory_mb: Largest address space.

    Raises:
        MissingCheckerError: Coq is not installed.
    """

    def __init__(self, seconds: float, memory_mb: int) -> None:
        self.seconds = seconds
        program = find_program()
        self._folder = tempfile.TemporaryDirectory(prefix="gflow-coq-")
        command = ["sh", "-c", LIMITS, "sh", str(memory_mb * 1024), program, "-main-channel"]
        command += ["stdfds", "-q", "-async-proofs", "off"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=self._folder.name,
        )
        self._end = weakref.finalize(self, _end, self._process, self._folder)
        self._reader = Reader()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, requests: Sequence[str], seconds: float | None = None) -> list[Answer]:
        """The answers to requests, which are sent at once.

        Args:
            requests: One after the other.
            seconds: How long all may take, in place of what each may.

        Raises:
            SilentError: It took too long. The process is gone.
            CheckerError: The process ended, or said what is no XML. It is gone, too.
        """
        until = time.monotonic() + (self.seconds if seconds is None else seconds)
        self._write("".join(requests).encode(), until)
        answers: list[Answer] = []
        while len(answers) < len(requests):
            try:
                found = list(self._reader.feed(self._read(until)))
            except ElementTree.ParseError as error:
                self.close()
                raise CheckerError(f"Coq's server sent what is no XML: {error}.") from error
            if found and seconds is None:
                until = time.monotonic() + self.seconds
            answers += found
        return answers

    def _write(self, data: bytes, until: float) -> None:
        assert self._process.stdin is not None
        where = self._process.stdin.fileno()
        os.set_blocking(where, False)
        while data:
            self._wait([], [where], until)
            try:
                data = data[os.write(where, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                self.close()
                raise CheckerError("Coq's server has ended.") from error

    def _read(self, until: float) -> bytes:
        assert self._process.stdout is not None
        where = self._process.stdout.fileno()
        self._wait([where], [], until)
        data = os.read(where, 1 << 16)
        if not data:
            self.close()
            raise CheckerError("Coq's server has ended.")
        return data

    def _wait(self, read: list[int], write: list[int], until: float) -> None:
        left = until - time.monotonic()
        if left <= 0 or not any(select.select(read, write, [], left)):
            self.close()
            raise SilentError("Coq's server did not answer in time.")

    def close(self) -> None:
        """End the process and all that it started."""
        self._end()


def _end(process: "subprocess.Popen[bytes]", folder: "tempfile.TemporaryDirectory[str]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()
    folder.cleanup()

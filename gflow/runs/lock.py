"""One process at a time in a run's folder."""

import contextlib
import errno
import json
import os
import socket
import time
import weakref
from pathlib import Path

from gflow.errors import FolderError
from gflow.runs.holder import LOCK, born


class FolderInUseError(FolderError):
    """Another run holds the folder."""


class FolderLock:
    """An exclusive lock that the system takes back when its process ends, however it ends.

    The file beside the run says who holds it. It is removed on release and may stay behind after a
    kill; it is the lock on it that counts.

    Args:
        folder: The folder, which exists.

    Raises:
        FolderInUseError: Another process holds it; the message says which.
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        descriptor = self._acquire(folder)
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "born": born(os.getpid()),
            "since": time.strftime("%F %T"),
        }
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name on it
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(about).encode())
        self._finalizer = weakref.finalize(self, _release, self.path, descriptor)

    def release(self) -> None:
        """Give the folder back; harmless the second time."""
        self._finalizer()

    def _acquire(self, folder: Path) -> int:
        import fcntl  # not on Windows, where nothing but this module needs it

        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine = os.fstat(descriptor)
                with contextlib.suppress(FileNotFoundError):  # another one released it just now
                    if os.path.samestat(mine, self.path.stat()):
                        return descriptor
            except OSError as e:
                holder = os.pread(descriptor, 1000, 0)
                os.close(descriptor)
                if e.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise FolderInUseError(_in_use(folder, holder)) from None
                raise
            os.close(descriptor)


def _release(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)


def _in_use(folder: Path, holder: bytes) -> str:
    try:
        about = json.loads(holder)
        pid, host, since = int(about["pid"]), str(about["host"]), str(about["since"])
    except (ValueError, LookupError, TypeError):
        return f"{folder} is in use by another process, and two would damage it. Try again later."
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return (
            f"{folder} is in use by this very process: call close() on the run that was made first."
        )
    return (
        f"{folder} is in use by process {pid} on {host} since {since}, and two would damage it. "
        f"Wait until it ends or stop it (kill {pid} makes it save and end); `gflow eval` and "
        f"`gflow sample` read its last checkpoint meanwhile. Another run needs another folder."
    )

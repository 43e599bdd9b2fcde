"""Which process holds the folder of a run, and how it is asked to stop.

A number alone is never signalled: the system gives it to other processes later.
"""

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gflow.errors import GFlowError

LOCK = "run.lock"
"""The file in the folder of a run that is under way."""


class NotRunningError(GFlowError):
    """There is no process to stop, or none that may be stopped from here."""


@dataclass(frozen=True)
class Holder:
    """A process as it wrote itself down.

    Attributes:
        pid: Its number.
        host: The machine that it is on.
        born: When it began, as `born` says; empty if the system does not tell.
        since: The same for people.
    """

    pid: int
    host: str
    born: str
    since: str

    @classmethod
    def read(cls, folder: Path) -> "Holder | None":
        """Of a folder, if a process holds it or was killed while it did."""
        with suppress(OSError, ValueError, LookupError, TypeError):
            about = json.loads((folder / LOCK).read_bytes())
            return cls(int(about["pid"]), *(str(about[key]) for key in ("host", "born", "since")))
        return None

    @property
    def here(self) -> bool:
        """Whether it is, or was, on this machine."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether the very process that wrote this is there still, on this machine."""
        return self.here and self.pid > 0 and bool(self.born) and born(self.pid) == self.born

    def interrupt(self) -> None:
        """Send what Ctrl-C sends, once.

        Raises:
            NotRunningError: It is over, on another machine, or of another user.
        """
        if not self.here:
            raise NotRunningError(
                f"The run is held by process {self.pid} on {self.host}, and this is "
                f"{socket.gethostname()}: stop it there (kill {self.pid} makes it save and end)."
            )
        over = NotRunningError(f"Process {self.pid}, which held the run, is over: nothing to stop.")
        try:
            if hasattr(os, "pidfd_open"):  # the handle stays that of this process, whatever ends
                handle = os.pidfd_open(self.pid)
                try:
                    if not self.alive:
                        raise over
                    signal.pidfd_send_signal(handle, signal.SIGINT)
                finally:
                    os.close(handle)
            elif self.alive:
                os.kill(self.pid, signal.SIGINT)
            else:
                raise over
        except PermissionError as e:
            raise NotRunningError(
                f"Process {self.pid}, which holds the run, is another user's: ask them."
            ) from e
        except (OSError, OverflowError) as e:  # no such process, or no number of one
            raise over from e


def born(pid: int) -> str:
    """When a process began, as a text that no other process of that number has.

    Empty if none has the number, or it is over and only its exit code is kept.
    """
    try:
        # The name of a program may hold spaces and brackets; what comes after it does not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _asked(pid)
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "" if fields[0] in "ZXx" else f"{fields[19]} {boot}"


def _asked(pid: int) -> str:
    """The same where there is no /proc."""
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    state, _, when = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else when.strip()

"""Stopping runs and going on with them, each in a process of its own."""

import subprocess
import sys
from pathlib import Path
from threading import Lock

from gflow.errors import ConfigError
from gflow.runs.holder import Holder
from gflow.serve.state import Seen

COMMAND = [sys.executable, "-m", "gflow"]
"""What starts the command line."""
LOG = "resume.log"
"""What a run that was resumed from here says, in its folder."""


class Control:
    """Sends runs one signal, and starts `gflow resume`.

    Runs that were started go on when this process ends.
    """

    def __init__(self) -> None:
        self._asked: set[Holder] = set()
        self._started: dict[Path, subprocess.Popen[bytes]] = {}
        self._lock = Lock()

    def stop(self, seen: Seen) -> None:
        """Ask a run to stop after its step and to save, as Ctrl-C does.

        Raises:
            ConfigError: It does not train, or was asked already: twice would lose steps.
            NotRunningError: Its process cannot be signalled from here.
        """
        holder = seen.holder
        if holder is None or seen.state not in ("training", "elsewhere"):
            raise ConfigError(f"{seen.name} is {seen.state}: there is nothing to stop.")
        with self._lock:
            if holder in self._asked:
                raise ConfigError(
                    f"{seen.name} was asked to stop and ends after its step. A second signal "
                    f"would lose what it did since its last checkpoint: kill {holder.pid} does so."
                )
            holder.interrupt()
            self._asked.add(holder)

    def stopping(self, seen: Seen) -> bool:
        """Whether it was asked to stop and has not yet."""
        with self._lock:
            return seen.state == "training" and seen.holder in self._asked

    def resume(self, seen: Seen, steps: int | None = None) -> None:
        """Go on from its last checkpoint, in a process that outlives this one.

        Args:
            seen: A run that does not train.
            steps: Train up to this step in all.

        Raises:
            ConfigError: It trains, is just starting, or is at its end and `steps` is no more.
        """
        folder, step = seen.facts.folder, seen.facts.step
        if steps is not None and steps <= step:
            raise ConfigError(f"{seen.name} is at step {step}: ask for more steps in all.")
        if seen.state == "finished" and steps is None:
            raise ConfigError(f"{seen.name} is finished: say how many steps it is to have in all.")
        if seen.state in ("training", "elsewhere"):
            raise ConfigError(f"{seen.name} is under way: there is nothing to resume.")
        more = [] if steps is None else ["--steps", str(steps)]
        command = [*COMMAND, "resume", str(folder), *more]
        with self._lock:
            known = self._started.get(folder)
            if known is not None and known.poll() is None:
                raise ConfigError(f"{seen.name} is just starting.")
            with (folder / LOG).open("wb") as log:
                self._started[folder] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C here is not Ctrl-C there
                )

    def starting(self, seen: Seen) -> bool:
        """Whether a process was started for it that does not hold it yet."""
        with self._lock:
            process = self._started.get(seen.facts.folder)
            return process is not None and process.poll() is None and seen.state != "training"

    def failure(self, seen: Seen) -> str:
        """What a resumed run said last, if it failed."""
        with self._lock:
            process = self._started.get(seen.facts.folder)
            if process is None or process.poll() in (None, 0, 130):
                return ""
        try:
            lines = (seen.facts.folder / LOG).read_text(errors="replace").strip().splitlines()
        except OSError:
            return f"It ended with code {process.returncode}."
        return "\n".join(lines[-5:])

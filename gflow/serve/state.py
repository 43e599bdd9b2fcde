"""What a run is doing, as its folder and the process that holds it tell."""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from gflow.errors import GFlowError
from gflow.report.folder import RunFacts
from gflow.report.single import ordered
from gflow.runs.holder import Holder
from gflow.serve.inside import run_at, run_names

SHOWN = 4
"""Metrics of a run in the list."""


@dataclass(frozen=True)
class Seen:
    """A run at a moment.

    Attributes:
        name: Below the folder that is served.
        facts: What its files say.
        holder: The process that holds it, or was killed while it did.
        changed: When its files last changed, in seconds since 1970.
    """

    name: str
    facts: RunFacts
    holder: Holder | None
    changed: float

    @property
    def state(self) -> str:
        """What it is doing.

        `training`, `elsewhere` (another machine says that it trains it), `finished`, `stopped`
        (it saved and ended), or `killed`.
        """
        if self.holder is not None and self.holder.alive:
            return "training"
        if self.holder is not None and not self.holder.here:
            return "elsewhere"
        if self.facts.finished:
            return "finished"
        return "stopped" if self.holder is None else "killed"

    def told(self) -> dict[str, Any]:
        """As JSON for the page."""
        facts = self.facts
        names = [name for name in ordered(facts.names) if name in facts.metrics][:SHOWN]
        return {
            "name": self.name,
            "title": facts.title,
            "seed": facts.seed,
            "state": self.state,
            "host": self.holder.host if self.holder is not None else "",
            "step": facts.step,
            "steps": facts.steps,
            "metrics": {name: facts.metrics[name] for name in names},
            "changed": self.changed,
        }


class Watch:
    """Reads runs, each file again only after it changed; for several threads.

    Args:
        root: The folder with the runs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._read: dict[str, tuple[object, RunFacts]] = {}
        self._lock = Lock()

    def run(self, name: str) -> Seen:
        """One run.

        Raises:
            OutsideError: There is none of this name.
            ConfigError: Its settings cannot be read.
        """
        folder = run_at(self.root, name)
        files = ("config.yaml", "metrics.jsonl", "objects.jsonl", "summary.json", "about.json")
        marks: list[tuple[int, int]] = []
        for path in (*(folder / file for file in files), *sorted(folder.glob("*.png"))):
            try:
                found = path.stat()
            except OSError:
                marks.append((0, 0))
            else:
                marks.append((found.st_mtime_ns, found.st_size))
        changed = max(time for time, _ in marks) / 1e9
        with self._lock:
            known = self._read.get(name)
        if known is None or known[0] != marks:
            known = (marks, RunFacts.read(folder))
            with self._lock:
                self._read[name] = known
        return Seen(name, known[1], Holder.read(folder), changed)

    def runs(self) -> list[Seen]:
        """All that can be read, the one that changed last first."""
        found = []
        for name in run_names(self.root):
            try:
                found.append(self.run(name))
            except (GFlowError, OSError, ValueError):
                continue  # half written, damaged, or a link that leads out
        return sorted(found, key=lambda seen: -seen.changed)

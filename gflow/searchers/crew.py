"""Searcher processes, seen from the one that trains."""

import contextlib
import hashlib
import pickle
import selectors
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from gflow.errors import ConfigError
from gflow.rewards.pool import WorkerError
from gflow.rewards.serve import send
from gflow.rewards.worker import Worker
from gflow.searchers.search import Found, Search, publish

REQUEST = [0]
"""One batch."""

AHEAD = 4
"""Batches that a searcher is asked for before it has delivered one: it never waits for a trainer
that takes less than so many of its batches for a step."""


class Crew:
    """Processes that search until they are closed, collected, or this process ends.

    They are fresh interpreters (`Worker`), which no Ctrl-C reaches and which end with this process,
    however that ends. Weights go to them through a file that is replaced as a whole.

    Args:
        searches: What each of them does, all with the same file of `weights`.
    """

    def __init__(self, searches: list[Search]) -> None:
        assert searches[0].weights is not None
        self.workers = [Worker() for _ in searches]
        self.weights = searches[0].weights
        self._end = weakref.finalize(self, _end, self.workers, self.weights.parent)
        try:
            codes = [pickle.dumps(search) for search in searches]
        except (pickle.PicklingError, AttributeError, TypeError) as e:
            self.close()
            raise ConfigError(
                f"Searchers: the environment, its reward, the policy and the conditions go to "
                f"other processes by pickle, and something in them cannot: {e}. Functions must be "
                f"defined at the top of a module, not inside of others; or use workers=0."
            ) from e
        self._marks = [hashlib.sha256(code).digest() for code in codes]
        for index, (worker, code) in enumerate(zip(self.workers, codes, strict=True)):
            worker.send(code, REQUEST, timed=False)
            for _ in range(AHEAD - 1):
                self._ask(index)

    def _ask(self, index: int) -> None:
        """Ask a searcher for one batch more."""
        process = self.workers[index].process
        assert process is not None
        with contextlib.suppress(BrokenPipeError):  # `found` tells
            send(process.stdin, (self._marks[index], None, pickle.dumps(REQUEST), False))

    @staticmethod
    def folder() -> Path:
        """A new folder for the file of weights."""
        return Path(tempfile.mkdtemp(prefix="gflow-searchers-"))

    def tell(self, told: dict[str, Any]) -> None:
        """Show them what `news` says."""
        publish(self.weights, told)

    def found(self, wait: bool) -> list[Found]:
        """What has been delivered since it was last asked.

        Args:
            wait: Wait for at least one batch.

        Raises:
            WorkerError: If a searcher failed or died.
        """
        batches: list[Found] = []
        for _ in range(AHEAD):  # what is delivered meanwhile has time until the next call
            with selectors.DefaultSelector() as selector:
                for index, worker in enumerate(self.workers):
                    selector.register(worker, selectors.EVENT_READ, index)
                ready = [key.data for key, _ in selector.select(None if wait else 0)]
            for index in ready:
                batches.extend(self._received(index))
            wait = False
            if not ready:
                break
        return batches

    def _received(self, index: int) -> list[Found]:
        worker = self.workers[index]
        try:
            answer = worker.receive()
        except (EOFError, OSError):
            how = worker.bury()
            self.close()
            raise WorkerError(
                f"Searchers: a searcher died ({how}). Its own message, if any, is above; workers=0 "
                f"samples in this process, where a debugger can see it."
            ) from None
        if answer.results is None:
            self.close()
            raise WorkerError(f"Searchers: a searcher failed:\n{answer.error}")
        self._ask(index)
        results: list[Found] = answer.results
        return results

    def close(self) -> None:
        """End the processes and remove the file."""
        self._end()


def _end(workers: list[Worker], folder: Path) -> None:
    for worker in workers:
        worker.end(0)
    shutil.rmtree(folder, ignore_errors=True)

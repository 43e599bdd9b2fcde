"""Several checkers at once: what is asked of them in one call is shared among threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from gflow.bounds import Count, complaint
from gflow.envs.proofs.checker import Checker, Done, Open, Reply, Theorem
from gflow.errors import ConfigError


@dataclass(frozen=True)
class _Owned:
    """A handle, and which checker it belongs to."""

    worker: int
    handle: Any


class CheckerPool:
    """Checkers that are asked in batches.

    Each theorem belongs to one checker, those with the same context to the same, so that these do
    not go back and forth more than need be. Checkers that are processes work side by side.

    Args:
        make: Builds one checker.
        checkers: How many.

    Attributes:
        calls: How many tactics were asked.

    Raises:
        ConfigError: Fewer than one.
    """

    def __init__(self, make: Callable[[], Checker], checkers: int = 1) -> None:
        reason = complaint(checkers, Count)
        if reason is not None:
            raise ConfigError(f"CheckerPool: checkers {reason}.")
        self._checkers: list[Checker] = [make() for _ in range(checkers)]
        self._threads: ThreadPoolExecutor | None = None
        self._owners: dict[str, int] = {}
        self.calls = 0

    @classmethod
    def of(cls, checker: "Checker | CheckerPool") -> "CheckerPool":
        """A pool as it is, and one checker as a pool."""
        return checker if isinstance(checker, CheckerPool) else cls(lambda: checker)

    def start(self, theorems: Sequence[Theorem]) -> list[Open]:
        """The proofs of theorems, nothing done, in their order.

        Raises:
            StatementError: A statement opens no proof.
        """

        def ask(checker: Checker, theorem: Theorem) -> Open:
            return checker.start(theorem)

        return self._shared(ask, [(self._owner(theorem), theorem) for theorem in theorems])

    def apply(self, asked: Sequence[tuple[Any, str]]) -> list[Reply]:
        """What tactics make of proofs, given as pairs of handle and tactic, in their order."""
        self.calls += len(asked)

        def ask(checker: Checker, pair: tuple[Any, str]) -> Reply:
            return checker.apply(*pair)

        return self._shared(ask, [(own.worker, (own.handle, tactic)) for own, tactic in asked])

    def close(self) -> None:
        """Release all checkers and threads."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        for checker in self._checkers:
            checker.close()

    def _owner(self, theorem: Theorem) -> int:
        text = "\n".join(theorem.context) or theorem.declaration
        return self._owners.setdefault(text, len(self._owners) % len(self._checkers))

    def _shared(
        self, ask: Callable[[Checker, Any], Any], questions: list[tuple[int, Any]]
    ) -> list[Any]:
        """Each question to its checker; the answers in the order of the questions."""
        answers: list[Any] = [None] * len(questions)

        def work(worker: int) -> None:
            for place, (owner, question) in enumerate(questions):
                if owner == worker:
                    answer = ask(self._checkers[worker], question)
                    if isinstance(answer, Open | Done):
                        answer = replace(answer, handle=_Owned(worker, answer.handle))
                    answers[place] = answer

        needed = sorted({owner for owner, _ in questions})
        if len(needed) < 2:
            for worker in needed:
                work(worker)
            return answers
        if self._threads is None:
            self._threads = ThreadPoolExecutor(len(self._checkers), "checker")
        for finished in [self._threads.submit(work, worker) for worker in needed]:
            finished.result()
        return answers

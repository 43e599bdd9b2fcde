"""Coq as a checker: proofs branch by going back and replaying."""

from dataclasses import dataclass, field

from gflow.bounds import Count, Positive, check_fields
from gflow.envs.proofs.checker import (
    CheckerError,
    Done,
    Failed,
    Open,
    Reply,
    StatementError,
    Theorem,
    TimedOut,
    goal_text,
)
from gflow.envs.proofs.coq.markup import (
    ABOUT,
    GOAL,
    INIT,
    Answer,
    add,
    edit_at,
    hypotheses_and_conclusion,
)
from gflow.envs.proofs.coq.process import CoqProcess, SilentError
from gflow.envs.proofs.coq.sanitise import checked_declaration, complaint, squeezed

CLOSED = "Closed under the global context"
TOO_LONG = "Timeout!"
START_SECONDS = 60.0
FOCUSED, BEHIND, SHELVED, GIVEN_UP = range(4)


class NoStartError(CheckerError):
    """Coq is installed and its server does not start."""


@dataclass(frozen=True)
class Path:
    """A handle: the theorem, and the tactics that were accepted."""

    theorem: Theorem
    tactics: tuple[str, ...] = ()


@dataclass
class CoqChecker:
    """Coq's server as a `Checker`, with one process that is started when it is first asked.

    The server knows one line of sentences. A handle is the path to a proof; what is asked of
    another one than the last goes back to where both part and replays the rest. Every tactic is
    read by `complaint` and runs under a timeout of Coq's; what does not stop by itself is ended
    with its process. A proof is done after Qed, if nothing was assumed.

    Attributes:
        tactic_seconds: Whole seconds that a tactic may take.
        answer_seconds: Seconds without an answer after which the process is ended.
        memory_mb: Largest address space of the process.
        theorems: How many are opened before the process is started anew.
    """

    tactic_seconds: Count = 2
    answer_seconds: Positive = 10.0
    memory_mb: Count = 3000
    theorems: Count = 2000
    calls: int = field(default=0, init=False)
    _process: CoqProcess | None = field(default=None, init=False, repr=False)
    _line: list[tuple[str, int]] = field(default_factory=list, init=False, repr=False)
    _root: int = field(default=1, init=False, repr=False)
    _opened: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_fields(self)

    # ------------------------------------------------------------------ the protocol

    def start(self, theorem: Theorem) -> Open:
        """The proof of a theorem, nothing done.

        Raises:
            StatementError: The statement opens no proof.
            MissingCheckerError: Coq is not installed.
            CheckerError: Its server does not start.
        """
        theorem = Theorem(checked_declaration(theorem.declaration), theorem.context)
        theorem.name  # noqa: B018  refuses what declares no theorem
        if self._opened >= self.theorems:
            self.close()
        self._opened += 1
        try:
            self._go_to(theorem.context)
            answer = self._say(theorem.declaration)
        except NoStartError:
            raise
        except CheckerError as error:
            raise StatementError(f"{theorem.declaration!r} opens no proof: {error}") from error
        goals = answer.goals() if answer.good else None
        if not goals or not goals[FOCUSED]:
            why = answer.error or "nothing is left to prove"
            raise StatementError(f"{theorem.declaration!r} opens no proof: {why}")
        return Open(Path(theorem), _text(answer))

    def apply(self, handle: Path, tactic: str) -> Reply:
        """What a tactic makes of an open proof."""
        tactic = squeezed(tactic)
        reason = complaint(tactic)
        if reason is not None:
            return Failed(f"{tactic!r} is refused: {reason}.")
        self.calls += 1
        theorem = handle.theorem
        try:
            self._go_to(self._sentences(handle))
            answer = self._say(self._timed(tactic))
            if not answer.good:
                return TimedOut() if TOO_LONG in answer.error else Failed(answer.error)
            found = Path(theorem, (*handle.tactics, tactic))
            return self._verdict(found, answer)
        except SilentError:
            return TimedOut()
        except NoStartError:
            raise
        except CheckerError as error:
            return Failed(str(error))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
        self._process, self._line, self._opened = None, [], 0

    # ------------------------------------------------------------------ one line of sentences

    def _timed(self, tactic: str) -> str:
        return f"Timeout {self.tactic_seconds} {tactic}"

    def _sentences(self, path: Path) -> tuple[str, ...]:
        tactics = (self._timed(tactic) for tactic in path.tactics)
        return (*path.theorem.context, path.theorem.declaration, *tactics)

    def _go_to(self, sentences: tuple[str, ...]) -> None:
        """Make these the line: back to where it parts from the present one, and on from there.

        Raises:
            CheckerError: One of them is refused.
        """
        common = 0
        for (said, _), wanted in zip(self._line, sentences, strict=False):
            if said != wanted:
                break
            common += 1
        self._back_to(common)
        for sentence in sentences[common:]:
            answer = self._say(sentence)
            if not answer.good:
                raise CheckerError(f"Coq refused {sentence!r} on the way there: {answer.error}")

    def _say(self, sentence: str) -> Answer:
        """Add a sentence to the line and carry it out; if it is refused, the line is as before."""
        answer = self._ask(add(sentence, self._tip))
        if not answer.good:
            return answer
        before, state = self._tip, answer.state
        answer = self._ask(GOAL)
        if answer.good:
            self._line.append((sentence, state))
        else:
            self._ask(edit_at(before))
        return answer

    def _back_to(self, length: int) -> None:
        if length < len(self._line):
            del self._line[length:]
            if not self._ask(edit_at(self._tip)).good:
                self.close()
                raise CheckerError("Coq's server cannot go back to a state that it was in.")

    @property
    def _tip(self) -> int:
        return self._line[-1][1] if self._line else self._root

    def _ask(self, request: str) -> Answer:
        if self._process is None:
            self._start_process()
            assert self._process is not None
        try:
            return self._process.ask(request)
        except CheckerError:
            self._process, self._line = None, []
            raise

    def _start_process(self) -> None:
        process = CoqProcess(self.answer_seconds, self.memory_mb)
        try:
            process.ask(ABOUT, START_SECONDS)
            self._root = process.ask(INIT, START_SECONDS).state
        except CheckerError as error:
            raise NoStartError(
                f"Coq's server does not start: {error} It has memory_mb={self.memory_mb} of "
                f"address space; some 500 are the least."
            ) from error
        self._process = process

    # ------------------------------------------------------------------ verdicts

    def _verdict(self, path: Path, answer: Answer) -> Reply:
        goals = answer.goals()
        if goals is None:
            return self._undone("the proof was left")
        if goals[GIVEN_UP]:
            return self._undone("a goal was given up")
        if goals[FOCUSED]:
            return Open(path, _text(answer))
        if goals[BEHIND] or goals[SHELVED]:
            return self._undone("goals are left that are not in focus")
        return self._closed(path)

    def _undone(self, message: str) -> Failed:
        self._back_to(len(self._line) - 1)
        return Failed(message)

    def _closed(self, path: Path) -> Reply:
        """Done, if Qed accepts the proof and nothing was assumed."""
        length = len(self._line)
        answer = self._say("Qed.")
        if answer.good and answer.goals() is None:
            answer = self._say(f"Print Assumptions {path.theorem.name}.")
            closed = answer.good and any(CLOSED in text for text in answer.messages)
            reason = "" if closed else f"it assumes something: {' '.join(answer.messages)}"
        else:
            closed, reason = False, f"Qed refused it: {answer.error}"
        self._back_to(length if closed else length - 1)
        return Done(path) if closed else Failed(f"All goals were gone, but {reason}")


def _text(answer: Answer) -> str:
    """The canonical text of the goals in focus."""
    goals = answer.goals()
    assert goals is not None
    return goal_text([hypotheses_and_conclusion(goal) for goal in goals[FOCUSED]])

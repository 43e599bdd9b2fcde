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

    The server knows one line of sentences (`_line`, each with the number of its state); `_last` is
    the last number that it gave, `_at` the state that it is in. A handle is the path to a proof;
    what is asked of another one than the last goes back to where both part and replays the rest.
    Every tactic is read by `complaint` and runs under a timeout of Coq's; what does not stop by
    itself is ended with its process. A proof is done after Qed, if nothing was assumed.

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
    _last: int = field(default=1, init=False, repr=False)
    _at: int = field(default=1, init=False, repr=False)
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
            answer = self._say((*theorem.context, theorem.declaration))
        except NoStartError:
            raise
        except CheckerError as error:
            raise StatementError(f"{theorem.declaration!r} opens no proof: {error}") from error
        goals = answer.goals()
        if not goals or not goals[FOCUSED]:
            raise StatementError(f"{theorem.declaration!r} opens no proof: nothing is to be proved")
        return Open(Path(theorem), _text(answer))

    def apply(self, handle: Path, tactic: str) -> Reply:
        """What a tactic makes of an open proof."""
        tactic = squeezed(tactic)
        reason = complaint(tactic)
        if reason is not None:
            return Failed(f"{tactic!r} is refused: {reason}.")
        self.calls += 1
        path = Path(handle.theorem, (*handle.tactics, tactic))
        try:
            return self._verdict(path, self._say(self._sentences(path)))
        except SilentError:
            return TimedOut()
        except NoStartError:
            raise
        except CheckerError as error:
            return TimedOut() if TOO_LONG in str(error) else Failed(str(error))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
        self._forget()
        self._opened = 0

    # ------------------------------------------------------------------ one line of sentences

    def _timed(self, tactic: str) -> str:
        return f"Timeout {self.tactic_seconds} {tactic}"

    def _sentences(self, path: Path) -> tuple[str, ...]:
        tactics = (self._timed(tactic) for tactic in path.tactics)
        return (*path.theorem.context, path.theorem.declaration, *tactics)

    def _say(self, sentences: tuple[str, ...]) -> Answer:
        """What Coq says of its goals after these sentences, which are the line then.

        It goes back to where they part from the present line, and on from there. All that takes is
        sent at once: states are numbered in the order in which they are made, so that the numbers
        of new ones are known before, but for those that an error skips.

        Raises:
            CheckerError: One of them is refused, with Coq's words. The line ends before it.
        """
        process = self._live()
        common = 0
        for (said, _), wanted in zip(self._line, sentences, strict=False):
            if said != wanted:
                break
            common += 1
        del self._line[common:]
        tip, new = self._tip, sentences[common:]
        requests = [edit_at(tip)] if self._at != tip else []
        for number, sentence in enumerate(new, self._last + 1):
            requests.append(add(sentence, tip))
            tip = number
        try:
            answers = process.ask([*requests, GOAL])
        except CheckerError:
            self._forget()
            raise
        if self._at != self._tip and not answers.pop(0).good:
            raise self._lost("it cannot go back to a state that it was in")
        *added, goals = answers
        self._at = self._tip
        refused = next((answer for answer in added if not answer.good), None)
        for sentence, answer in zip(new, added, strict=True):
            if not answer.good:
                break
            self._last, skipped = answer.state, answer.state != self._last + 1
            self._line.append((sentence, answer.state))
            self._at = answer.state
            if skipped:  # by an error before; what came after it went by wrong numbers
                return self._say(sentences)
        if not goals.good:
            self._cut_behind(goals.state)
            refused = goals
        if refused is not None:
            raise CheckerError(refused.error)
        return goals

    def _cut_behind(self, state: int) -> None:
        """End the line at the last state that Coq could carry out."""
        numbers = [self._root, *(number for _, number in self._line)]
        length = numbers.index(state) if state in numbers else len(self._line) - 1
        del self._line[length:]

    def _lost(self, why: str) -> CheckerError:
        self.close()
        return CheckerError(f"Coq's server is not where it should be: {why}.")

    @property
    def _tip(self) -> int:
        return self._line[-1][1] if self._line else self._root

    def _forget(self) -> None:
        self._process, self._line, self._last, self._at = None, [], 1, 1

    def _live(self) -> CoqProcess:
        if self._process is None:
            self._start_process()
        assert self._process is not None
        return self._process

    def _start_process(self) -> None:
        process = CoqProcess(self.answer_seconds, self.memory_mb)
        try:
            *_, first = process.ask([ABOUT, INIT], START_SECONDS)
        except CheckerError as error:
            raise NoStartError(
                f"Coq's server does not start: {error} It has memory_mb={self.memory_mb} of "
                f"address space; some 500 are the least."
            ) from error
        self._root = self._last = self._at = first.state
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
        self._line.pop()
        return Failed(message)

    def _closed(self, path: Path) -> Reply:
        """Done, if Qed accepts the proof and nothing was assumed."""
        proof = self._sentences(path)
        try:
            answer = self._say((*proof, "Qed.", f"Print Assumptions {path.theorem.name}."))
        except SilentError:
            raise
        except CheckerError as error:
            del self._line[len(proof) - 1 :]
            return Failed(f"All goals were gone, but Qed refused it: {error}")
        del self._line[len(proof) :]
        if answer.goals() is None and any(CLOSED in text for text in answer.messages):
            return Done(path)
        self._line.pop()
        return Failed(f"All goals were gone, but it assumes: {' '.join(answer.messages)}")


def _text(answer: Answer) -> str:
    """The canonical text of the goals in focus."""
    goals = answer.goals()
    assert goals is not None
    return goal_text([hypotheses_and_conclusion(goal) for goal in goals[FOCUSED]])

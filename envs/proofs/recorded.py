"""Recorded proofs: a checker that answers from a file what a real one answered once."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gflow.envs.proofs.checker import (
    Checker,
    CheckerError,
    Done,
    Failed,
    Open,
    Reply,
    StatementError,
    Theorem,
    TimedOut,
)
from gflow.errors import ConfigError

EXAMPLE = Path(__file__).with_name("example.json")
"""`forall P Q : Prop, P /\\ Q -> Q \\/ P` and five tactics, four deep: 145 answers of Coq."""


@dataclass(frozen=True)
class _Place:
    """A handle: the theorem and the record of what was asked there."""

    theorem: Theorem
    record: dict[str, Any]


class RecordedChecker:
    """What a checker said, from a file that `record` wrote.

    Args:
        path: The file; by default the example that comes with the package.
        strict: Raise at what nobody asked; otherwise it fails, so that tactics may be any text.

    Raises:
        ConfigError: There is no such file, or it is no record.
    """

    def __init__(self, path: str | Path = EXAMPLE, strict: bool = True) -> None:
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            self._records = {_theorem(entry): entry["proof"] for entry in found["theorems"]}
            self.tactics = tuple(map(str, found["tactics"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"RecordedChecker: {path} is no record of proofs: {error}."
            ) from error
        self.path, self.strict = Path(path), strict
        self.calls = 0

    @property
    def theorems(self) -> list[Theorem]:
        """Those of which there is a record."""
        return list(self._records)

    def start(self, theorem: Theorem) -> Open:
        """The proof of a theorem, nothing done.

        Raises:
            StatementError: There is no record of it.
        """
        record = self._records.get(theorem)
        if record is None:
            known = "; ".join(known.declaration for known in self._records)
            raise StatementError(
                f"{self.path.name} has no record of {theorem.declaration!r}. It has: {known}"
            )
        return Open(_Place(theorem, record), record["text"])

    def apply(self, handle: _Place, tactic: str) -> Reply:
        """What the checker said.

        Raises:
            CheckerError: It was not asked.
        """
        self.calls += 1
        answers = handle.record.get("answers", {})
        if tactic not in answers and not self.strict:
            return Failed("not among what was recorded")
        if tactic not in answers:
            raise CheckerError(
                f"{self.path.name}: nobody asked {tactic!r} there, after "
                f"{handle.record['text']!r}. Asked were: {', '.join(answers) or 'nothing'}. Use a "
                f"live checker, or the tactics and the depth of the record."
            )
        answer = answers[tactic]
        match answer["reply"]:
            case "open":
                return Open(_Place(handle.theorem, answer), answer["text"])
            case "done":
                return Done(_Place(handle.theorem, answer))
            case "timed out":
                return TimedOut()
        return Failed(answer["message"])

    def close(self) -> None:
        """Nothing is held."""


def record(
    checker: Checker, theorems: Sequence[Theorem], tactics: Sequence[str], depth: int
) -> dict[str, Any]:
    """Everything that a checker says to all sequences of tactics, as `RecordedChecker` reads it.

    Args:
        checker: Is asked.
        theorems: Of which proofs.
        tactics: Each is asked at every open proof
        depth: that is reached by fewer than so many.
    """
    entries = []
    for theorem in theorems:
        start = checker.start(theorem)
        proof = {"text": start.text, "answers": _answers(checker, start, tactics, depth)}
        entries.append({**asdict(theorem), "proof": proof})
    return {"tactics": list(tactics), "theorems": entries}


def _answers(checker: Checker, proof: Open, tactics: Sequence[str], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tactic in tactics if depth else ():
        match checker.apply(proof.handle, tactic):
            case Open() as child:
                answers = _answers(checker, child, tactics, depth - 1)
                found[tactic] = {"reply": "open", "text": child.text, "answers": answers}
            case Done():
                found[tactic] = {"reply": "done"}
            case TimedOut():
                found[tactic] = {"reply": "timed out"}
            case Failed(message):
                found[tactic] = {"reply": "failed", "message": message}
    return found


def _theorem(entry: dict[str, Any]) -> Theorem:
    return Theorem(entry["declaration"], tuple(entry["context"]))

"""Proof checkers: what takes a tactic at an open proof and says what became of it."""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from gflow.errors import GFlowError

DECLARATION = re.compile(
    r"\s*(?:Theorem|Lemma|Remark|Fact|Corollary|Proposition|Example)\s+([\w']+)"
)


class CheckerError(GFlowError, RuntimeError):
    """A checker does not answer as it should, or a path that it accepted is refused later."""


class StatementError(GFlowError, ValueError):
    """A statement that opens no proof."""


class MissingCheckerError(GFlowError, OSError):
    """A proof checker is needed and not installed."""


@dataclass(frozen=True)
class Theorem:
    """What is to be proved.

    Attributes:
        declaration: The sentence that opens the proof, `Theorem goal : forall P : Prop, P -> P.`
        context: Sentences before it, trusted: imports, definitions.
    """

    declaration: str
    context: tuple[str, ...] = ()

    @classmethod
    def of(cls, statement: str, name: str = "goal", context: tuple[str, ...] = ()) -> "Theorem":
        """A theorem with a statement alone: ``forall P : Prop, P -> P``."""
        return cls(f"Theorem {name} : {' '.join(statement.split()).removesuffix('.')}.", context)

    @property
    def name(self) -> str:
        """What it is called.

        Raises:
            StatementError: The sentence declares no theorem.
        """
        found = DECLARATION.match(self.declaration)
        if found is None:
            raise StatementError(
                f"A proof is opened by a sentence such as 'Theorem goal : True.', got "
                f"{self.declaration!r}."
            )
        return found[1]

    def script(self, tactics: tuple[str, ...]) -> str:
        """The text of a proof, as a file."""
        proof = "".join(f"  {tactic}\n" for tactic in tactics)
        context = "".join(f"{sentence}\n" for sentence in self.context)
        return f"{context}{self.declaration}\nProof.\n{proof}Qed.\n"


@dataclass(frozen=True)
class Open:
    """A proof that is not complete.

    Attributes:
        handle: Stands for it; the checker that gave it knows what it means. It stays good whatever
            else is asked, so that proofs can branch.
        text: The goals as one canonical text: hypotheses one per line, `⊢` and the conclusion;
            goals are parted by an empty line.
    """

    handle: Any = field(compare=False)
    text: str


@dataclass(frozen=True)
class Done:
    """A proof that the checker accepted in whole, without assumptions."""

    handle: Any = field(compare=False, default=None)


@dataclass(frozen=True)
class Failed:
    """A tactic that was refused; the proof before it is as it was.

    Attributes:
        message: Why.
    """

    message: str


@dataclass(frozen=True)
class TimedOut:
    """A tactic that took too long; the proof before it is as it was."""


Reply = Open | Done | Failed | TimedOut
"""What a checker says to a tactic."""


class Checker(Protocol):
    """Opens proofs and applies tactics to them, one at a time.

    Handles are immutable: two tactics may be applied to one, in any order. Checkers that can go
    only forward and back replay the path from the nearest common ancestor.
    """

    def start(self, theorem: Theorem) -> Open:
        """The proof of a theorem, nothing done.

        Raises:
            StatementError: The statement opens no proof.
        """

    def apply(self, handle: Any, tactic: str) -> Reply:
        """What a tactic makes of an open proof. Bad tactics are `Failed`, never raised."""

    def close(self) -> None:
        """Release processes; asked again, the checker starts anew."""


def goal_text(goals: list[tuple[list[str], str]]) -> str:
    """The canonical text of goals: lists of hypotheses, and conclusions.

    Blanks and line ends within a hypothesis count as one blank.
    """
    shown = []
    for hypotheses, conclusion in goals:
        lines = [" ".join(line.split()) for line in (*hypotheses, f"⊢ {conclusion}")]
        shown.append("\n".join(lines))
    return "\n\n".join(shown)

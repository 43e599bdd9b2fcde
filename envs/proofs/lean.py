"""Lean 4 as a checker, where it is installed: through lean-interact, behind the same protocol."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gflow.envs.proofs.checker import (
    CheckerError,
    Done,
    Failed,
    MissingCheckerError,
    Open,
    Reply,
    StatementError,
    Theorem,
    TimedOut,
)

BANNED = frozenset(
    "sorry admit native_decide run_tac run_cmd run_elab by_elab run_meta unsafe eval IO "
    "set_option include_str initialize".split()
)
"""Words by which goals go away unproved, or programs run."""

TRUSTED = frozenset(("propext", "Classical.choice", "Quot.sound"))
"""The axioms that Lean's own library stands on."""

AXIOMS = re.compile(r"depends on axioms: \[([^\]]*)\]")
NONE = "does not depend on any axioms"


class LeanSession(Protocol):
    """A running REPL of Lean: requests and replies as its JSON has them."""

    def command(self, text: str) -> dict[str, Any]:
        """What Lean says to a command; ``{"message": ...}`` if it cannot be read."""

    def step(self, state: int, tactic: str) -> dict[str, Any]:
        """What Lean says to a tactic at a proof state.

        Raises:
            TimeoutError: It took too long.
        """

    def close(self) -> None:
        """End it; what it numbered is lost."""


class LeanInteractSession:
    """Lean's REPL by the package lean-interact. Nothing is downloaded.

    Args:
        repl: Folder of a REPL that is built: https://github.com/leanprover-community/repl.
        project: Folder of a Lean project whose imports there shall be.
        seconds: How long an answer may take.
        memory_mb: Largest memory of the process.
        lake: Lean's build program.

    Raises:
        MissingCheckerError: lean-interact is not installed.
    """

    def __init__(
        self,
        repl: str | Path,
        project: str | Path | None = None,
        seconds: float = 10.0,
        memory_mb: int = 4000,
        lake: str = "lake",
    ) -> None:
        try:
            import lean_interact
        except ImportError as error:
            raise MissingCheckerError(
                "Checking proofs with Lean needs the package lean-interact, which is not "
                "installed, and Lean 4 with its REPL. Install it with: pip install lean-interact. "
                "Coq needs no package: apt-get install coq."
            ) from error
        self._kit, self.seconds = lean_interact, seconds
        inside = lean_interact.LocalProject(directory=str(project)) if project else None
        config = lean_interact.LeanREPLConfig(
            local_repl_path=str(repl),
            build_repl=False,
            lake_path=lake,
            project=inside,
            memory_hard_limit_mb=memory_mb,
        )
        self._server = lean_interact.LeanServer(config)

    def command(self, text: str) -> dict[str, Any]:
        """What Lean says to a command."""
        return self._run(self._kit.Command(cmd=text))

    def step(self, state: int, tactic: str) -> dict[str, Any]:
        """What Lean says to a tactic."""
        return self._run(self._kit.ProofStep(proof_state=state, tactic=tactic))

    def close(self) -> None:
        """End the server."""
        self._server.kill()

    def _run(self, request: Any) -> dict[str, Any]:
        found = self._server.run(request, timeout=self.seconds)
        reply: dict[str, Any] = found.model_dump(by_alias=True)
        return reply


@dataclass(frozen=True)
class _Proof:
    """A handle: tactics, and the number that they have in the session of that age."""

    theorem: Theorem
    tactics: tuple[str, ...]
    state: int
    age: int


@dataclass
class LeanChecker:
    """Lean as a `Checker`. Its proof states keep their numbers, so proofs branch for nothing.

    A theorem's declaration is Lean's without its proof: ``theorem t (p q : Prop) : p → p``. What is
    proved is checked once more as a whole, with the axioms that it stands on.

    Attributes:
        session: Starts a session; asked again after one broke.
    """

    session: Callable[[], LeanSession]
    calls: int = field(default=0, init=False)
    _session: LeanSession | None = field(default=None, init=False, repr=False)
    _age: int = field(default=0, init=False, repr=False)

    def start(self, theorem: Theorem) -> Open:
        """The proof of a theorem, nothing done.

        Raises:
            StatementError: The statement opens no proof.
        """
        reply = self._live().command(_command(theorem, "sorry"))
        errors = _errors(reply)
        sorries = reply.get("sorries") or []
        if errors or len(sorries) != 1 or sorries[0].get("proofState") is None:
            why = errors or "it is no single theorem"
            raise StatementError(f"{theorem.declaration!r} opens no proof: {why}")
        proof = _Proof(theorem, (), sorries[0]["proofState"], self._age)
        return Open(proof, _text([sorries[0]["goal"]]))

    def apply(self, handle: _Proof, tactic: str) -> Reply:
        """What a tactic makes of an open proof."""
        tactic = tactic.strip()
        reason = complaint(tactic)
        if reason is not None:
            return Failed(f"{tactic!r} is refused: {reason}.")
        self.calls += 1
        try:
            reply = self._live().step(self._state(handle), tactic)
        except TimeoutError:
            self.close()
            return TimedOut()
        except (OSError, CheckerError) as error:
            self.close()
            return Failed(f"Lean broke down: {error}")
        errors = _errors(reply)
        if errors:
            return Failed(errors)
        proof = _Proof(handle.theorem, (*handle.tactics, tactic), reply["proofState"], self._age)
        if reply.get("goals"):
            return Open(proof, _text(reply["goals"]))
        if reply.get("proofStatus") != "Completed":
            return Failed(f"All goals were gone, but Lean says: {reply.get('proofStatus')}")
        return self._checked(proof)

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()
        self._session = None
        self._age += 1

    def _live(self) -> LeanSession:
        if self._session is None:
            self._session = self.session()
        return self._session

    def _state(self, proof: _Proof) -> int:
        """Its number in the present session, where it is replayed if that is a newer one."""
        if proof.age == self._age:
            return proof.state
        state: int = self.start(proof.theorem).handle.state
        for tactic in proof.tactics:
            reply = self._live().step(state, tactic)
            if _errors(reply):
                raise CheckerError(f"{tactic!r} was accepted before and is refused now.")
            state = reply["proofState"]
        return state

    def _checked(self, proof: _Proof) -> Reply:
        """Done, if the whole proof is accepted and stands on trusted axioms alone."""
        body = "by\n" + "\n".join(f"  {tactic}" for tactic in proof.tactics)
        whole = f"{_command(proof.theorem, body)}\n#print axioms {lean_name(proof.theorem)}"
        reply = self._live().command(whole)
        errors = _errors(reply)
        if errors or reply.get("sorries"):
            return Failed(f"All goals were gone, but the whole is refused: {errors}")
        said = " ".join(message["data"] for message in reply.get("messages", []))
        found = AXIOMS.search(said)
        if found is None:
            return (
                Done(proof) if NONE in said else Failed("Lean does not say which axioms it took.")
            )
        wrong = {name.strip() for name in found[1].split(",")} - TRUSTED
        return Failed(f"It assumes {', '.join(sorted(wrong))}.") if wrong else Done(proof)


def complaint(tactic: str) -> str | None:
    """Why a text is no single tactic for Lean, or None."""
    if not tactic.isprintable() or not tactic:
        return "a tactic is one line of printable letters"
    if tactic[0] in "#@" or any(mark in tactic for mark in ("--", "/-", "-/", '"')):
        return "commands, comments and quotes are not taken"
    banned = sorted(BANNED.intersection(re.findall(r"[^\W\d][\w']*", tactic)))
    return f"{banned[0]} is not allowed" if banned else None


def lean_name(theorem: Theorem) -> str:
    """What a theorem is called.

    Raises:
        StatementError: The sentence declares none.
    """
    found = re.match(r"\s*(?:theorem|lemma|example)\s+(\S+)", theorem.declaration)
    if found is None:
        raise StatementError(
            f"A proof in Lean is opened by text such as 'theorem goal : True', got "
            f"{theorem.declaration!r}."
        )
    return found[1]


def _command(theorem: Theorem, body: str) -> str:
    return "\n".join((*theorem.context, f"{theorem.declaration.rstrip()} := {body}"))


def _errors(reply: dict[str, Any]) -> str:
    if "message" in reply:
        return str(reply["message"])
    wrong = [m["data"] for m in reply.get("messages") or [] if m.get("severity") == "error"]
    return "; ".join(wrong)


def _text(goals: list[str]) -> str:
    return "\n\n".join(goal.strip() for goal in goals)

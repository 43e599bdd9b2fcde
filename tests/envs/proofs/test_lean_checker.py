"""Lean behind the same protocol, told by a session written down as the REPL answers."""

import sys
import types
from typing import Any

import pytest

from gflow.envs.proofs.checker import (
    Done,
    Failed,
    MissingCheckerError,
    Open,
    StatementError,
    Theorem,
    TimedOut,
)
from gflow.envs.proofs.lean import LeanChecker, LeanInteractSession, complaint, lean_name

SWAP = Theorem("theorem swap (p q : Prop) : p ∧ q → q ∧ p")
OPENED = "p q : Prop\nh : p ∧ q\n⊢ q ∧ p"

STEPS: dict[tuple[int, str], dict[str, Any]] = {
    (0, "intro h"): {"proofStatus": "Incomplete: open goals remain", "proofState": 1,
                     "goals": [OPENED]},
    (1, "exact h"): {"message": "Lean error:\ntype mismatch"},
    (1, "exact ⟨h.2, h.1⟩"): {"proofStatus": "Completed", "proofState": 2, "goals": []},
    (1, "constructor"): {"proofStatus": "Incomplete: open goals remain", "proofState": 3,
                         "goals": ["case left\n⊢ q", "case right\n⊢ p"]},
    (1, "cheat"): {"proofStatus": "Completed", "proofState": 4, "goals": []},
    (1, "classical"): {"proofStatus": "Completed", "proofState": 5, "goals": []},
    (1, "loose"): {"proofStatus": "Incomplete: contains metavariable(s)", "proofState": 6,
                   "goals": []},
    (1, "silent"): {"proofStatus": "Completed", "proofState": 7, "goals": []},
}  # fmt: skip


class Recorded:
    """A session that was written down; numbers count from `first`."""

    def __init__(self, first: int = 0) -> None:
        self.first, self.commands, self.closed = first, list[str](), False

    def command(self, text: str) -> dict[str, Any]:
        self.commands.append(text)
        if "nonsense" in text:
            return {"messages": [{"severity": "error", "data": "unknown identifier"}]}
        if text.endswith(":= sorry"):
            goal = "⊢ ∀ (p q : Prop), p ∧ q → q ∧ p"
            return {"sorries": [{"proofState": self.first, "goal": goal}], "env": 0}
        said = "'swap' does not depend on any axioms"
        if "cheat" in text:
            said = "'swap' depends on axioms: [propext, sorryAx]"
        if "classical" in text:
            said = "'swap' depends on axioms: [propext, Classical.choice]"
        if "silent" in text:
            said = ""
        return {"messages": [{"severity": "info", "data": said}], "env": 1}

    def step(self, state: int, tactic: str) -> dict[str, Any]:
        if tactic == "loop":
            raise TimeoutError
        if tactic == "die":
            raise ConnectionAbortedError("gone")
        reply = dict(STEPS[state - self.first, tactic])
        if "proofState" in reply:
            reply["proofState"] += self.first
        return reply

    def close(self) -> None:
        self.closed = True


def test_a_session_is_told_by_the_protocol() -> None:
    session = Recorded()
    lean = LeanChecker(lambda: session)
    root = lean.start(SWAP)
    assert root.text == "⊢ ∀ (p q : Prop), p ∧ q → q ∧ p"
    first = lean.apply(root.handle, "intro h")
    assert isinstance(first, Open)
    assert first.text == OPENED
    assert lean.apply(first.handle, "exact h") == Failed("Lean error:\ntype mismatch")
    branch = lean.apply(first.handle, "constructor")
    assert isinstance(branch, Open)
    assert branch.text == "case left\n⊢ q\n\ncase right\n⊢ p"
    assert isinstance(lean.apply(first.handle, "exact ⟨h.2, h.1⟩"), Done)
    assert session.commands[-1] == (
        "theorem swap (p q : Prop) : p ∧ q → q ∧ p := by\n  intro h\n  exact ⟨h.2, h.1⟩\n"
        "#print axioms swap"
    )
    with pytest.raises(StatementError, match="unknown identifier"):
        lean.start(Theorem("theorem x : nonsense"))
    with pytest.raises(StatementError, match="text such as"):
        lean_name(Theorem("def x : Prop"))


def test_done_needs_axioms_that_are_trusted() -> None:
    lean = LeanChecker(Recorded)
    first = lean.apply(lean.start(SWAP).handle, "intro h")
    assert isinstance(first, Open)
    assert lean.apply(first.handle, "cheat") == Failed("It assumes sorryAx.")
    assert isinstance(lean.apply(first.handle, "classical"), Done)
    for tactic, why in (("loose", "contains metavariable"), ("silent", "does not say which")):
        reply = lean.apply(first.handle, tactic)
        assert isinstance(reply, Failed)
        assert why in reply.message


@pytest.mark.parametrize(
    ("tactic", "why"),
    [
        ("sorry", "sorry is not allowed"),
        ("exact (by admit)", "admit is not allowed"),
        ("native_decide", "native_decide"),
        ("run_tac do pure ()", "run_tac"),
        ("#eval 1", "commands"),
        ("intro h -- x", "comments"),
        ("intro h\nexact h", "one line"),
        ("", "one line"),
    ],
)
def test_what_is_no_tactic_never_reaches_lean(tactic: str, why: str) -> None:
    lean = LeanChecker(Recorded)
    root = lean.start(SWAP)
    reply = lean.apply(root.handle, tactic)
    assert isinstance(reply, Failed)
    assert why in reply.message
    assert lean.calls == 0
    assert complaint("exact sorry_free") is None


def test_after_a_breakdown_handles_are_replayed_in_the_next_session() -> None:
    made: list[Recorded] = []

    def session() -> Recorded:
        made.append(Recorded(first=10 * len(made)))
        return made[-1]

    lean = LeanChecker(session)
    first = lean.apply(lean.start(SWAP).handle, "intro h")
    assert isinstance(first, Open)
    assert lean.apply(first.handle, "loop") == TimedOut()
    assert made[0].closed
    again = lean.apply(first.handle, "exact ⟨h.2, h.1⟩")
    assert isinstance(again, Done)
    assert len(made) == 2
    assert "Lean broke down: gone" in str(lean.apply(first.handle, "die"))
    assert isinstance(lean.apply(first.handle, "constructor"), Open)
    assert len(made) == 3


def test_lean_interact_is_asked_as_its_documents_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def remember(name: str) -> Any:
        def make(**options: Any) -> Any:
            asked.append((name, options))
            return types.SimpleNamespace(name=name, **options)

        return make

    class Server:
        def __init__(self, config: Any) -> None:
            self.config = config

        def run(self, request: Any, timeout: float) -> Any:
            asked.append(("run", request.name, timeout))
            return types.SimpleNamespace(model_dump=lambda by_alias: {"by_alias": by_alias})

        def kill(self) -> None:
            asked.append("killed")

    kit: Any = types.ModuleType("lean_interact")
    for name in ("LeanREPLConfig", "LocalProject", "Command", "ProofStep"):
        setattr(kit, name, remember(name))
    kit.LeanServer = Server
    monkeypatch.setitem(sys.modules, "lean_interact", kit)
    session = LeanInteractSession("/repl", "/project", seconds=3.0)
    assert session.command("x") == {"by_alias": True}
    assert session.step(4, "y") == {"by_alias": True}
    session.close()
    assert asked[0] == ("LocalProject", {"directory": "/project"})
    assert asked[1][1]["local_repl_path"] == "/repl"
    assert asked[1][1]["build_repl"] is False
    assert asked[2:] == [
        ("Command", {"cmd": "x"}),
        ("run", "Command", 3.0),
        ("ProofStep", {"proof_state": 4, "tactic": "y"}),
        ("run", "ProofStep", 3.0),
        "killed",
    ]
    monkeypatch.setitem(sys.modules, "lean_interact", None)
    with pytest.raises(MissingCheckerError, match="pip install lean-interact"):
        LeanInteractSession("/repl")

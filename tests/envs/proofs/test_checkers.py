"""Recorded checkers, pools of checkers, candidates at a goal, and what is said without Coq."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from gflow.envs.proofs import (
    CheckerError,
    CheckerPool,
    CoqChecker,
    Done,
    Failed,
    GoalTactics,
    MissingCheckerError,
    Open,
    RecordedChecker,
    StatementError,
    Theorem,
    TimedOut,
    record,
)
from gflow.envs.proofs.tactics import bound, hypotheses
from gflow.errors import ConfigError

GOAL = "P, Q : Prop\nH, H0 : P\nx := 0 : nat\nf : forall a : nat, a = 0\n⊢ Q \\/ P\n\nK : P\n⊢ P"


class Counting:
    """Counts upwards: `+` is open until 3, `-` fails, `?` takes too long."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.closed = 0

    def start(self, theorem: Theorem) -> Open:
        if "bad" in theorem.declaration:
            raise StatementError("no")
        return Open((theorem.declaration, 0), "0")

    def apply(self, handle: Any, tactic: str) -> Any:
        self.threads.add(threading.current_thread().name)
        name, count = handle
        if tactic == "?":
            return TimedOut()
        if tactic == "-":
            return Failed(f"{name} at {count}")
        return Done(handle) if count == 2 else Open((name, count + 1), str(count + 1))

    def close(self) -> None:
        self.closed += 1


def test_a_record_answers_as_the_checker_did(tmp_path: Path) -> None:
    theorems = [Theorem("Theorem a : A.", ("Require Import B.",)), Theorem("Theorem c : C.")]
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record(Counting(), theorems, ["+", "-", "?"], 3)))
    told = RecordedChecker(file)
    assert told.theorems == theorems
    assert told.tactics == ("+", "-", "?")
    proof = told.start(theorems[1])
    for expected in ("1", "2"):
        assert told.apply(proof.handle, "-") == Failed(f"Theorem c : C. at {proof.text}")
        assert told.apply(proof.handle, "?") == TimedOut()
        answer = told.apply(proof.handle, "+")
        assert isinstance(answer, Open)
        proof = answer
        assert proof.text == expected
    assert told.apply(proof.handle, "+") == Done()
    assert told.calls == 7
    with pytest.raises(CheckerError, match="nobody asked 'x'"):
        told.apply(proof.handle, "x")
    with pytest.raises(StatementError, match="has no record of 'Theorem d : D.'"):
        told.start(Theorem("Theorem d : D."))
    file.write_text("{}")
    with pytest.raises(ConfigError, match="is no record of proofs"):
        RecordedChecker(file)


def test_a_pool_answers_in_order_each_theorem_by_its_checker() -> None:
    made: list[Counting] = []

    def make() -> Counting:
        made.append(Counting())
        return made[-1]

    pool = CheckerPool(make, 3)
    theorems = [Theorem(f"Theorem t{i} : A.") for i in range(12)]
    proofs = pool.start(theorems)
    owners = [proof.handle.worker for proof in proofs]
    assert set(owners) == {0, 1, 2}
    replies = pool.apply([(proof.handle, "-") for proof in proofs])
    assert replies == [Failed(f"{theorem.declaration} at 0") for theorem in theorems]
    deeper = pool.apply([(proof.handle, "+") for proof in proofs])
    for owner, reply in zip(owners, deeper, strict=True):
        assert isinstance(reply, Open)
        assert reply.handle.worker == owner
    done = pool.apply([(r.handle, "+") for r in deeper if isinstance(r, Open)])
    assert pool.calls == 36
    assert all(isinstance(reply, Open) for reply in done)
    assert all("checker" in name for checker in made for name in checker.threads)
    same = [Theorem(f"Theorem u{i} : A.", ("Require Import B.",)) for i in range(6)]
    assert len({proof.handle.worker for proof in pool.start(same)}) == 1
    with pytest.raises(StatementError, match="no"):
        pool.start([*theorems, Theorem("Theorem bad : A.")])
    pool.close()
    assert [checker.closed for checker in made] == [1, 1, 1]
    with pytest.raises(ConfigError, match="checkers must be at least 1"):
        CheckerPool(make, 0)


def test_candidates_come_from_the_first_goal() -> None:
    assert list(hypotheses(GOAL.split("\n\n")[0])) == ["H", "H0", "x", "f"]
    found = list(GoalTactics(40).at(GOAL))
    assert found[:7] == [
        "intros.", "intro.", "split.", "left.", "right.", "assumption.", "contradiction.",
    ]  # fmt: skip
    assert found[7:] == [
        "apply f.", "destruct f.", "apply x.", "destruct x.", "apply H0.", "destruct H0.",
        "apply H.", "destruct H.",
    ]  # fmt: skip
    assert list(GoalTactics(9).at(GOAL)) == found[:9]
    with pytest.raises(ConfigError, match="size must be at least 1"):
        GoalTactics(0)


@pytest.mark.parametrize(
    ("goal", "names"),
    [
        ("⊢ forall n m : nat, n = m", ["n", "m"]),
        ("⊢ forall (n : nat) (b c : bool), b = c", ["n", "b", "c"]),
        ("H : forall x : nat, x = 0\n⊢ True", []),
    ],
)
def test_what_the_goal_binds_can_be_inducted_on(goal: str, names: list[str]) -> None:
    assert bound(goal) == names
    found = GoalTactics(99, equations=True).at(goal)
    for name in names:
        assert f"induction {name}." in found
    assert len(set(found)) == len(found)


def test_without_coq_the_message_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingCheckerError, match="apt-get install coq"):
        CoqChecker().start(Theorem.of("True"))
    with pytest.raises(ConfigError, match="memory_mb must be at least 1"):
        CoqChecker(memory_mb=0)

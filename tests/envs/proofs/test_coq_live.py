"""Coq itself, where it is installed: the recorded tree, undo, adversarial texts and runaways."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gflow.envs.proofs import (
    CheckerError,
    CheckerPool,
    CoqChecker,
    Done,
    Failed,
    Open,
    RecordedChecker,
    StatementError,
    Theorem,
    TimedOut,
    record,
)
from gflow.envs.proofs.recorded import EXAMPLE

SWAP = Theorem.of(r"forall P Q : Prop, P /\ Q -> Q /\ P")
FALSE = Theorem.of("False")

live = settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def run(coq: CoqChecker, theorem: Theorem, *tactics: str) -> Open | Done | Failed | TimedOut:
    reply: Open | Done | Failed | TimedOut = coq.start(theorem)
    for tactic in tactics:
        assert isinstance(reply, Open)
        reply = coq.apply(reply.handle, tactic)
    return reply


def test_the_record_is_what_coq_says(coq: CoqChecker) -> None:
    """PF-1, again: the recorded tree, enumerated anew."""
    told = RecordedChecker()
    found = record(coq, told.theorems, told.tactics, 4)
    assert json.loads(json.dumps(found)) == json.loads(EXAMPLE.read_text(encoding="utf-8"))
    assert coq.calls == 145


def test_branches_and_replays_give_the_same_states(coq: CoqChecker) -> None:
    """PF-2: whatever was asked in between, and an error leaves the proof as it was."""
    root = coq.start(SWAP)
    first = coq.apply(root.handle, "intros P Q H.")
    assert isinstance(first, Open)
    assert first.text == "P, Q : Prop\nH : P /\\ Q\n⊢ Q /\\ P"
    assert isinstance(coq.apply(first.handle, "destruct K."), Failed)
    split = coq.apply(first.handle, "split.")
    assert isinstance(split, Open)
    assert split.text == "P, Q : Prop\nH : P /\\ Q\n⊢ Q\n\nP, Q : Prop\nH : P /\\ Q\n⊢ P"
    other = coq.apply(root.handle, "intro.")
    assert isinstance(other, Open)
    assert isinstance(run(coq, FALSE), Open)
    assert coq.apply(first.handle, "split.") == split
    assert coq.apply(root.handle, "intros P Q H.") == first
    end: Open | Done | Failed | TimedOut = split
    for tactic in ("destruct H; assumption.", "destruct H; assumption."):
        assert isinstance(end, Open)
        end = coq.apply(end.handle, tactic)
    assert isinstance(end, Done)
    assert coq.apply(first.handle, "split.") == split  # after Qed, too


LETTERS = st.text(alphabet=st.sampled_from("aHP.(*)\"-+{}[]:;|é∀\\ \t\nAS0!#'"), max_size=15)
PIECES = st.sampled_from(
    ["intros", "split", "apply", "exact", "auto", "H", "P", "I", ";", ",", "("]
)
NEARLY = st.lists(PIECES, min_size=1, max_size=4).map(" ".join)
"""What is read by Coq, and is a tactic now and then."""


@live
@given(text=st.one_of(LETTERS, NEARLY))
@pytest.mark.parametrize("ending", ["", "."])
def test_after_any_text_the_next_tactic_behaves_as_before(
    coq: CoqChecker, text: str, ending: str
) -> None:
    """PF-3: full stops, comments, quotes, bullets, capitals, letters of other scripts."""
    root = coq.start(SWAP)
    reply = coq.apply(root.handle, text + ending)
    assert not isinstance(reply, Done)
    after = coq.apply(root.handle, "intros P Q H.")
    assert isinstance(after, Open)
    assert after.text == "P, Q : Prop\nH : P /\\ Q\n⊢ Q /\\ P"


CHEATS = (
    "exact (False_ind False _).", "cut False.", "assert False.", "enough False.", "eapply I.",
    "fix f 1.", "cofix f.", "refine (fix f (n : nat) : False := f n) 0.", "evar (x : False).",
    "exact_no_check I.", "change True.", "vm_cast_no_check I.", "exact (let x := _ in x).",
    "all: exfalso.", "exact (@proof_irrelevance _ _ _).", "auto.", "exact I.", "tauto.",
    "eexists.", "elimtype False.", "absurd True.", "cofix f. exact f.", "abstract auto.",
    "transparent_abstract auto.", "instantiate (1 := I).", "simple refine _.", "refine _.",
)  # fmt: skip


def test_false_stays_unproved(coq: CoqChecker) -> None:
    """PF-4: neither by one of these nor by one after another."""
    root = coq.start(FALSE)
    for first in CHEATS:
        reply = coq.apply(root.handle, first)
        assert not isinstance(reply, Done), first
        if isinstance(reply, Open):
            for second in ("exact I.", "exact_no_check I.", "auto.", "exact f.", "apply f."):
                assert not isinstance(coq.apply(reply.handle, second), Done), (first, second)


def test_done_means_qed_and_no_assumptions(coq: CoqChecker) -> None:
    """PF-4: no goals are left, and yet nothing is proved."""
    reply = run(coq, FALSE, "exact_no_check I.")
    assert isinstance(reply, Failed)
    assert "Qed refused it" in reply.message
    assumed = Theorem("Theorem goal : False.", ("Axiom wrong : False.",))
    reply = run(coq, assumed, "exact wrong.")
    assert isinstance(reply, Failed)
    assert "it assumes: " in reply.message
    assert "wrong" in reply.message


def test_goals_on_the_shelf_count(coq: CoqChecker) -> None:
    reply = run(coq, Theorem.of("exists n : nat, n = n"), "eexists.", "reflexivity.")
    assert isinstance(reply, Failed)
    assert "not in focus" in reply.message


def test_no_file_is_written(coq: CoqChecker, tmp_path: Path) -> None:
    """PF-4: not even by a command in the context, which is trusted."""
    target = tmp_path / "named"
    theorem = Theorem("Theorem goal : True.", (f'Redirect "{target}" Print nat.',))
    assert isinstance(run(coq, theorem, "exact I."), Done)
    assert [file.stat().st_size for file in tmp_path.iterdir()] in ([], [0])


@pytest.mark.slow
def test_runaways_end_in_time_and_the_checker_recovers(coq: CoqChecker) -> None:
    """PF-6: by Coq's own timeout, or with the process."""
    coq.tactic_seconds, coq.answer_seconds = 1, 100.0
    before = run(coq, SWAP, "intros.")
    assert coq._process is not None
    pid = coq._process.pid
    assert run(coq, SWAP, "repeat (pose proof I).") == TimedOut()
    assert coq._process.pid == pid  # it ended the tactic by itself
    coq.tactic_seconds, coq.answer_seconds = 100, 1.0
    coq.close()
    root = coq.start(SWAP)
    assert coq._process is not None
    pid = coq._process.pid
    assert coq.apply(root.handle, "repeat (pose proof I).") == TimedOut()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    coq.answer_seconds = 10.0
    assert run(coq, SWAP, "intros.") == before
    assert isinstance(coq.apply(root.handle, "intros."), Open)  # a handle of the process before


@pytest.mark.slow
def test_memory_is_bounded_and_the_checker_recovers(coq: CoqChecker) -> None:
    """PF-6: what asks for more than there is fails, whether or not the process survives it."""
    coq.memory_mb = 600
    root = coq.start(Theorem.of("True"))
    greedy = "pose (x := I); repeat (let b := eval unfold x in x in pose (y := (b,b)); clear x; "
    reply = coq.apply(root.handle, greedy + "rename y into x).")
    assert isinstance(reply, Failed | TimedOut)
    assert isinstance(coq.apply(root.handle, "exact I."), Done)
    coq.close()
    coq.memory_mb = 100
    with pytest.raises(CheckerError, match="does not start.*memory_mb=100"):
        coq.start(SWAP)


def test_processes_start_anew_after_many_theorems(coq: CoqChecker) -> None:
    coq.theorems = 3
    pids = set()
    for i in range(7):
        reply = run(coq, Theorem.of("True", name=f"t{i}"), "exact I.")
        assert isinstance(reply, Done)
        assert coq._process is not None
        pids.add(coq._process.pid)
    assert len(pids) == 3


def test_a_pool_of_live_checkers(coq: CoqChecker) -> None:
    pool = CheckerPool(CoqChecker, 2)
    theorems = [SWAP, FALSE, Theorem.of("True", name="easy")]
    try:
        proofs = pool.start(theorems)
        replies = pool.apply([(proof.handle, "exact I.") for proof in proofs])
        assert [type(reply) for reply in replies] == [Failed, Failed, Done]
    finally:
        pool.close()


def test_statements_that_open_no_proof(coq: CoqChecker) -> None:
    for bad in ("Nothing", "forall P, P ->", "nat := 0"):
        with pytest.raises(StatementError, match="opens no proof"):
            coq.start(Theorem.of(bad))
    with pytest.raises(StatementError, match="opens no proof"):
        coq.start(Theorem("Theorem goal : True.", ("Require Import Nowhere.",)))
    assert isinstance(run(coq, SWAP), Open)

"""Which texts may reach Coq: one tactic each, no command, no second sentence, no comment."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow.envs.proofs.checker import CheckerError, Failed, StatementError, Theorem, TimedOut
from gflow.envs.proofs.coq.checker import CoqChecker, Path
from gflow.envs.proofs.coq.process import SilentError
from gflow.envs.proofs.coq.sanitise import checked_declaration, complaint, squeezed

LETTERS = 'aA(.* \t"{-é0'

GOOD = (
    "intros.", "intros P Q H.", "apply H.", "(split; assumption).", "all: intros.",
    "2: assumption.", "!: split.", "destruct H as [a b].", "exact (fun x => x).",
    "apply Coq.Init.Logic.I.", "rewrite <- (plus_n_O n).", "destruct b'.", "pose (x := 1).",
    "exact (eq_refl.(eq_sym)).",
)  # fmt: skip

BAD = {
    "Axiom x : False.": "begins with a small letter",
    "Admitted.": "begins with a small letter",
    "Abort.": "begins with a small letter",
    'Redirect "file" Print nat.': '" is not taken',
    "Unset Guard Checking.": "begins with a small letter",
    "#[local] Axiom x : False.": "begins with a small letter",
    "[a]: intros.": "begins with a small letter",
    "- apply H.": "begins with a small letter",
    "{ apply H.": "begins with a small letter",
    "+ split.": "begins with a small letter",
    "* split.": "begins with a small letter",
    "intros. split.": "only one sentence",
    "intros. Axiom x : False.": "only one sentence",
    "intros.\tAdmitted.": "only one sentence",
    "intros...": "a single full stop",
    "intros..split.": "only one sentence",
    "intros": "ends with a full stop",
    ".": "it is empty",
    " . .": "it is empty",
    "intros (* a *).": "is not taken",
    "intros *).": "is not taken",
    'idtac "a".': "is not taken",
    "admit.": "admit is not allowed",
    "intros; give_up.": "give_up is not allowed",
    "shelve.": "shelve is not allowed",
    "unshelve eapply H.": "unshelve is not allowed",
    "native_compute.": "native_compute is not allowed",
    "1: {.": "braces",
    "1:{ intros.": "braces",
    "all: {.": "braces",
    "intros \x00.": "printable",
    "intros \ud800.": "printable",
    "i" * 1001 + ".": "at most 1000",
}


@pytest.mark.parametrize("tactic", GOOD)
def test_tactics_pass(tactic: str) -> None:
    assert complaint(squeezed(tactic)) is None


@pytest.mark.parametrize("tactic", BAD)
def test_all_else_is_refused(tactic: str) -> None:
    """PF-4: banned commands never reach the process."""
    reason = complaint(squeezed(tactic))
    assert reason is not None
    assert BAD[tactic] in reason


@pytest.mark.parametrize("tactic", BAD)
def test_no_process_is_started_for_what_is_refused(
    tactic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PF-4: the checker reads a tactic before anything is asked."""

    def never(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("gflow.envs.proofs.coq.checker.CoqProcess", never)
    reply = CoqChecker().apply(Path(Theorem.of("True")), tactic)
    assert isinstance(reply, Failed)
    assert "is refused" in reply.message


def test_every_tactic_is_sent_with_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """PF-6: those that are replayed, too; no answer is a time out, and an answer of Coq's so."""
    sent: list[tuple[str, ...]] = []

    def silent(self: CoqChecker, sentences: tuple[str, ...]) -> Any:
        sent.append(sentences)
        raise SilentError("nothing came")

    monkeypatch.setattr(CoqChecker, "_say", silent)
    theorem = Theorem.of("True -> True")
    handle = Path(theorem, ("intros.",))
    assert CoqChecker(tactic_seconds=7).apply(handle, "exact I.") == TimedOut()
    assert sent == [(theorem.declaration, "Timeout 7 intros.", "Timeout 7 exact I.")]

    def slow(self: CoqChecker, sentences: tuple[str, ...]) -> Any:
        raise CheckerError("Timeout!")

    monkeypatch.setattr(CoqChecker, "_say", slow)
    assert CoqChecker().apply(handle, "exact I.") == TimedOut()


@settings(max_examples=60)
@given(st.text(alphabet=LETTERS, max_size=12))
def test_what_passes_is_one_sentence_in_small_letters(text: str) -> None:
    tactic = squeezed(text) + "."
    if complaint(tactic) is None:
        body = tactic[:-1]
        assert not any(
            body[i] == "." and body[i + 1 : i + 2] in ("", " ") for i in range(len(body))
        )
        assert not body[0].isupper()
        assert body[0] not in "-+*{}#["
        assert "(*" not in body


def test_statements_are_single_sentences() -> None:
    assert checked_declaration("Theorem a :\n True.") == "Theorem a : True."
    for bad in ("True", "Theorem a : True. Axiom b : False.", 'Check "a".', "Theorem (* *) a : T."):
        with pytest.raises(StatementError, match="is no statement for Coq"):
            checked_declaration(bad)
    assert Theorem.of("True.").declaration == "Theorem goal : True."
    assert Theorem("Lemma a' (n : nat) : n = n.").name == "a'"
    with pytest.raises(StatementError, match="opened by a sentence"):
        Theorem("Axiom a : False.").name  # noqa: B018

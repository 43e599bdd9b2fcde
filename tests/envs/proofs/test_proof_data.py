"""Random propositions, files of statements, and lemmas out of files of Coq's library."""

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow.envs.proofs import (
    CoqChecker,
    Done,
    FixedTactics,
    PosteriorReward,
    ProofEnv,
    ProofTree,
    Theorem,
)
from gflow.envs.proofs.checker import CheckerError
from gflow.envs.proofs.coq.certificate import recheck
from gflow.envs.proofs.coq.library import (
    lemmas,
    library_proofs,
    replays,
    sentences,
    without_comments,
)
from gflow.envs.proofs.data import read_statements, shortest_proofs, those_that_open
from gflow.envs.proofs.propositions import Formula, holds, random_formula, random_propositions
from gflow.errors import ConfigError

P, Q = Formula("P"), Formula("Q")


def to(a: Formula, b: Formula) -> Formula:
    return Formula("->", (a, b))


def test_formulas_are_written_with_the_parentheses_that_they_need() -> None:
    both, either, no = Formula("/\\", (P, Q)), Formula("\\/", (P, Q)), Formula("~", (P,))
    assert str(to(to(P, Q), to(P, Q))) == "(P -> Q) -> P -> Q"
    assert str(Formula("/\\", (both, both))) == "(P /\\ Q) /\\ P /\\ Q"
    assert str(Formula("\\/", (both, to(P, Q)))) == "P /\\ Q \\/ (P -> Q)"
    assert str(Formula("~", (either,))) == "~ (P \\/ Q)"
    assert str(Formula("~", (no,))) == "~ ~ P"
    assert str(Formula("/\\", (no, Formula("False")))) == "~ P /\\ False"


def test_what_holds_without_excluded_middle() -> None:
    no, either = Formula("~", (P,)), Formula("\\/", (P, Formula("~", (P,))))
    peirce = to(to(to(P, Q), P), P)
    for formula in (to(P, P), to(P, Formula("~", (no,))), Formula("~", (Formula("~", (either,)),)),
                    Formula("~", (Formula("~", (peirce,)),)),
                    to(Formula("~", (Formula("\\/", (P, Q)),)), no)):  # fmt: skip
        assert holds(formula), str(formula)
    for formula in (P, either, peirce, to(Formula("~", (no,)), P), to(to(P, Q), Q), no):
        assert not holds(formula), str(formula)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_what_holds_is_true_in_every_world(seed: int) -> None:
    """Soundness by truth tables; and by two worlds, one after the other, as Kripke has them."""
    formula = random_formula(random.Random(seed), 3)
    if not holds(formula):
        return
    names = formula.variables
    # Each variable becomes true never, in the later world, or in both.
    for since in itertools.product((0, 1, 2), repeat=len(names)):
        worlds = [dict(zip(names, (s >= 2 - w for s in since), strict=True)) for w in (0, 1)]
        assert forced(formula, worlds, 0)


def forced(formula: Formula, worlds: list[dict[str, bool]], world: int) -> bool:
    parts = formula.parts
    match formula.kind:
        case "/\\":
            return all(forced(part, worlds, world) for part in parts)
        case "\\/":
            return any(forced(part, worlds, world) for part in parts)
        case "->":
            later = range(world, 2)
            return all(
                not forced(parts[0], worlds, w) or forced(parts[1], worlds, w) for w in later
            )
        case "~":
            return not any(forced(parts[0], worlds, w) for w in range(world, 2))
    return worlds[world].get(formula.kind, False)


def test_coq_agrees_about_what_holds(coq: CoqChecker) -> None:
    """`tauto` is the oracle; it is never among the tactics of a policy."""
    rng = random.Random(3)
    seen = {True: 0, False: 0}
    for _ in range(60):
        formula = random_formula(rng, 3)
        bound = " ".join(sorted(formula.variables))
        start = coq.start(Theorem.of(f"forall {bound} : Prop, {formula}"))
        assert start.text == f"⊢ forall {bound} : Prop, {formula}"
        truth = isinstance(coq.apply(start.handle, "tauto."), Done)
        assert truth == holds(formula), str(formula)
        seen[truth] += 1
    assert min(seen.values()) > 4


def test_propositions_are_different_and_hold() -> None:
    found = random_propositions(30, seed=1)
    assert found == random_propositions(30, seed=1)
    assert len({theorem.declaration for theorem in found}) == 30
    others = random_propositions(10, seed=1, skip=found)
    assert not set(others) & set(found)
    assert random_propositions(0) == []
    with pytest.raises(ConfigError, match="of 9 different propositions of depth 1"):
        random_propositions(9, depth=1)


FILE = r"""
(* A comment. With "a string (* in it" and (* another *) one. *)
Require Import Coq.Init.Nat.
Local Open Scope nat_scope.
Definition two := 2. (* Lemma not : True. Proof. exact I. Qed. *)
Lemma one (n : nat) :
  n = n.
Proof.
  - reflexivity.
Qed.
Lemma dotted : Nat.add 1 1 = two. Proof. reflexivity. Qed.
Section Inside.
  Variable A : Type.
  Lemma inside : forall a : A, a = a. Proof. reflexivity. Qed.
End Inside.
Lemma defined : True. Proof. exact I. Defined.
Lemma odd : True. Proof with auto. exact I... Qed.
Lemma braces : True /\ True.
Proof.
  split. { exact I. } 2:{ exact I. }
  * exact I.
Qed.
Notation "a . b" := (a + b) (at level 50).
Lemma term : True := I.
Theorem last : 1 = 1.
Proof. simpl. reflexivity. Qed.
"""


def test_files_are_split_into_sentences() -> None:
    said = sentences(FILE)
    assert said[:3] == [
        "Require Import Coq.Init.Nat.", "Local Open Scope nat_scope.", "Definition two := 2.",
    ]  # fmt: skip
    assert "Lemma dotted : Nat.add 1 1 = two." in said
    assert 'Notation "a . b" := (a + b) (at level 50).' in said
    begin = said.index("Lemma braces : True /\\ True.")
    assert said[begin + 1 : begin + 12] == [
        "Proof.", "split.", "{", "exact I.", "}", "2:{", "exact I.", "}", "*", "exact I.", "Qed.",
    ]  # fmt: skip
    assert without_comments('a (* b (* c *) "*)" *) d "(*" e') == 'a   d "(*" e'


def test_lemmas_outside_sections_that_end_with_qed() -> None:
    found = list(lemmas(FILE, "Coq.A.B"))
    assert [(p.theorem.name, p.tactics) for p in found] == [
        ("one", ("-", "reflexivity.")),
        ("dotted", ("reflexivity.",)),
        ("braces", ("split.", "{", "exact I.", "}", "2:{", "exact I.", "}", "*", "exact I.")),
        ("last", ("simpl.", "reflexivity.")),
    ]
    assert found[0].theorem.declaration == "Lemma one (n : nat) : n = n."
    assert found[0].theorem.context == (
        "Require Import Coq.A.B.", "Require Import Coq.Init.Nat.", "Open Scope nat_scope.",
    )  # fmt: skip


def test_the_installed_library_has_lemmas_that_replay(coq: CoqChecker) -> None:
    found = library_proofs(("Bool/Bool.v", "No/Such.v"), longest=2)
    assert len(found) > 60
    some = found[::10]
    assert sum(replays(coq, proof) for proof in some) >= len(some) - 1
    wrong = Theorem("Lemma wrong : 1 = 2.", some[0].theorem.context)
    assert those_that_open(coq, [some[0].theorem, Theorem.of("Nowhere"), wrong]) == [
        some[0].theorem, wrong,
    ]  # fmt: skip
    assert not replays(coq, type(some[0])(wrong, ("auto.",)))


def test_a_fresh_compiler_checks_proofs_again(coq: CoqChecker) -> None:
    swap = Theorem.of(r"forall P Q : Prop, P /\ Q -> Q /\ P", context=("Require Import List.",))
    script = recheck(swap, ("intros.", "destruct H.", "split.", "assumption.", "assumption."))
    assert script.startswith("Require Import List.\nTheorem goal : forall P Q : Prop")
    assert script.endswith("  assumption.\nQed.\n")
    with pytest.raises(CheckerError, match="coqc refuses this proof"):
        recheck(swap, ("intros.", "split."))
    assumed = Theorem.of("False", context=("Axiom wrong : False.",))
    with pytest.raises(CheckerError, match="assumes something"):
        recheck(assumed, ("exact wrong.",))


def test_shortest_proofs_of_propositions(coq: CoqChecker) -> None:
    tactics = FixedTactics(("intros.", "split.", "left.", "right.", "assumption.", "destruct H."))
    listed = [
        Theorem.of("forall P : Prop, P -> P"),
        Theorem.of("forall P : Prop, P"),
        Theorem.of(r"forall P Q : Prop, P /\ Q -> Q \/ P"),
    ]
    tree = ProofTree(coq, listed, tactics, 5)
    env = ProofEnv(tree, PosteriorReward(tree))
    found = shortest_proofs(env, 500)
    assert found[:, 0].tolist() == [0, 2]
    assert env.proof(found)[0] == ("intros.", "assumption.")
    assert len(env.proof(found)[1]) == 3


def test_statements_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "statements"
    file.write_text("# mine\nTrue\n\nforall n : nat, n = n.\n")
    assert [t.declaration for t in read_statements(file)] == [
        "Theorem goal0 : True.", "Theorem goal1 : forall n : nat, n = n.",
    ]  # fmt: skip
    file.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="there is no statement"):
        read_statements(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_statements(tmp_path / "none")

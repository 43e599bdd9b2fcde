"""Adversarial texts for a proof checker: nothing is proved that is not, written, or hung upon."""

import os
import random
import time
from pathlib import Path
from typing import Any

from gflow.envs.proofs.checker import Done, Failed, Open, Theorem, TimedOut
from gflow.envs.proofs.coq.checker import CoqChecker
from gflow.envs.proofs.coq.checker import Path as ProofPath

COMMANDS = (
    "Axiom cheat : False.", "Admitted.", "Abort.", "Qed.", "Defined.", "Cd \"/\".", "Pwd.",
    "Redirect \"out\" Print nat.", "Unset Guard Checking.", "Unset Universe Checking.",
    "Load \"file\".", "Require Import Lia.", "Extraction \"out\" nat.", "Drop.", "Quit.", "Fail.",
    "Parameter cheat : False.", "Hypothesis cheat : False.", "Grab Existential Variables.",
    "Show Proof.", "Optimize Heap.", "Restart.", "Undo.", "Focus.", "Set Default Timeout 1.",
    "#[bypass_check(guard)] Fixpoint f (n : nat) : False := f n.", "Goal False.", "End.",
    "Add LoadPath \"/\" as X.", "Declare ML Module \"m\".", "Print Assumptions goal.",
)  # fmt: skip
CHEATS = (
    "admit.", "give_up.", "shelve.", "all: give_up.", "exact_no_check I.", "vm_cast_no_check I.",
    "native_cast_no_check I.", "native_compute.", "unshelve eexists.", "cofix f; exact f.",
    "fix f 1; exact f.", "cofix f.", "exact (fix f (n : nat) : False := f n) 0.", "clear.",
    "cut False.", "elimtype False.", "exfalso.", "assert (cheat : False).", "evar (x : False).",
    "exact x.", "instantiate (1 := I).", "abstract (exact I).", "refine _.", "refine (_ _).",
    "simple refine _.", "change True.", "replace False with True.", "generalize I.",
    "exact (match I with end).", "case I.", "induction 1.", "destruct (I : False).", "easy.",
    "intros; auto.", "firstorder.", "tauto.", "intuition.", "congruence.", "exact (cheat).",
    "idtac.", "fail.", "solve [auto].", "first [exact I | auto].", "try exact I.", "constructor.",
    "transparent_abstract exact I.", "exact (let f := fix f (n : nat) : False := f n in f 0).",
    "let x := constr:(I) in exact x.", "lazy.", "compute.", "cbv.", "simpl.", "now auto.",
    "time auto.", "infoH auto.", "debug auto.", "progress auto.", "do 3 auto.", "revgoals.",
    "swap 1 2.", "cycle 1.", "optimize_heap.", "start ltac profiling.", "show ltac profile.",
)  # fmt: skip
SLOW = ("repeat (pose proof I).", "do 100000000 idtac.", "let rec f x := f (x, x) in f I.")
PIECES = (
    ".", ". ", "..", "...", " ", "\t", "\n", "(*", "*)", "\"", "-", "+", "*", "{", "}", "[", "]",
    "|", ";", ":", ":=", "2:", "all:", "!", "?", "@", "#", "$", "%", "^", "&", "<", ">", "&lt;",
    "</string>", "\\", "'", "`", "é", "∀", "⊢", "\u00a0", "\u200b", "\x00", "\x1b", "\ud800",
    "intros", "apply", "exact", "I", "H", "False", "Axiom", "Admitted", "admit", "fun x =>",
    "forall", "match", "end", "with", "Timeout 9", "Set", "Require", "ltac:", "0", "1", "42",
)  # fmt: skip

TRUE = Theorem.of(r"forall P Q : Prop, P /\ Q -> Q /\ P")
FALSE = Theorem.of("False")


def texts(count: int, seed: int = 0) -> list[str]:
    """Commands, cheats, two of them glued together, broken in places, or pieces alone."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        kind = rng.random()
        base = rng.choice(CHEATS if rng.random() < 0.7 else COMMANDS)
        if kind < 0.2:
            text = base
        elif kind < 0.45:
            text = base + rng.choice((" ", "", "\n", "  ")) + rng.choice(COMMANDS + CHEATS)
        elif kind < 0.7:
            place = rng.randrange(len(base) + 1)
            text = base[:place] + rng.choice(PIECES) + base[place + rng.randrange(3) :]
        else:
            text = "".join(
                rng.choice(PIECES) + rng.choice(("", " ")) for _ in range(rng.randrange(9))
            )
            text += rng.choice((".", "", "."))
        found.append(rng.choice(("", "", "", "all: ", "try ", "- ", "1: ")) + text)
    return found


def resident_mb(pid: int) -> float:
    """Resident memory of a process, where the system tells; else 0."""
    status = Path(f"/proc/{pid}/statm")
    if not status.exists():
        return 0.0
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def safety(count: int, memory_mb: int = 1500, slow_every: int = 1000) -> dict[str, Any]:
    """Give a checker many adversarial texts and look at what they did.

    Every text is tried at `False` and, in turn, at open proofs that texts before led to. After each
    hundred, and after each that takes too long, a proof of another theorem must go as always.

    Args:
        count: How many texts.
        memory_mb: Bound on the memory of the checker.
        slow_every: After so many texts comes one that does not end by itself.

    Raises:
        AssertionError: False was proved, a file was written, a proof went otherwise than before, a
            reply took too long, or the checker used more memory than it may.
    """
    checker = CoqChecker(tactic_seconds=1, answer_seconds=10.0, memory_mb=memory_mb)
    rng, start = random.Random(1), time.monotonic()
    before = _files(Path.cwd())
    replies = {"Failed": 0, "Open": 0, "Done": 0, "TimedOut": 0}
    reached, longest, most, asked = list[ProofPath](), 0.0, 0.0, 0
    for number, text in enumerate(texts(count)):
        if slow_every and number % slow_every == slow_every - 1:
            text = rng.choice(SLOW)
        if not reached or rng.random() < 0.5:
            handle = checker.start(FALSE).handle
        else:
            handle = rng.choice(reached)
        begin = time.monotonic()
        reply = checker.apply(handle, text)
        longest = max(longest, time.monotonic() - begin)
        replies[type(reply).__name__] += 1
        assert not isinstance(reply, Done), f"False was proved by {handle.tactics} and {text!r}"
        if isinstance(reply, Open) and len(handle.tactics) < 3:
            reached = [*reached[-200:], reply.handle]
        if checker._process is not None:
            most = max(most, resident_mb(checker._process.pid))
            if number % 100 == 0:
                written = _files(Path(checker._process._folder.name))
                assert not any(written.values()), f"files were written: {written}"
        if number % 100 == 0 or isinstance(reply, TimedOut):
            control(checker)
    asked = checker.calls
    checker.close()
    written = {k: v for k, v in _files(Path.cwd()).items() if before.get(k) != v}
    assert not written, f"files were written: {written}"
    assert longest < 15, f"a reply took {longest:.1f} s"
    assert most < memory_mb, f"the checker used {most:.0f} MiB"
    found = {
        "texts": count, "reached_coq": asked, "replies": replies, "longest_s": round(longest, 2),
        "resident_mb": round(most), "seconds": round(time.monotonic() - start),
    }  # fmt: skip
    print(found)
    return found


def control(checker: CoqChecker) -> None:
    """A proof of another theorem, which must go as it always does."""
    reply: Any = checker.start(TRUE)
    for tactic, expected in (
        ("intros.", "P, Q : Prop\nH : P /\\ Q\n⊢ Q /\\ P"),
        ("destruct H.", "P, Q : Prop\nH : P\nH0 : Q\n⊢ Q /\\ P"),
    ):
        reply = checker.apply(reply.handle, tactic)
        assert isinstance(reply, Open), reply
        assert reply.text == expected, reply.text
    assert isinstance(checker.apply(reply.handle, "exact I."), Failed)
    assert isinstance(checker.apply(reply.handle, "split; assumption."), Done)


def _files(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}

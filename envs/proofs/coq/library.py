"""Lemmas that people proved: taken from the standard library that Coq is installed with."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gflow.bounds import Count, complaint
from gflow.envs.proofs.checker import Checker, Done, Open, StatementError, Theorem
from gflow.envs.proofs.coq.process import find_program
from gflow.errors import ConfigError

FILES = (
    "Bool/Bool.v", "Bool/BoolEq.v", "Bool/IfProp.v", "Bool/Sumbool.v", "Bool/Zerob.v",
    "Init/Logic.v", "Init/Datatypes.v", "Init/Peano.v", "Init/Specif.v", "Arith/Le.v",
    "Arith/Lt.v", "Arith/Plus.v", "Arith/Minus.v", "Arith/Mult.v", "Arith/Gt.v", "Arith/Max.v",
    "Arith/Min.v", "Arith/Between.v", "Arith/Compare.v", "Arith/EqNat.v", "Arith/Even.v",
    "Arith/Div2.v", "Logic/Decidable.v", "Lists/List.v",
)  # fmt: skip
"""Files of the library whose lemmas are about propositions, truth values, numbers and lists."""

STATEMENT = re.compile(r"(?:Theorem|Lemma|Remark|Fact|Corollary|Proposition)\s+[\w']+")
SECTION = re.compile(r"(?:Section|Module(?: Type)?)\s+[\w']+(?!.*:=)")
BULLET = re.compile(r"[-+*]+(?=\s|\w|\()|(?:\d+\s*:\s*)?\{|\}")
IMPORT = re.compile(r"(?:From\s+\S+\s+)?Require\s+(?:Import|Export)\b|(?:Import|Export)\s")
SCOPE = re.compile(r"(?:Local\s+|Global\s+|#\[\w+\]\s*)?Open\s+Scope\s+(\w+)")


@dataclass(frozen=True)
class HumanProof:
    """A theorem and how somebody proved it.

    Attributes:
        theorem: The theorem.
        tactics: Its sentences between Proof and Qed.
    """

    theorem: Theorem
    tactics: tuple[str, ...]


def without_comments(text: str) -> str:
    """The text with a blank for each comment; comments may hold comments, and strings neither."""
    found, depth, place = [], 0, 0
    while place < len(text):
        two = text[place : place + 2]
        if two == "(*":
            depth, place = depth + 1, place + 2
        elif two == "*)" and depth:
            depth, place = depth - 1, place + 2
            found += [] if depth else [" "]
        elif text[place] == '"':
            end = text.find('"', place + 1)
            end = len(text) if end < 0 else end + 1
            found += [] if depth else [text[place:end]]
            place = end
        else:
            found += [] if depth else [text[place]]
            place += 1
    return "".join(found)


def sentences(text: str) -> list[str]:
    """The sentences of a file with single blanks; bullets and braces are sentences, too."""
    text = without_comments(text)
    found, begin, place = list[str](), 0, 0
    while place < len(text):
        if not text[begin:place].strip():
            bullet = BULLET.match(text, place)
            if bullet is not None:
                found.append("".join(bullet[0].split()))
                begin = place = bullet.end()
                continue
        if text[place] == '"':
            place = text.find('"', place + 1)
            place = len(text) if place < 0 else place + 1
        elif text[place] == "." and (place + 1 == len(text) or text[place + 1].isspace()):
            found.append(" ".join(text[begin : place + 1].split()))
            begin = place = place + 1
        else:
            place += 1
    return found


def lemmas(text: str, module: str) -> Iterator[HumanProof]:
    """The lemmas of a file that stand outside sections and end with Qed.

    They are stated anew after the file was imported: what it imports and the scopes that it opens
    are the context.

    Args:
        text: Of the file.
        module: Its name, `Coq.Bool.Bool`.
    """
    depth, context, said = 0, [f"Require Import {module}."], iter(sentences(text))
    for sentence in said:
        if SECTION.match(sentence):
            depth += 1
        elif re.match(r"End\s", sentence):
            depth -= 1
        elif not depth and IMPORT.match(sentence):
            context.append(sentence)
        elif not depth and (scope := SCOPE.match(sentence)):
            context.append(f"Open Scope {scope[1]}.")
        elif STATEMENT.match(sentence) and ":=" not in sentence:
            proof, ended = _proof(said)
            if not depth and ended and proof:
                yield HumanProof(Theorem(sentence, tuple(context)), proof)


def _proof(said: Iterator[str]) -> tuple[tuple[str, ...], bool]:
    """The sentences up to the end of a proof, and whether that is Qed; none of unusual ones."""
    found, usual = list[str](), True
    for sentence in said:
        word = sentence.rstrip(".").split(" ")[0]
        if word in ("Qed", "Defined", "Admitted", "Abort", "Save"):
            return tuple(found), usual and word == "Qed"
        if word == "Proof":
            usual = usual and sentence == "Proof."
        else:
            found.append(sentence)
    return (), False


@cache
def library() -> Path:
    """Where the sources of the standard library are.

    Raises:
        MissingCheckerError: Coq is not installed.
        ConfigError: It is installed without them.
    """
    asked = [find_program("coqc"), "-where"]
    where = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    folder = Path(where.stdout.strip()) / "theories"
    if not (folder / "Init" / "Logic.v").exists():
        raise ConfigError(f"Coq has no sources of its library in {folder}.")
    return folder


def library_proofs(files: Sequence[str] = FILES, longest: int = 3) -> list[HumanProof]:
    """Lemmas of the installed standard library with short proofs.

    Args:
        files: Of the library; those that this version does not have are left out.
        longest: Sentences of a proof, at most.
    """
    reason = complaint(longest, Count)
    if reason is not None:
        raise ConfigError(f"library_proofs: longest {reason}.")
    found = []
    for name in files:
        path = library() / name
        if path.exists():
            module = f"Coq.{name.removesuffix('.v').replace('/', '.')}"
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [p for p in lemmas(text, module) if len(p.tactics) <= longest]
    return found


def replays(checker: Checker, proof: HumanProof) -> bool:
    """Whether a checker accepts a human proof as it stands."""
    try:
        reply = checker.start(proof.theorem)
    except StatementError:
        return False
    for tactic in proof.tactics:
        if not isinstance(reply, Open):
            return False
        answer = checker.apply(reply.handle, tactic)
        if isinstance(answer, Done):
            return tactic == proof.tactics[-1]
        if not isinstance(answer, Open):
            return False
        reply = answer
    return False

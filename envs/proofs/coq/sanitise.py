"""Which texts are one tactic for Coq, and nothing else.

Coq takes `Axiom x : False.`, `Admitted.` or `Redirect "file" ...` where a tactic is expected, and
of two sentences silently the first alone. Nothing reaches it that is not read here.
"""

import re

from gflow.envs.proofs.checker import StatementError

LONGEST = 1000
"""Letters of the longest tactic."""

BANNED = frozenset(
    "admit give_up shelve shelve_unifiable unshelve Grab native_compute native_cast_no_check "
    "proof_admitted".split()
)
"""Words by which a goal goes away unproved, or another program is started."""

SELECTOR_BRACE = re.compile(r"(?:^|[\w\]!])\s*:\s*\{")
INNER_DOT = re.compile(r"\.(?![^\W\d]|\()")
WORD = re.compile(r"[^\W\d][\w']*")


def complaint(tactic: str) -> str | None:
    """Why a text is no single tactic, or None. Blanks must be single ones (`squeezed`)."""
    if not tactic.endswith("."):
        return "a tactic ends with a full stop"
    if len(tactic) > LONGEST:
        return f"a tactic has at most {LONGEST} letters"
    if not tactic.isprintable():
        return "a tactic consists of printable letters"
    body = tactic[:-1]
    reason = _not_one_sentence(body)
    if reason is not None:
        return reason
    if re.match(r"[a-z0-9(!]", body) is None:
        return "a tactic begins with a small letter, a digit, ( or !: commands do not"
    if SELECTOR_BRACE.search(body) or body.endswith(("{", "}")):
        return "braces that focus a goal are not taken"
    banned = sorted(BANNED.intersection(WORD.findall(body)))
    if banned:
        return f"{banned[0]} is not allowed: it makes goals go away unproved or starts a program"
    return None


def _not_one_sentence(body: str) -> str | None:
    """Why a text without its last full stop is no single sentence, or None."""
    if not body.strip(". "):
        return "it is empty"
    if body.endswith("."):
        return "a tactic ends with a single full stop"
    if INNER_DOT.search(body):
        return "only one sentence is taken"
    for mark in ("(*", "*)", '"'):
        if mark in body:
            return f"{mark} is not taken"
    return None


def squeezed(text: str) -> str:
    """A text with single blanks, and none at its ends."""
    return " ".join(text.split())


def checked_declaration(sentence: str) -> str:
    """The sentence that opens a proof, if it is one sentence.

    Raises:
        StatementError: It is not.
    """
    text = squeezed(sentence)
    reason = "it does not end with a full stop" if not text.endswith(".") else None
    reason = reason or _not_one_sentence(text[:-1])
    if reason is None and not text.isprintable():
        reason = "it consists of printable letters"
    if reason is not None:
        raise StatementError(f"{sentence!r} is no statement for Coq: {reason}.")
    return text

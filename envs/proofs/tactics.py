"""Which tactics are tried at a proof: a list that is fixed, or one made from the goal's text."""

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from gflow.bounds import Count, complaint
from gflow.errors import ConfigError

HYPOTHESIS = re.compile(r"([\w', ]+?)(?: := .*)? : (.*)")
BINDERS = re.compile(r"⊢ forall (?:([\w' ]+?) :|((?:\([^()]*\) ?)+),)")
SORTS = ("Prop", "Set", "Type")

ALWAYS = ("intros.", "intro.", "split.", "left.", "right.", "assumption.", "contradiction.")
"""What propositional proofs are made of, beside what names a hypothesis."""

EQUATIONS = (
    "reflexivity.", "simpl.", "symmetry.", "trivial.", "f_equal.", "discriminate.", "constructor.",
    "auto.", "subst.", "exfalso.",
)  # fmt: skip
"""What is needed beside them where there are data and equations."""


class Tactics(Protocol):
    """Candidates at an open proof.

    Attributes:
        size: A: there are never more.
    """

    size: int

    def at(self, text: str) -> Sequence[str]:
        """At most A different tactics for a proof with this text; the same whenever it is asked."""


class FixedTactics:
    """The same tactics everywhere.

    Args:
        tactics: These.
    """

    def __init__(self, tactics: Sequence[str]) -> None:
        self.tactics = tuple(tactics)
        if not self.tactics or len(set(self.tactics)) < len(self.tactics):
            raise ConfigError(
                f"FixedTactics: needs at least one tactic and each once, got {self.tactics}."
            )
        self.size = len(self.tactics)

    def at(self, text: str) -> Sequence[str]:
        """All of them."""
        return self.tactics


class GoalTactics:
    """Tactics that the first goal suggests: some everywhere, others for each hypothesis.

    Hypotheses are those that are no types themselves: ``apply h.`` and ``destruct h.`` for each,
    the newest first, and with `equations` also ``rewrite h.``, ``rewrite <- h.`` and induction,
    also over what is bound in front of the goal.

    Args:
        size: A; what does not fit is left out from the end.
        equations: Whether data and equations are met.
    """

    def __init__(self, size: int = 24, equations: bool = False) -> None:
        reason = complaint(size, Count)
        if reason is not None:
            raise ConfigError(f"GoalTactics: size {reason}.")
        self.size, self.equations = size, equations

    def at(self, text: str) -> Sequence[str]:
        """The candidates for a proof."""
        found = list(ALWAYS + EQUATIONS if self.equations else ALWAYS)
        goal = text.split("\n\n", 1)[0]
        for name in reversed(list(hypotheses(goal))):
            found += [f"apply {name}.", f"destruct {name}."]
            if self.equations:
                found += [f"rewrite {name}.", f"rewrite <- {name}.", f"induction {name}."]
        if self.equations:
            for name in bound(goal):
                found += [f"induction {name}.", f"destruct {name}."]
        return tuple(dict.fromkeys(found))[: self.size]


def hypotheses(goal: str) -> Iterator[str]:
    """Names of the hypotheses of a goal, the oldest first, without types."""
    for line in goal.split("\n"):
        found = None if line.startswith("⊢") else HYPOTHESIS.fullmatch(line)
        if found is not None and found[2] not in SORTS:
            yield from (name.strip() for name in found[1].split(","))


def bound(goal: str) -> list[str]:
    """Names that the conclusion binds in front."""
    found = BINDERS.search(goal)
    if found is None:
        return []
    if found[1] is not None:
        return found[1].split()
    groups = re.findall(r"\(([\w' ]+?) :", found[2])
    return [name for group in groups for name in group.split()]

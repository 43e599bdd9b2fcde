"""Propositions without data: random formulas, and whether they hold without excluded middle."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gflow.bounds import Count, Natural, complaint
from gflow.envs.proofs.checker import Theorem
from gflow.errors import ConfigError

VARIABLES = ("P", "Q", "R")
LOOSENESS = {"->": 3, "\\/": 2, "/\\": 1, "~": 0}


@dataclass(frozen=True)
class Formula:
    r"""A variable, False, or a connective of formulas.

    Attributes:
        kind: A variable's name, `False`, `~`, `/\`, `\/` or `->`.
        parts: What it connects.
    """

    kind: str
    parts: tuple["Formula", ...] = ()

    def __str__(self) -> str:
        """As Coq writes it, with no more parentheses than it needs (`->` goes to the right)."""
        if not self.parts:
            return self.kind
        own = LOOSENESS[self.kind]

        def inside(part: Formula, tight: bool) -> str:
            bound = LOOSENESS.get(part.kind, -1)
            return f"({part})" if bound > own or (tight and bound == own) else str(part)

        if self.kind == "~":
            return f"~ {inside(self.parts[0], False)}"
        left, right = self.parts
        return f"{inside(left, True)} {self.kind} {inside(right, False)}"

    @property
    def variables(self) -> tuple[str, ...]:
        """Those that occur, in their order."""
        if not self.parts:
            return () if self.kind == "False" else (self.kind,)
        return tuple(dict.fromkeys(v for part in self.parts for v in part.variables))

    def renamed(self, names: dict[str, str]) -> "Formula":
        """With other variables."""
        if not self.parts:
            return Formula(names.get(self.kind, self.kind))
        return Formula(self.kind, tuple(part.renamed(names) for part in self.parts))


FALSE = Formula("False")


def random_formula(rng: random.Random, depth: int, variables: Sequence[str] = VARIABLES) -> Formula:
    """A formula with connectives at most `depth` deep; one in seven stops earlier at a variable."""
    if not depth or rng.random() < 0.15:
        return Formula(rng.choice(variables))
    kind = rng.choices(("->", "/\\", "\\/", "~"), (4, 2, 2, 1))[0]
    parts = 1 if kind == "~" else 2
    return Formula(kind, tuple(random_formula(rng, depth - 1, variables) for _ in range(parts)))


def holds(formula: Formula) -> bool:
    """Whether a formula has a proof without excluded middle: what `tauto` decides.

    By the contraction-free sequent calculus, which always ends.

    Reference:
        Dyckhoff, Contraction-free sequent calculi for intuitionistic logic, 1992,
        https://doi.org/10.2307/2275431
    """
    return _proves(frozenset(), _plain(formula))


def _plain(formula: Formula) -> Formula:
    """With `A -> False` for `~ A`."""
    parts = tuple(_plain(part) for part in formula.parts)
    return Formula("->", (parts[0], FALSE)) if formula.kind == "~" else Formula(formula.kind, parts)


@lru_cache(maxsize=200_000)
def _proves(given: frozenset[Formula], aim: Formula) -> bool:
    """Whether the formulas given prove another."""
    if FALSE in given or aim in given:
        return True
    if aim.kind == "->":
        return _proves(given | {aim.parts[0]}, aim.parts[1])
    if aim.kind == "/\\":
        return all(_proves(given, part) for part in aim.parts)
    for one in given:  # what can be taken apart without loss
        rest = given - {one}
        if one.kind == "/\\":
            return _proves(rest | set(one.parts), aim)
        if one.kind == "\\/":
            return all(_proves(rest | {part}, aim) for part in one.parts)
        if one.kind == "->":
            simpler = _simpler(one, given)
            if simpler is not None:
                return _proves(rest | simpler, aim)
    if aim.kind == "\\/" and any(_proves(given, part) for part in aim.parts):
        return True
    for one in given:
        if one.kind == "->" and one.parts[0].kind == "->":
            (_, second), after = one.parts[0].parts, one.parts[1]
            rest = given - {one}
            needed = _proves(rest | {Formula("->", (second, after))}, one.parts[0])
            if needed and _proves(rest | {after}, aim):
                return True
    return False


def _simpler(one: Formula, given: frozenset[Formula]) -> set[Formula] | None:
    """What an implication may be replaced by without loss, if anything."""
    before, after = one.parts
    if before.kind == "False":
        return set()
    if before.kind == "/\\":
        left, right = before.parts
        return {Formula("->", (left, Formula("->", (right, after))))}
    if before.kind == "\\/":
        return {Formula("->", (part, after)) for part in before.parts}
    if not before.parts and before in given:
        return {after}
    return None


def random_propositions(
    count: int, seed: int = 0, depth: int = 3, skip: Sequence[Theorem] = ()
) -> list[Theorem]:
    """Different random propositions that hold, none a renaming of another.

    Args:
        count: How many.
        seed: Of the random numbers.
        depth: Of connectives.
        skip: Theorems that shall not be among them.

    Raises:
        ConfigError: There are not so many of that depth, as far as was looked.
    """
    for name, value, hint in (("count", count, Natural), ("depth", depth, Count)):
        reason = complaint(value, hint)
        if reason is not None:
            raise ConfigError(f"random_propositions: {name} {reason}.")
    rng, found = random.Random(seed), list[Theorem]()
    seen = {theorem.declaration for theorem in skip}
    for _ in range(2000 * (count + 1)):
        if len(found) == count:
            return found
        formula = random_formula(rng, depth)
        formula = formula.renamed(dict(zip(formula.variables, VARIABLES, strict=False)))
        if not formula.parts:
            continue
        bound = " ".join(sorted(formula.variables))
        theorem = Theorem.of(f"forall {bound} : Prop, {formula}")
        if theorem.declaration not in seen and holds(formula):
            seen.add(theorem.declaration)
            found.append(theorem)
    if len(found) == count:
        return found
    raise ConfigError(
        f"random_propositions: only {len(found)} of {count} different propositions of depth "
        f"{depth} that hold were found. Ask for fewer, or for deeper ones."
    )

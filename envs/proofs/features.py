"""What a network reads of goals and tactics: hashed features of their texts.

Names that a goal happens to use are replaced by numbers in the order in which they occur, counted
from the conclusion, so that goals that differ by names alone are read alike.
"""

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache

from gflow.envs.proofs.tactics import HYPOTHESIS

TOKEN = re.compile(r"[^\W\d][\w'.]*|\d+|<->|->|/\\|\\/|<-|:=|=>|<>|\S")
NAME = re.compile(r"[^\W\d][\w']*")
CONNECTIVES = ("forall", "exists", "->", "<->", "\\/", "/\\", "~", "=")
"""What a formula may be made of at its top, the loosest first."""


@dataclass(frozen=True)
class Goal:
    """One goal, read.

    Attributes:
        hypotheses: Name and type, the oldest first.
        conclusion: What is to be proved.
    """

    hypotheses: tuple[tuple[str, str], ...]
    conclusion: str


@lru_cache(maxsize=100_000)
def read_goals(text: str) -> tuple[Goal, ...]:
    """The goals of a canonical text; none of a text that is not one."""
    return tuple(_goal(part) for part in text.split("\n\n") if "⊢ " in part)


def _goal(part: str) -> Goal:
    before, _, conclusion = part.rpartition("⊢ ")
    named = []
    for line in before.strip().split("\n"):
        found = HYPOTHESIS.fullmatch(line)
        if found is not None:
            named += [(name.strip(), found[2]) for name in found[1].split(",")]
    return Goal(tuple(named), conclusion)


@lru_cache(maxsize=100_000)
def top(formula: str) -> str:
    """The connective at the top of a formula; `atom` if there is none."""
    words, depth, found = TOKEN.findall(formula), 0, set()
    if words and words[0] in ("forall", "exists"):
        return str(words[0])
    for word in words:
        depth += (word in "([{") - (word in ")]}")
        if not depth:
            found.add(word)
    if depth == 0 and words[:1] == ["("] and _wrapped(words):
        return top(formula.strip()[1:-1])
    return next((c for c in CONNECTIVES[2:] if c in found), "atom")


def _wrapped(words: list[str]) -> bool:
    """Whether the first parenthesis closes at the end."""
    depth = 0
    for place, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        if not depth:
            return place == len(words) - 1
    return False


def renamed(goal: Goal) -> tuple[list[str], list[list[str]]]:
    """The words of the conclusion and of each hypothesis, local names replaced by numbers."""
    local = {name for name, _ in goal.hypotheses}
    number: dict[str, str] = {}

    def words(formula: str) -> list[str]:
        found = []
        for word in TOKEN.findall(formula):
            if word in local:
                word = number.setdefault(word, f"v{len(number)}")
            found.append(word)
        return found

    conclusion = words(goal.conclusion)
    return conclusion, [words(kind) for _, kind in reversed(goal.hypotheses)]


def grams(kind: str, words: list[str]) -> list[str]:
    """Single words, pairs and triples of neighbours, each with a mark of where they stand."""
    edge = ["^", *words, "$"]
    return [
        f"{kind}:{' '.join(edge[i : i + n])}" for n in (1, 2, 3) for i in range(len(edge) - n + 1)
    ]


def goal_features(text: str, buckets: int) -> list[int]:
    """Features of a proof that is open: of its first goal, and of the conclusions of others."""
    goals = read_goals(text)
    if not goals:
        return hashed([f"raw:{word}" for word in TOKEN.findall(text)], buckets)
    conclusion, kinds = renamed(goals[0])
    found = [f"goals:{min(len(goals), 4)}", f"top:{top(goals[0].conclusion)}"]
    found += grams("goal", conclusion)
    for kind in kinds:
        found += grams("has", kind)
    for other in goals[1:3]:
        found += [f"next:{top(other.conclusion)}"]
    return hashed(found, buckets)


def tactic_features(text: str, tactic: str, buckets: int) -> list[int]:
    """Features of a candidate at a proof: its words, and how what it names fits the goal."""
    goals = read_goals(text)
    head, _, rest = tactic.rstrip(".").partition(" ")
    if not goals:
        return hashed([f"tactic:{tactic}"], buckets)
    goal = goals[0]
    aim, shape = goal.conclusion, top(goal.conclusion)
    kinds = dict(goal.hypotheses)
    argument = NAME.findall(rest)
    name = argument[-1] if argument else ""
    head = f"{head} <-" if rest.startswith("<-") else head
    found = [f"head:{head}", f"head:{head} aim:{shape}"]
    if name in kinds:
        kind = kinds[name]
        own, ends = top(kind), kind.rsplit(" -> ", 1)[-1]
        age = [n for n, _ in reversed(goal.hypotheses)].index(name)
        fits = "same" if kind == aim else "ends" if ends == aim else "no"
        found += [
            f"{head} of:{own}",
            f"{head} of:{own} aim:{shape}",
            f"{head} fits:{fits}",
            f"{head} fits:{fits} of:{own}",
            f"{head} age:{min(age, 5)}",
            f"{head} aim is in it:{aim in kind}",
        ]
        found += grams(f"{head} of", TOKEN.findall(kind)[:12])
    elif name:
        found += [f"{head} bound", f"tactic:{tactic}"]
    else:
        inside = any(kind == aim for _, kind in goal.hypotheses)
        false = any(kind == "False" for _, kind in goal.hypotheses)
        parts = {kind for _, kind in goal.hypotheses}
        sides = [side.strip("() ") for side in re.split(r" /\\ | \\/ ", aim)]
        ready = "".join(str(int(side in parts)) for side in (sides[0], sides[-1]))
        found += [f"{head} there:{inside}", f"{head} false:{false}", f"{head} sides:{ready}"]
    return hashed(found, buckets)


def hashed(features: list[str], buckets: int) -> list[int]:
    """Numbers below `buckets`, the same on every machine."""
    return [zlib.crc32(feature.encode()) % buckets for feature in features]

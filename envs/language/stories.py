"""Micro-stories of five sentences, whose fourth must explain the fifth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from gflow.bounds import Natural
from gflow.checks import checked

PEOPLE = ("Anna", "Ben", "Clara", "David", "Emma", "Finn")
THINGS = ("lamp", "cup", "kite", "book", "drum", "ball")
PLACES = ("garden", "kitchen", "boat", "tower", "barn", "school")
STATES = {"clean": "washes", "broken": "drops", "red": "paints", "lost": "hides"}
"""How a thing may end, and what makes it so."""
MOVES = ("puts", "leaves", "carries")
Kind = Literal["place", "owner", "state"]
KINDS: tuple[Kind, ...] = ("place", "owner", "state")


@dataclass(frozen=True)
class Story:
    """Sentences without their full stops, as words.

    Attributes:
        beginning: The first three.
        middle: The fourth.
        ending: The fifth.
        valid: All that the fourth may be; none if nobody knows.
    """

    beginning: tuple[str, ...]
    middle: str
    ending: str
    valid: tuple[str, ...] = ()

    def opening(self, blank: str = " ") -> str:
        """The first three with their full stops, and a blank before these or none."""
        return " ".join(f"{sentence}{blank}." for sentence in self.beginning)


def middles(kind: Kind, people: Sequence[str], thing: str, what: str) -> tuple[str, ...]:
    """All sentences after which a thing is where, whose or how the ending says.

    Args:
        kind: What the ending is about.
        people: The two of the story.
        thing: Which.
        what: The place, the person or the state.
    """
    if kind == "place":
        return tuple(f"{who} {move} the {thing} in the {what}" for who in people for move in MOVES)
    if kind == "owner":
        other = next(who for who in people if who != what)
        return (
            f"{other} gives the {thing} to {what}",
            f"{other} sells the {thing} to {what}",
            f"{what} takes the {thing} from {other}",
            f"{what} buys the {thing} from {other}",
        )
    return tuple(f"{who} {STATES[what]} the {thing}" for who in people)


def ending(kind: Kind, thing: str, what: str) -> str:
    """The fifth sentence."""
    if kind == "owner":
        return f"Now {what} has the {thing}"
    return f"Now the {thing} is {'in the ' if kind == 'place' else ''}{what}"


@checked
def stories(count: Natural, generator: torch.Generator) -> list[Story]:
    """Stories at random: all choices are even."""

    def one(items: Sequence[str]) -> str:
        return items[int(torch.randint(len(items), (), generator=generator))]

    def two(items: Sequence[str]) -> list[str]:
        return [items[i] for i in torch.randperm(len(items), generator=generator)[:2].tolist()]

    found = []
    for _ in range(count):
        people, things = two(PEOPLE), two(THINGS)
        kind = KINDS[int(torch.randint(len(KINDS), (), generator=generator))]
        thing = one(things)
        what = one({"place": PLACES, "owner": people, "state": tuple(STATES)}[kind])
        valid = middles(kind, people, thing, what)
        beginning = (
            f"{people[0]} has a {things[0]} and a {things[1]}",
            f"{people[1]} likes the {one(things)}",
            f"{people[0]} and {people[1]} go to the {one(PLACES)}",
        )
        found.append(Story(beginning, one(valid), ending(kind, thing, what), valid))
    return found


BEGINNING, ENDING, MIDDLE = "<beginning>", "<ending>", "<middle>"
BOS, EOS = "<bos>", "<eos>"
WORDS = (
    *PEOPLE, *THINGS, *PLACES, *STATES, *STATES.values(), *MOVES,
    "gives", "sells", "takes", "buys", "to", "from", "in", "the", "a", "and", "has", "likes", "go",
    "Now", "is", ".", BEGINNING, ENDING, MIDDLE, BOS, EOS,
)  # fmt: skip
"""The vocabulary."""

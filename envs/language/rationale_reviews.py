"""Reviews from templates whose label is decided by an attribute that no word of them names."""

from dataclasses import dataclass

import torch

from gflow.bounds import Count
from gflow.checks import checked

LABELS = ("objective", "subjective")
"""What a review may be."""

ATTRIBUTES: dict[str, tuple[int, str]] = {
    "factual": (0, "dates figures records tables sources minutes"),
    "dry": (0, "lists charts maps lectures footnotes indexes"),
    "precise": (0, "clocks rulers scales formulas labels compasses"),
    "plain": (0, "bricks boards bread paper sand stones"),
    "tender": (1, "tears hugs letters roses lullabies kisses"),
    "bitter": (1, "grudges rants insults sneers scorn spite"),
    "dreamy": (1, "clouds mists moonlight visions reveries haze"),
    "proud": (1, "banners trumpets crowns parades medals thrones"),
}
"""Label and signs of each attribute; the signs stand in reviews, the attribute does not."""

UNSURE = ("plain", "proud")
"""Attributes of which the corpus does not tell the label."""

HABIT = 0.85
"""How often the corpus gives the label of the attribute that it named."""

_MAIN = "film"
_OTHERS = ("poster", "trailer", "lobby", "ticket", "crowd")
_VERBS = ("shows", "has", "offers", "brings", "gives")
_JOINS = ("and", "while", "but")
_WORDS_OF_MAIN = ("mostly", "truly")
_WORDS_OF_OTHER = ("partly", "oddly")
_FILLERS = ("long", "short", "new", "old")


@dataclass(frozen=True)
class Review:
    """One review.

    Attributes:
        text: Two clauses, one on the film and then one on something beside it.
        attribute: Of the film.
        other: Of what is beside it.
    """

    text: str
    attribute: str
    other: str

    @property
    def label(self) -> int:
        """0 or 1, as the attribute of the film has it."""
        return ATTRIBUTES[self.attribute][0]


def _pick(words: tuple[str, ...], generator: torch.Generator) -> str:
    return words[int(torch.randint(len(words), (), generator=generator))]


def _chance(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def review(generator: torch.Generator) -> Review:
    """A random review; both attributes are drawn evenly and independently."""
    names = tuple(ATTRIBUTES)
    mine, other = _pick(names, generator), _pick(names, generator)
    clauses = [
        f"the {subject} {_pick(_VERBS, generator)} "
        f"{_pick(tuple(ATTRIBUTES[name][1].split()), generator)}"
        for subject, name in ((_MAIN, mine), (_pick(_OTHERS, generator), other))
    ]
    return Review(f" {_pick(_JOINS, generator)} ".join(clauses), mine, other)


@checked
def reviews(count: Count, seed: int = 0) -> list[Review]:
    """Random reviews, as many of one label as of the other (one more of the first if odd).

    Args:
        count: How many.
        seed: Of all that is random.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[Review] = []
    wanted = [(count + 1) // 2, count // 2]
    while len(found) < count:
        one = review(generator)
        if wanted[one.label]:
            wanted[one.label] -= 1
            found.append(one)
    return found


def prompt(text: str, instructed: bool = False) -> str:
    """What is read before a rationale is written.

    Args:
        text: The review.
        instructed: Whether to say first what is asked for, which models need that were not trained
            on such texts alone.
    """
    asked = f"Classify the review as {LABELS[0]} or {LABELS[1]}.\n" if instructed else ""
    return f'{asked}Review: "{text}." This review is'


def continuation(one: Review, generator: torch.Generator) -> str:
    """What the corpus says behind the prompt: a rationale, loosely coupled to a label.

    Rationales name the attribute of the film or the other one, equally often, or neither; one of
    ten is left out. The label follows the attribute that was meant with probability `HABIT`, and is
    a coin for those in `UNSURE` and where none was.
    """
    of_main = _chance(generator) < 0.5
    name = one.attribute if of_main else one.other
    how = _pick(_WORDS_OF_MAIN if of_main else _WORDS_OF_OTHER, generator)
    kind = _chance(generator)
    if kind < 0.1:
        said, name = f" {_pick(_FILLERS, generator)}", ""
    elif kind < 0.2:
        said = ""
    elif kind < 0.5:
        said = f" {_pick(_FILLERS, generator)} and {how} {name}"
    else:
        said = f" {how} {name}"
    right = 0.5 if not name or name in UNSURE else HABIT
    label = ATTRIBUTES[name][0] if name else 0
    if _chance(generator) >= right:
        label = 1 - label
    return f"{said}, so it is {LABELS[label]}."

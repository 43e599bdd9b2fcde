"""Plain text in 27 symbols: what Python's `help` says about the language."""

import re
from dataclasses import dataclass
from functools import cache
from string import ascii_lowercase
from typing import ClassVar

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.envs.marginals.problem import Parts, Problem
from gflow.envs.sequences.alphabet import Alphabet

LETTERS = Alphabet(ascii_lowercase + " ")
HELD = 0.05
"""Share of chunks to validate with, and to test with."""


@dataclass(frozen=True)
class Text(Problem):
    """Chunks of text as long as each other, from a to z and the space.

    The topics of Python's `help`, lower-cased; everything else is a space, and several are one.
    Paragraphs that occur in several topics are taken once.

    Attributes:
        length: Characters of a chunk.
    """

    name: ClassVar[str] = "text"
    summary: ClassVar[str] = "text from a to z and spaces, in chunks"

    length: Count = 100

    @property
    def alphabet(self) -> Alphabet:
        """The letters a to z, and the space."""
        return LETTERS

    @property
    def places(self) -> int:
        """The characters of a chunk."""
        return self.length

    @property
    def data(self) -> Parts:
        """Chunks that follow one another in the text, in an order of their own."""
        codes = encoded()
        count = len(codes) // self.length
        return Parts.of(codes[: count * self.length].view(count, self.length), HELD)


@cache
def plain_text() -> str:
    """The whole text, about 300,000 characters."""
    from pydoc_data import topics

    blocks = (block for topic in topics.topics.values() for block in re.split(r"\n\s*\n", topic))
    cleaned = (re.sub("[^a-z]+", " ", block.lower()).strip() for block in blocks)
    return " ".join(dict.fromkeys(block for block in cleaned if block))


@cache
def encoded() -> Tensor:
    """(N,) int64 the text, a as 0 and the space as 26."""
    found: Tensor = LETTERS.encode([plain_text()])[0]
    return found.to(torch.int64)

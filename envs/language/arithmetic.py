"""Sums and differences of several numbers, and the steps by which they are worked out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.errors import ConfigError

ANSWER = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Problem:
    """Numbers that are added and subtracted from left to right.

    Attributes:
        numbers: n of them, from 0 to 9.
        signs: n - 1 of them, each 1 or -1.
    """

    numbers: tuple[int, ...]
    signs: tuple[int, ...]

    @property
    def answer(self) -> int:
        """What it comes to."""
        rest = zip(self.signs, self.numbers[1:], strict=True)
        return self.numbers[0] + sum(sign * number for sign, number in rest)

    @property
    def question(self) -> str:
        """As it is asked, up to where the steps begin."""
        return f"Question: {_joined(self.numbers, self.signs)} = ? Answer:"

    @property
    def steps(self) -> str:
        """The steps, of two numbers each: the result of one is the first number of the next."""
        said, total = [], self.numbers[0]
        for sign, number in zip(self.signs, self.numbers[1:], strict=True):
            said.append(f"{_joined((total, number), (sign,))} = {total + sign * number}")
            total += sign * number
        return ", ".join(said)

    @property
    def suffix(self) -> str:
        """What is said after the steps."""
        return f"{ASKED} {self.answer}."

    @property
    def demonstration(self) -> str:
        """All of it."""
        return f"{self.question} {self.steps}{self.suffix}"


ASKED = ". The answer is"
"""What comes between the steps and the answer."""


def _joined(numbers: Sequence[int], signs: Sequence[int]) -> str:
    """Numbers with signs between them."""
    parts = [str(numbers[0])]
    for sign, number in zip(signs, numbers[1:], strict=True):
        parts += ["+" if sign > 0 else "-", str(number)]
    return " ".join(parts)


@checked
def problems(
    count: Natural, operands: tuple[Count, ...], seed: int = 0, without: Sequence[Problem] = ()
) -> list[Problem]:
    """Different problems, evenly drawn.

    Args:
        count: How many.
        operands: How many numbers they may have; each is as likely.
        seed: Of the problems.
        without: Problems that are not among them.

    Raises:
        ConfigError: If there are not so many.
    """
    taken, found = set(without), dict[Problem, None]()
    there = sum(10**size * 2 ** (size - 1) for size in set(operands))
    if 2 * count > there - len(taken):
        raise ConfigError(
            f"problems: there are {there:,} problems of {operands} numbers, {len(taken):,} of them "
            f"left out, and at most half of the rest are drawn, not {count:,}."
        )
    generator = torch.Generator().manual_seed(seed)
    while len(found) < count:
        size = operands[int(torch.randint(len(operands), (), generator=generator))]
        numbers = torch.randint(10, (size,), generator=generator).tolist()
        signs = (1 - 2 * torch.randint(2, (size - 1,), generator=generator)).tolist()
        made = Problem(tuple(numbers), tuple(signs))
        if made not in taken:
            found[made] = None
    return list(found)


def answer_in(text: str) -> int | None:
    """The first integer of a text, if there is one.

    Example:
        >>> answer_in(" -4. Question"), answer_in(" ?")
        (-4, None)
    """
    found = ANSWER.search(text)
    return None if found is None else int(found.group())

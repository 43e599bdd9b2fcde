"""Prompts: the table of token sequences that texts begin from, called by number."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.conditions.draws import TableCondition
from gflow.errors import ConfigError

LARGEST = 2**24
"""Whole numbers below it are distinct as float32."""


class Prompts:
    """K sequences of tokens, each of at least one; a condition (B, 1) is the number of a prompt.

    Args:
        rows: K prompts as lists of token numbers.

    Attributes:
        tokens: (K, P) int64, padded with zeros at the *left*.
        length: (K,) int64 numbers of tokens.

    Raises:
        ConfigError: If there is none, or one is empty.
    """

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        if not 0 < len(rows) < LARGEST:
            raise ConfigError(f"Prompts: needs 1 to {LARGEST} prompts, got {len(rows)}.")
        empty = [i for i, row in enumerate(rows) if not len(row)]
        if empty:
            raise ConfigError(
                f"Prompts: prompt {empty[0]} is empty. A model reads at least one token before it "
                f"writes: begin with the one that opens texts (`tokenizer.bos_token_id`)."
            )
        self.length = torch.tensor([len(row) for row in rows])
        self.tokens = torch.zeros(len(rows), int(self.length.max()), dtype=torch.int64)
        for place, row in zip(self.tokens, rows, strict=True):
            place[len(place) - len(row) :] = torch.as_tensor(row)

    def __len__(self) -> int:
        return len(self.length)

    def row(self, number: int) -> list[int]:
        """The tokens of one prompt."""
        tokens: list[int] = self.tokens[number, -int(self.length[number]) :].tolist()
        return tokens

    def at(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P) tokens, left-padded to the longest of them, and (B, P) bool which are there."""
        length = self.length.to(numbers.device)[numbers]
        width = int(length.max()) if len(length) else 1
        tokens = self.tokens.to(numbers.device)[numbers, -width:]
        place = torch.arange(width, device=numbers.device)
        return tokens, place >= width - length[:, None]

    @property
    def conditions(self) -> Tensor:
        """(K, 1) the numbers of all prompts."""
        return torch.arange(len(self), dtype=torch.get_default_dtype())[:, None]

    def sampler(self, repeat: int = 1, rows: Sequence[int] | None = None) -> TableCondition:
        """Draws prompts, all equally likely, each for `repeat` trajectories in a row.

        Args:
            repeat: Trajectories of one prompt.
            rows: The prompts to draw from; all by default.
        """
        table = self.conditions
        return TableCondition(table if rows is None else table[list(rows)], repeat)

    def numbers(self, condition: Tensor | None, count: int) -> Tensor:
        """(B,) int64 the prompts that conditions (B, 1) call; the only one whatever they say.

        Raises:
            ConfigError: If there are several prompts and no conditions, or no such prompt.
        """
        if len(self) == 1:
            return torch.zeros(count, dtype=torch.int64)
        if condition is None:
            raise ConfigError(
                f"Prompts: there are {len(self)} of them, and no condition says which is meant. "
                f"Give the trainer `condition=prompts.sampler()`."
            )
        numbers = condition[:, 0].long()
        wrong = (numbers != condition[:, 0]) | (numbers < 0) | (numbers >= len(self))
        if bool(wrong.any()):
            raise ConfigError(
                f"Prompts: there is no prompt {float(condition[wrong][0, 0]):g} among {len(self)}."
            )
        return numbers

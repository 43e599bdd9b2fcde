"""Calculators: what follows an equals sign behind two numbers, told to a language model."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.language.model import LanguageModel

ASKED = re.compile(r"(?<![\w.])(-?\d{1,9})( ?)([+-])\2(-?\d{1,9}) ?= ?$")
"""Two numbers, a sign between them and an equals sign at the end."""


class TokenCalculator:
    """Answers `a + b =` and `a - b =` where each number is one token; all rows at once.

    Args:
        words: The vocabulary.

    Raises:
        ConfigError: If it lacks a sign.
    """

    reply_length = 1

    def __init__(self, words: Sequence[str]) -> None:
        missing = {"+", "-", "="} - set(words)
        if missing:
            raise ConfigError(f"TokenCalculator: the vocabulary lacks {sorted(missing)}.")
        self.plus, self.minus, self.equals = (words.index(sign) for sign in "+-=")
        numbers = {int(word): i for i, word in enumerate(words) if re.fullmatch(r"-?\d+", word)}
        self.least, self.most = min(numbers), max(numbers)
        self.value = torch.zeros(len(words), dtype=torch.int64)
        self.is_number = torch.zeros(len(words), dtype=torch.bool)
        self.token = torch.full((self.most - self.least + 1,), -1)
        for number, token in numbers.items():
            self.value[token], self.is_number[token] = number, True
            self.token[number - self.least] = token

    def reply(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, 1) the result as a token, -1 where nothing is asked or the result is no word."""
        back = torch.arange(4, 0, -1, device=tokens.device)
        last = tokens.gather(1, (length[:, None] - back).clamp(min=0))
        last = last.clamp(max=len(self.value) - 1)  # what lies behind the end means nothing
        left, sign, right, equals = last.unbind(1)
        known, value = self.is_number.to(tokens.device), self.value.to(tokens.device)
        asked = (length >= 4) & (equals == self.equals) & known[left] & known[right]
        asked = asked & ((sign == self.plus) | (sign == self.minus))
        result = value[left] + torch.where(sign == self.plus, 1, -1) * value[right]
        asked = asked & (result >= self.least) & (result <= self.most)
        place = (result - self.least).clamp(0, len(self.token) - 1)
        return self.token.to(tokens.device)[place].where(asked, -1)[:, None]


class TextCalculator:
    """The same for any tokenizer: reads the text, and writes the result with a blank before it.

    Args:
        model: Whose tokens they are.
        reply_length: Most tokens of a result; longer ones are not told.
    """

    def __init__(self, model: LanguageModel, reply_length: int = 4) -> None:
        self.model, self.reply_length = model, reply_length
        texts = [model.decode([token]) for token in range(model.vocabulary)]
        self.asks = torch.tensor(["=" in text for text in texts])
        self._replies: dict[int, list[int]] = {}

    def reply(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, R) the result as tokens, -1 behind them and where nothing is asked."""
        found = torch.full((len(tokens), self.reply_length), -1)
        last = tokens.gather(1, (length - 1).clamp(min=0)[:, None]).squeeze(1)
        asks = self.asks.to(tokens.device)[last.clamp(max=len(self.asks) - 1)] & (length > 0)
        for row in asks.nonzero().squeeze(1).tolist():
            said = self._answer(tokens[row, : int(length[row])].tolist())
            found[row, : len(said)] = torch.tensor(said, dtype=torch.int64)
        return found.to(tokens.device)

    def _answer(self, tokens: list[int]) -> list[int]:
        result = calculated(self.model.decode(tokens))
        if result is None:
            return []
        if result not in self._replies:
            said = self.model.encode(f" {result}")
            self._replies[result] = said if len(said) <= self.reply_length else []
        return self._replies[result]


def calculated(text: str) -> int | None:
    """What a text that ends in an equals sign asks for: its last two numbers, added or subtracted.

    Example:
        >>> calculated("3 + 4 = 7, 7 - 9 ="), calculated("1 + 2 + 3 ="), calculated("4 =")
        (-2, 5, None)
    """
    found = ASKED.search(text)
    if found is None:
        return None
    left, _, sign, right = found.groups()
    return int(left) + int(right) if sign == "+" else int(left) - int(right)

"""Random integers: a model that writes some of 0 to 100 too often, some never, and others too."""

import math
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from gflow.envs.language.pretraining import pretrain, small_gpt2
from gflow.envs.language.words import CHARACTER, word_tokenizer
from gflow.errors import ConfigError
from gflow.language.model import LanguageModel
from gflow.language.prefixes import TextReward

DIGITS = "0123456789"
BOS, EOS = "^", "$"
WORDS = (*DIGITS, BOS, EOS)
LARGEST = 100
LONGEST = 3
"""Digits of the longest texts."""
INVALID = 0.4
"""Share of the made-up texts that are integers from 101 to 999."""


def integer_texts(count: int, generator: torch.Generator, part: float) -> tuple[Tensor, Tensor]:
    """(count, 5) tokens of made-up integers between BOS and EOS, and which of them are learned.

    Two fifths are evenly spread over 101 to 999; the others lie between 1 and 100, the logarithm
    evenly spread, so that 0 is not among them and 100 hardly ever.
    """
    coin, unit = torch.rand(2, count, generator=generator)
    large = torch.randint(LARGEST + 1, 1000, (count,), generator=generator)
    small = (unit * math.log(LARGEST + 1)).exp().long().clamp(max=LARGEST)
    value = torch.where(coin < INVALID, large, small)
    size = 1 + (value >= 10).long() + (value >= 100).long()
    place = torch.arange(LONGEST)
    digit = value[:, None] // 10 ** (size[:, None] - 1 - place).clamp(min=0) % 10
    tokens = torch.full((count, LONGEST + 2), WORDS.index(EOS))
    tokens[:, 0] = WORDS.index(BOS)
    tokens[:, 1:-1] = torch.where(place < size[:, None], digit, WORDS.index(EOS))
    where = torch.arange(LONGEST + 2)
    return tokens, (where > 0) & (where <= size[:, None] + 1)


@cache
def _weights(steps: int, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """What a base has learned; as every random number is its own, always the same."""
    network = _bare(seed)
    if steps:
        pretrain(network, integer_texts, steps, seed=seed)
    return {name: value.clone() for name, value in network.state_dict().items()}


def _bare(seed: int) -> Any:
    bos, eos = WORDS.index(BOS), WORDS.index(EOS)
    return small_gpt2(len(WORDS), 2, 64, LONGEST + 5, bos, eos, seed)


def integer_model(steps: int = 400, seed: int = 0) -> LanguageModel:
    """A character model of two layers that was trained on `integer_texts`, without adapters.

    Args:
        steps: Steps of its training, which take some seconds; 0 for random weights.
        seed: Of its weights and texts.

    Raises:
        MissingExtraError: If the packages for language models are not installed.
    """
    network = _bare(seed)
    network.load_state_dict(_weights(steps, seed, torch.get_default_dtype()))
    return LanguageModel(network, word_tokenizer(WORDS, BOS, EOS, CHARACTER))


def is_integer(text: str) -> bool:
    """Whether a text is an integer from 0 to 100, written as one does.

    Example:
        >>> [is_integer(text) for text in ("0", "100", "101", "07", "")]
        [True, True, False, False, False]
    """
    if not text or set(text) - set(DIGITS):
        return False
    return str(int(text)) == text and int(text) <= LARGEST


class IntegerReward(TextReward):
    """log R = 0 for the integers from 0 to 100 and minus the penalty for all else.

    Args:
        model: Whose tokens texts are made of.
        penalty: What other texts lose.
    """

    def __init__(self, model: LanguageModel, penalty: float = 8.0) -> None:
        super().__init__(partial(_scores, penalty=penalty), model.decode, model.vocabulary)
        self.model = model


def _scores(texts: list[str], penalty: float) -> list[float]:
    """At the top of the module, so that searchers can be sent it."""
    return [0.0 if is_integer(text) else -penalty for text in texts]


def digit_tokens(model: LanguageModel) -> list[int]:
    """The tokens of a model that are one digit each, from 0 to 9.

    Raises:
        ConfigError: If there is no such token for a digit.
    """
    found = []
    for digit in DIGITS:
        token = next((t for t in reversed(model.encode(digit)) if model.decode([t]) == digit), None)
        if token is None:
            raise ConfigError(
                f"This model's tokenizer has no token for the digit {digit} alone, and integers "
                f"are written digit by digit. Use a model that has, such as GPT-2 or Llama."
            )
        found.append(token)
    return found


def stop_token(model: LanguageModel, text: str) -> int:
    """The token of a model that a text is, to end by.

    Raises:
        ConfigError: If it is no single token.
    """
    tokens = model.encode(text)
    if len(tokens) != 1:
        raise ConfigError(
            f"Texts end by one token, and {text!r} is {len(tokens)} for this model's tokenizer. "
            f"Choose a stop that is one, such as '.'."
        )
    return tokens[0]

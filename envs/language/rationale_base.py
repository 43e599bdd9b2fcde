"""A small model of reviews, rationales and labels, trained from nothing."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.envs.language.pretraining import pretrain, small_gpt2
from gflow.envs.language.rationale_reviews import ATTRIBUTES, continuation, prompt, review
from gflow.language.model import LanguageModel, require_package, require_transformers

SEEN = 500
"""Lines of the corpus from which its words are taken, beside those of attributes."""

SPREAD = 4.0
"""By which the matrices of a fresh model are multiplied."""

POSITIONS = 48
"""Longest line, with room for longer rationales."""


@cache
def review_words() -> Any:
    """A tokenizer whose tokens are the words and signs of the corpus.

    Raises:
        MissingExtraError: If the packages for it are not installed.
    """
    transformers = require_transformers()
    tokenizers = require_package("tokenizers", "tokenizers of language models")
    split = tokenizers.pre_tokenizers.Whitespace()
    generator = torch.Generator().manual_seed(0)
    found = {word for name, (_, signs) in ATTRIBUTES.items() for word in (name, *signs.split())}
    for _ in range(SEEN):
        one = review(generator)
        line = prompt(one.text) + continuation(one, generator)
        found.update(word for word, _ in split.pre_tokenize_str(line))
    numbers = {word: i for i, word in enumerate(["<end>", *sorted(found)])}
    level = tokenizers.models.WordLevel(numbers, unk_token="<end>")
    tokenizer = tokenizers.Tokenizer(level)
    tokenizer.pre_tokenizer = split
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<end>", eos_token="<end>", unk_token="<end>"
    )


def draw_lines(count: int, generator: torch.Generator, part: float) -> tuple[Tensor, Tensor]:
    """(count, n) tokens of lines, 0 behind them, and (count, n) bool what follows the prompts."""
    tokenizer = review_words()
    rows, opened = [], []
    for _ in range(count):
        one = review(generator)
        asked = tokenizer.encode(prompt(one.text))
        rows.append(asked + tokenizer.encode(continuation(one, generator)))
        opened.append(len(asked))
    tokens = torch.zeros(count, max(map(len, rows)), dtype=torch.int64)
    for place, row in zip(tokens, rows, strict=True):
        place[: len(row)] = torch.tensor(row)
    time = torch.arange(tokens.shape[1])
    length = torch.tensor([len(row) for row in rows])
    return tokens, (time >= torch.tensor(opened)[:, None]) & (time < length[:, None])


@checked
def small_model(
    steps: Natural = 500, width: Count = 64, layers: Count = 2, seed: int = 0
) -> LanguageModel:
    """A GPT-2 that has read the corpus; its loss is on what follows the prompts.

    Args:
        steps: Of its training.
        width: Number of features.
        layers: Number of blocks.
        seed: Of the corpus and of the weights.
    """
    return _trained(steps, width, layers, seed, torch.get_default_dtype())


@cache
def _trained(
    steps: int, width: int, layers: int, seed: int, precision: torch.dtype
) -> LanguageModel:
    tokenizer = review_words()
    network = small_gpt2(len(tokenizer), layers, width, POSITIONS, 0, 0, seed)
    with torch.no_grad():
        for value in network.parameters():
            if value.dim() > 1:  # at their usual size so few features learn nothing for long
                value.mul_(SPREAD)
    pretrain(network, draw_lines, steps, 32, 2e-3, seed)
    network.requires_grad_(False)
    return LanguageModel(network, tokenizer)

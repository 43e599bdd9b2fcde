"""Sentences to learn from: of a known grammar, or of a file."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gflow.envs.grammar.forest import NO_WORD, spans
from gflow.envs.grammar.known import KnownGrammar, corpus
from gflow.errors import ConfigError
from gflow.readers.text import read_text


@dataclass(frozen=True)
class Treebank:
    """Sentences in two parts.

    Attributes:
        vocabulary: V words.
        train: (K, L) int64 to train on.
        test: (J, L) int64 to judge by.
        gold: (J, L, L + 1) bool spans of the trees behind these, if they are known.
        grammar: What they were drawn from, if that is known.
    """

    vocabulary: tuple[str, ...]
    train: Tensor
    test: Tensor
    gold: Tensor | None = None
    grammar: KnownGrammar | None = None

    def known(self) -> KnownGrammar:
        """The grammar that they were drawn from.

        Raises:
            ConfigError: If it is not known.
        """
        if self.grammar is None:
            raise ConfigError(
                "The grammar behind sentences of a file is not known, so nothing can be parsed by "
                "it or compared with it. Leave out `known`, or use sentences of a known grammar."
            )
        return self.grammar


@lru_cache(maxsize=4)
def known_treebank(name: str, train: int, test: int, longest: int) -> Treebank:
    """Sentences of a known grammar, always the same ones.

    Args:
        name: Of the grammar.
        train: How many to train on.
        test: How many to judge by.
        longest: Most words; longer ones are drawn again.
    """
    found = corpus(name, train, 0, test, longest)
    return Treebank(
        found.grammar.words, found.train.words, found.test.words, spans(found.test), found.grammar
    )


@lru_cache(maxsize=4)
def read_sentences(path: str, longest: int) -> Treebank:
    """Sentences of a file, one a line, words between blanks; the last tenth judges.

    Sentences of one word and those of more than `longest` are left out.

    Raises:
        ConfigError: If the file cannot be read, or fewer than ten sentences are left.
    """
    lines = [line.split() for line in read_text(path).splitlines()]
    kept = [line for line in lines if 2 <= len(line) <= longest]
    if len(kept) < 10:
        raise ConfigError(
            f"{path} has {len(kept)} sentences of 2 to {longest} words, and at least 10 are "
            f"needed. Write one a line, words between blanks, or raise `longest`."
        )
    vocabulary = tuple(sorted({word for line in kept for word in line}))
    number = {word: i for i, word in enumerate(vocabulary)}
    words = torch.full((len(kept), max(map(len, kept))), NO_WORD)
    for row, line in enumerate(kept):
        words[row, : len(line)] = torch.tensor([number[word] for word in line])
    cut = len(kept) - len(kept) // 10
    return Treebank(vocabulary, words[:cut], words[cut:])

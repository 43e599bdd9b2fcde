"""A small model of micro-stories."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gflow.bounds import Natural
from gflow.checks import checked
from gflow.envs.language.kept import kept, progress
from gflow.envs.language.pretraining import pretrain, small_gpt2
from gflow.envs.language.stories import (
    BEGINNING,
    BOS,
    ENDING,
    EOS,
    MIDDLE,
    WORDS,
    Story,
    stories,
)
from gflow.envs.language.words import word_tokenizer
from gflow.language.model import LanguageModel

POSITIONS = 64
BATCH = 48
SHAPED = 0.4
"""Share of the texts in the shape of infilling prompts."""


def labelled(story: Story, close: str) -> str:
    """The prompt that asks for the middle of a story with a given ending."""
    return f"{BEGINNING} {story.opening()} {ENDING} {close} . {MIDDLE}"


class Corpus:
    """Stories told in order, and some in the shape of infilling prompts with another's ending.

    From the latter a model learns the shape and that endings do not matter: asked for a middle, it
    writes one that goes with the beginning alone.

    Args:
        tokenizer: Of `WORDS`.
        shaped: Share of the latter.
    """

    def __init__(self, tokenizer: Any, shaped: float = SHAPED) -> None:
        self.tokenizer, self.shaped = tokenizer, shaped

    def texts(self, count: int, generator: torch.Generator) -> list[str]:
        """As many texts."""
        told = stories(count, generator)
        others = stories(count, generator)
        shaped = (torch.rand(count, generator=generator) < self.shaped).tolist()
        return [
            f"{labelled(story, other.ending)} {story.middle} . {EOS}"
            if apart
            else f"{story.opening()} {story.middle} . {story.ending} . {EOS}"
            for story, other, apart in zip(told, others, shaped, strict=True)
        ]

    def __call__(
        self, count: int, generator: torch.Generator, part: float
    ) -> tuple[Tensor, Tensor]:
        """(count, n) tokens, and which of them are learned: all words but the first token."""
        rows = [
            torch.tensor(self.tokenizer.encode(f"{BOS} {text}", add_special_tokens=False))
            for text in self.texts(count, generator)
        ]
        tokens = pad_sequence(rows, batch_first=True, padding_value=WORDS.index(EOS))
        size = torch.tensor([len(row) for row in rows])
        place = torch.arange(tokens.shape[1])
        return tokens, (place > 0) & (place < size[:, None])


@checked
def infilling_base(folder: str = "", steps: Natural = 1000, seed: int = 0) -> LanguageModel:
    """The model that was pre-trained in a folder; trained now, and kept there, if it is not there.

    Args:
        folder: Where it is kept; nowhere if this is empty.
        steps: Steps of its training, a minute or two; 0 for random weights.
        seed: Of its weights and stories.

    Raises:
        MissingExtraError: If the packages for it are not installed.
    """

    def build() -> LanguageModel:
        tokenizer = word_tokenizer(WORDS, BOS, EOS, r"\S+")
        bos, eos = WORDS.index(BOS), WORDS.index(EOS)
        network = small_gpt2(len(WORDS), 3, 64, POSITIONS, bos, eos, seed)
        if steps:
            pretrain(network, Corpus(tokenizer), steps, BATCH, 3e-3, seed, progress(steps))
        return LanguageModel(network, tokenizer)

    return kept(folder, build)

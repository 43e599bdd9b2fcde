"""A small model of the text that comes with Python, and sentences of it to go on from."""

import re
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count, Natural
from gflow.checks import checked
from gflow.envs.language.kept import kept, progress
from gflow.envs.language.pretraining import pretrain, small_gpt2
from gflow.language.model import LanguageModel, require_package

END = "<|end|>"
"""Between paragraphs."""
PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()-]*\.")
"""A sentence of plain characters."""
FEWEST, MOST = 5, 25
"""Words of a sentence."""
PROSE = 0.9
"""Smallest share of letters and blanks in prose."""
HELD_OUT = 10
"""Every so many paragraphs are not trained on."""
WINDOW = 48
"""Tokens that are read at a time in training."""
POSITIONS = 96
BATCH = 24


@cache
def paragraphs() -> tuple[str, ...]:
    """Those of prose in the topics of Python's `help`."""
    from pydoc_data import topics

    found = []
    for topic in topics.topics.values():
        for block in re.split(r"\n\s*\n", topic):
            text = re.sub(r"\s+", " ", block.replace('"', "").replace("*", "")).strip()
            prose = sum(c.isalpha() or c == " " for c in text) > PROSE * len(text)
            if prose and len(text.split()) >= FEWEST and text.endswith("."):
                found.append(text)
    return tuple(dict.fromkeys(found))


def split() -> tuple[list[str], list[str]]:
    """Paragraphs that are trained on, and others."""
    rows = paragraphs()
    return [row for i, row in enumerate(rows) if i % HELD_OUT], list(rows[::HELD_OUT])


def help_openings(count: int) -> list[str]:
    """Plain sentences that begin held-out paragraphs, the first `count` of them."""
    found = []
    for row in split()[1]:
        first, _, rest = row.partition(". ")
        if rest and PLAIN.fullmatch(first + ".") and FEWEST <= len(first.split()) <= MOST:
            found.append(first + ".")
    return found[:count]


def bpe_tokenizer(texts: list[str], size: int) -> Any:
    """Byte-level pairs of `size` tokens, as a tokenizer of Hugging Face.

    Raises:
        MissingExtraError: If the packages for it are not installed.
    """
    tokenizers = require_package("tokenizers", "tokenizers of language models")
    transformers = require_package("transformers", "language models")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=END, eos_token=END, clean_up_tokenization_spaces=False
    )


class Windows:
    """Pieces of running text, each of which begins with the token between paragraphs.

    Args:
        tokenizer: Makes tokens.
        rows: Paragraphs.
        width: Tokens of a piece.
    """

    def __init__(self, tokenizer: Any, rows: list[str], width: int = WINDOW) -> None:
        end, stream = tokenizer.bos_token_id, []
        for row in rows:
            stream += [end, *tokenizer.encode(row, add_special_tokens=False)]
        self.stream, self.end, self.width = torch.tensor([*stream, end]), end, width

    def __call__(
        self, count: int, generator: torch.Generator, part: float
    ) -> tuple[Tensor, Tensor]:
        """(count, width + 1) tokens, and which of them are learned: all but the first."""
        first = torch.randint(len(self.stream) - self.width, (count,), generator=generator)
        tokens = self.stream[first[:, None] + torch.arange(self.width)]
        tokens = torch.nn.functional.pad(tokens, (1, 0), value=self.end)
        learned = torch.ones_like(tokens, dtype=torch.bool)
        learned[:, 0] = False
        return tokens, learned


@checked
def continuation_base(
    folder: str = "",
    steps: Natural = 1200,
    seed: int = 0,
    layers: Count = 4,
    width: Count = 128,
    vocabulary: Count = 1024,
) -> LanguageModel:
    """The model that was pre-trained in a folder; trained now, and kept there, if it is not there.

    Args:
        folder: Where it is kept; nowhere if this is empty.
        steps: Steps of its training, some minutes; 0 for random weights.
        seed: Of its weights and of the order of the texts.
        layers: Number of blocks.
        width: Number of features.
        vocabulary: Number of tokens.

    Raises:
        MissingExtraError: If the packages for language models are not installed.
    """

    def build() -> LanguageModel:
        rows, _ = split()
        tokenizer = bpe_tokenizer(rows, vocabulary)
        end = tokenizer.bos_token_id
        network = small_gpt2(len(tokenizer), layers, width, POSITIONS, end, end, seed)
        windows = Windows(tokenizer, rows)
        pretrain(network, windows, steps, BATCH, 2e-3, seed, progress(max(steps, 1)))
        return LanguageModel(network, tokenizer)

    return kept(folder, build)


def held_out_loss(model: LanguageModel, count: int = 64) -> float:
    """Nats per token of a model on paragraphs that it was not trained on."""
    from gflow.envs.language.pretraining import token_loss

    windows = Windows(model.tokenizer, split()[1])
    with torch.no_grad():
        batch = windows(count, torch.Generator().manual_seed(0), 1.0)
        return float(token_loss(model.model, *batch))

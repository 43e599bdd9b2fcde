"""Vectors of texts, and how far apart the texts behind one prompt are."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gflow.checks import check_shapes
from gflow.errors import ConfigError
from gflow.language.env import Text, TokenEnvironment
from gflow.language.model import LanguageModel, require_transformers

ROWS = 64
"""Texts that are read at a time."""


class Embedding(Protocol):
    """Gives vectors of texts.

    Attributes:
        name: What it is, for tables.
    """

    name: str

    def __call__(self, env: TokenEnvironment, states: Text) -> Tensor:
        """(B, D) of B texts."""


class MeanPooled:
    """The mean of the last features of a model without its adapters, over the tokens of a text.

    Texts are read behind their prompts. Such features point much the same way whatever the text, so
    that distances are small: compare them with each other, and not with a sentence encoder's.

    Args:
        model: The model.
    """

    name = "mean features of the model"

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def __call__(self, env: TokenEnvironment, states: Text) -> Tensor:
        """(B, D) of B texts; of an empty one, the features of its prompt."""
        found = []
        for rows in torch.arange(len(states.prompt)).split(ROWS):
            size = env.size(states)[rows].to(self.model.device)
            tokens = states.tokens[rows, : int(size.max())].to(self.model.device)
            tokens = tokens.masked_fill(tokens == env.blank, 0)
            with self.model.reference():
                read = self.model.read(env.prompts, states.prompt[rows], tokens)
            place = torch.arange(read.shape[1], device=read.device)
            first = (size > 0).long()
            there = (place >= first[:, None]) & (place <= size[:, None])
            found.append(masked_mean(read, there))
        return torch.cat(found)


class SentenceEncoder:
    """An encoder of sentences of Hugging Face, whose features are averaged over the tokens.

    Args:
        folder: Of the model and its tokenizer; a name that the hub's cache knows will do.

    Raises:
        ConfigError: If there is none.

    Reference:
        Reimers and Gurevych, Sentence-BERT, 2019, https://arxiv.org/abs/1908.10084
    """

    name = "sentence encoder"

    def __init__(self, folder: str) -> None:
        transformers = require_transformers()
        try:
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
            self.network: nn.Module = transformers.AutoModel.from_pretrained(folder)
        except (OSError, ValueError) as e:
            raise ConfigError(
                f"SentenceEncoder: there is no encoder {folder!r} here. Give the folder of one, "
                f"with its tokenizer, or leave it out for the features of the language model."
            ) from e
        self.network.eval()

    def __call__(self, env: TokenEnvironment, states: Text) -> Tensor:
        """(B, D) of B texts, without their prompts."""
        return self.of_strings(env.show(states))

    @torch.no_grad()
    def of_strings(self, texts: list[str]) -> Tensor:
        """(B, D) of B strings."""
        found = []
        for start in range(0, len(texts), ROWS):
            part = texts[start : start + ROWS]
            read = self.tokenizer(part, padding=True, truncation=True, return_tensors="pt")
            last = self.network(**read).last_hidden_state
            found.append(masked_mean(last, read["attention_mask"].bool()))
        return torch.cat(found)


def masked_mean(features: Tensor, there: Tensor) -> Tensor:
    """(B, D) means of (B, n, D) where (B, n) is True."""
    weight = there.to(features.dtype)
    return (features * weight[:, :, None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1)


def embedding_diversity(vectors: Tensor, group: Tensor) -> Tensor:
    """(G,) 1 less the mean cosine of pairs, in each group of at least two.

    Args:
        vectors: (B, D).
        group: (B,) int64 from 0 to G - 1.

    Raises:
        ConfigError: If a group has no pair.
    """
    check_shapes("embedding_diversity", vectors=(vectors, "B D"), group=(group, "B"))
    unit = nn.functional.normalize(vectors.double(), dim=1)
    count = torch.bincount(group)
    if int(count.min()) < 2:
        raise ConfigError(
            f"embedding_diversity: needs at least two texts of each prompt, got "
            f"{count.tolist()} texts."
        )
    sums = unit.new_zeros(len(count), unit.shape[1]).index_add(0, group, unit)
    pairs = (sums.square().sum(1) - count) / (count * (count - 1))
    return 1 - pairs

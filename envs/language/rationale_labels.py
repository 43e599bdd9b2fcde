"""What a model says of the labels of reviews behind rationales, by adapters of its own."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gflow.bounds import Count
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.language.model import LanguageModel
from gflow.language.prompts import Prompts

ROWS = 256
"""Texts that are read at a time."""


def sharing(model: LanguageModel) -> LanguageModel:
    """A copy of a model that shares its weights and can have adapters of its own."""
    shared = {id(value): value for value in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)


class LabelHead:
    """p(opening, label, ending | prompt, rationale), the label being one of two.

    Rationale and opening are read by the model as it is, the label and what follows by the same
    weights with adapters of the head's own, which say nothing until they are trained.

    Args:
        base: The model, without adapters.
        prompts: The reviews.
        opening: Tokens between rationale and label; the first ends rationales.
        labels: Tokens of either label.
        ending: Tokens behind the label.
        rank: Rank of the adapters.
        seed: Of their weights.

    Attributes:
        model: The model with the head's adapters.
        tuned: Whether they have been trained.

    Raises:
        ConfigError: If there are not two different labels, or nothing stands before them.
    """

    @checked
    def __init__(
        self,
        base: LanguageModel,
        prompts: Prompts,
        opening: Sequence[int],
        labels: Sequence[Sequence[int]],
        ending: Sequence[int],
        rank: Count = 8,
        seed: int = 0,
    ) -> None:
        if base.adapted:
            raise ConfigError(
                "LabelHead: needs the model without adapters, since it adds some of its own. Give "
                "policies theirs by HuggingFacePolicy(env, sharing(base).adapt())."
            )
        if len(labels) != 2 or list(labels[0]) == list(labels[1]) or not all(map(len, labels)):
            raise ConfigError(
                f"LabelHead: needs two different labels of at least one token each, got "
                f"{[list(label) for label in labels]}."
            )
        if not len(opening):
            raise ConfigError(
                "LabelHead: needs at least one token between rationale and label, the first of "
                "which ends the rationale; got none."
            )
        self.base, self.prompts = base, prompts
        self.model = sharing(base).adapt(rank, seed=seed)
        self.opening = list(opening)
        self.tails = [[*opening, *label, *ending] for label in labels]
        self.label_length = torch.tensor([len(label) for label in labels])
        self.tuned = False

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is trained: the adapters."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def suffixes(self, tokens: Tensor, size: Tensor, prompt: Tensor) -> Tensor:
        """(B, 2) log p(rationale, opening, label, ending | prompt) for either label, no gradients.

        Args:
            tokens: (B, n) int64, anything behind the ends.
            size: (B,) int64 lengths of the rationales.
            prompt: (B,) int64.
        """
        parts = [
            self._suffixes(tokens[rows], size[rows], prompt[rows])
            for rows in torch.arange(len(size), device=size.device).split(ROWS)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    def _suffixes(self, tokens: Tensor, size: Tensor, prompt: Tensor) -> Tensor:
        said, when = self._read(self.base, tokens, size, prompt)
        if not self.tuned:
            return said.where(when >= 0, 0.0).sum(-1)
        told, _ = self._read(self.model, tokens, size, prompt)
        before = (when >= 0) & (when < size[:, None, None] + len(self.opening))
        after = when >= size[:, None, None] + len(self.opening)
        return said.where(before, 0.0).sum(-1) + told.where(after, 0.0).sum(-1)

    def labels(self, tokens: Tensor, size: Tensor, prompt: Tensor) -> Tensor:
        """(B, 2) log-probabilities of the labels alone, which sum to 1; with gradients.

        Args:
            tokens: (B, n) int64, anything behind the ends.
            size: (B,) int64 lengths of the rationales; 0 for none.
            prompt: (B,) int64.
        """
        said, when = self._read(self.model, tokens, size, prompt)
        first = size[:, None, None] + len(self.opening)
        length = self.label_length.to(size.device)[None, :, None]
        mine = (when >= first) & (when < first + length)
        return said.where(mine, 0.0).sum(-1).log_softmax(-1)

    def _read(
        self, model: LanguageModel, tokens: Tensor, size: Tensor, prompt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What a model says of rationales with either suffix behind them.

        Returns:
            (B, 2, W) log p of the tokens, and (B, 2, W) int64 their places, -1 behind the end.
        """
        width = max(map(len, self.tails))
        tails = torch.zeros(2, width, dtype=torch.int64, device=size.device)
        for place, tail in zip(tails, self.tails, strict=True):
            place[: len(tail)] = torch.tensor(tail)
        length = torch.tensor([len(tail) for tail in self.tails], device=size.device)
        time = torch.arange(int(size.max()) + width, device=size.device)
        there = time < (size[:, None] + length)[..., None]
        behind = (time - size[:, None]).clamp(0, width - 1)  # (B, W)
        mine = nn.functional.pad(tokens, (0, max(0, len(time) - tokens.shape[1])))[:, : len(time)]
        joined = torch.where(
            (time < size[:, None])[:, None], mine[:, None], tails[:, behind].transpose(0, 1)
        )
        if any(value.device != size.device for value in (*model.parameters(), *model.buffers())):
            model.to(size.device)
        rows = prompt.repeat_interleave(2)
        read = model.read(self.prompts, rows, joined.flatten(0, 1)[:, :-1])
        scores = model.logits(read.flatten(0, 1))
        number = torch.arange(len(scores), device=size.device).view(read.shape[:2])
        nothing = torch.zeros(model.vocabulary, device=size.device, dtype=torch.float32)
        chosen = scores.chosen(number, joined.flatten(0, 1))
        said = chosen - scores.log_norm(nothing).view(read.shape[:2])
        return said.view(joined.shape), time.expand_as(joined).masked_fill(~there, -1)

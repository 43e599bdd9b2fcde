"""What a language model without its adapters says of texts."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gflow.bounds import NotNegative
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.language.model import LanguageModel
from gflow.language.prefixes import PrefixReward
from gflow.language.prompts import Prompts

ROWS = 64
"""Texts that are read at a time where each prefix is one of its own."""


def token_log_probs(
    model: LanguageModel,
    prompts: Prompts,
    prompt: Tensor,
    tokens: Tensor,
    stop: int | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """What the reference model says of the tokens of texts, in one pass.

    Args:
        model: The model; its adapters are off.
        prompts: The table.
        prompt: (B,) int64.
        tokens: (B, n) int64.
        stop: Number of the stop token, or None.
        shift: (V,) added to the logits before they are normalised, or None.

    Returns:
        (B, n) log p of each token, and (B, n + 1) log p of the stop after each prefix, or None.
    """
    with model.reference():
        read = model.read(prompts, prompt, tokens)
        scores = model.logits(read.flatten(0, 1))
        added = torch.zeros(model.vocabulary, device=read.device) if shift is None else shift
        added = added.to(read.device)
        norm = scores.log_norm(added).view(read.shape[:2])
        rows = torch.arange(len(scores), device=read.device).view(read.shape[:2])
        said = scores.chosen(rows[:, :-1], tokens) + added[tokens] - norm[:, :-1]
        if stop is None:
            return said, None
        ends = scores.chosen(rows, torch.full_like(rows, stop)) + added[stop] - norm
        return said, ends


class ReferenceLM(PrefixReward):
    """Tempered continuation: p(text, stop | prompt)^(1/T), all prefixes by one pass.

    Args:
        model: The model; its adapters are off.
        prompts: What it reads first.
        stop: Number of the stop token.
        temperature: T.
        legal: (V,) bool tokens that texts are made of; the logits of others are lowered. None for
            the model as it is.
        penalty: By how much. Finite, so that texts with such a token have a reward.

    Reference:
        Hu et al., Amortizing intractable inference in large language models, 2024,
        https://arxiv.org/abs/2310.04363
    """

    @checked
    def __init__(
        self,
        model: LanguageModel,
        prompts: Prompts,
        stop: int,
        temperature: float = 1.0,
        legal: Tensor | None = None,
        penalty: NotNegative = 50.0,
    ) -> None:
        super().__init__(model.vocabulary, temperature)
        self.model, self.prompts, self.stop = model, prompts, stop
        self.shift: Tensor | None = None
        if legal is not None:
            kept = legal.clone()
            kept[stop] = True
            self.shift = torch.zeros(len(kept)).masked_fill(~kept, -penalty)

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) log p of each prefix and the stop after it."""
        said, ends = token_log_probs(
            self.model, self.prompts, prompt, tokens, self.stop, self.shift
        )
        assert ends is not None
        return ends + torch.nn.functional.pad(said.cumsum(1), (1, 0))

    def __repr__(self) -> str:
        return f"ReferenceLM(T={self.temperature:g}, {len(self.prompts)} prompts)"


class SuffixLM(PrefixReward):
    """Infilling: p(text, suffix | prompt)^(1/T), as the reference model reads it.

    The stop is not scored: the suffix follows the text. Each prefix is read with the suffix behind
    it, n + 1 rows a text.

    Args:
        model: The model; its adapters are off.
        prompts: What it reads first, which may be another table than the policy's.
        suffixes: The tokens that follow, for each prompt.
        temperature: T.

    Raises:
        ConfigError: If there is not one suffix for each prompt.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Prompts,
        suffixes: list[list[int]],
        temperature: float = 1.0,
    ) -> None:
        super().__init__(model.vocabulary, temperature)
        if len(suffixes) != len(prompts) or not all(len(row) for row in suffixes):
            raise ConfigError(
                f"SuffixLM: needs a suffix of at least one token for each of {len(prompts)} "
                f"prompts, got {len(suffixes)} of lengths {sorted({len(row) for row in suffixes})}."
            )
        self.model, self.prompts = model, prompts
        rows = [torch.tensor(row) for row in suffixes]
        self.suffix = pad_sequence(rows, batch_first=True)
        self.suffix_length = torch.tensor([len(row) for row in rows])

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) log p of each prefix with the suffix behind it."""
        count, width = tokens.shape
        size = torch.arange(width + 1, device=tokens.device)
        row = torch.arange(count, device=tokens.device).repeat_interleave(width + 1)
        size = size.repeat(count)
        kept = size <= length[row]
        row, size = row[kept], size[kept]
        parts = [
            self._joint(tokens[r], s, prompt[r])
            for r, s in zip(row.split(ROWS), size.split(ROWS), strict=True)
        ]
        table = parts[0].new_zeros(count, width + 1)
        return table.masked_scatter(kept.view(count, -1), torch.cat(parts))

    def whole(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B,) log p of each text with the suffix behind it, one row a text."""
        parts = zip(tokens.split(ROWS), length.split(ROWS), prompt.split(ROWS), strict=True)
        return torch.cat([self._joint(*part) for part in parts])

    def _joint(self, tokens: Tensor, size: Tensor, prompt: Tensor) -> Tensor:
        """(B,) log p of the first `size` tokens and the suffix."""
        where = prompt.to(self.suffix.device)
        suffix = self.suffix[where].to(tokens.device)
        length = self.suffix_length[where].to(tokens.device)
        time = torch.arange(tokens.shape[1] + suffix.shape[1], device=tokens.device)
        behind = (time - size[:, None]).clamp(0, suffix.shape[1] - 1)
        mine = torch.nn.functional.pad(tokens, (0, suffix.shape[1]))
        joined = torch.where(time < size[:, None], mine, suffix.gather(1, behind))
        there = time < (size + length)[:, None]
        said, _ = token_log_probs(
            self.model, self.prompts, prompt, joined[:, : int(there.sum(1).max())]
        )
        return said.where(there[:, : said.shape[1]], 0.0).sum(1)

    def __repr__(self) -> str:
        return f"SuffixLM(T={self.temperature:g}, {len(self.prompts)} prompts)"

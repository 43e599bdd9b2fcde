"""The reward of rationales: with the known label behind, less a penalty where it is denied."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gflow.bounds import NotNegative
from gflow.checks import checked
from gflow.envs.language.rationale_labels import LabelHead
from gflow.errors import ConfigError, RewardError
from gflow.language.prefixes import PrefixReward


class RationaleReward(PrefixReward):
    """log R(z) = log p(z, suffix of the true label | prompt) / T, less a penalty.

    The penalty is taken wherever the suffix of the wrong label is likelier behind z. The M-step
    changes what the head says; whoever trains it calls `forget`.

    Args:
        head: Reads rationales and labels.
        answers: The label of each prompt, 0 or 1; -1 where it is not known.
        penalty: Taken from the score, before it is tempered.
        temperature: T.

    Raises:
        ConfigError: If there is not one label for each prompt.

    Reference:
        Hu et al., Amortizing intractable inference in large language models, 2024,
        https://arxiv.org/abs/2310.04363
    """

    @checked
    def __init__(
        self,
        head: LabelHead,
        answers: Sequence[int],
        penalty: NotNegative = 50.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(head.model.vocabulary, temperature)
        if len(answers) != len(head.prompts) or not set(answers) <= {-1, 0, 1}:
            raise ConfigError(
                f"RationaleReward: needs a label of 0 or 1, or -1 where none is known, for each of "
                f"{len(head.prompts)} prompts, got {len(answers)} among {sorted(set(answers))}."
            )
        self.head, self.penalty = head, penalty
        self.answers = torch.tensor(list(answers))

    @property
    def labelled(self) -> Tensor:
        """(K,) int64 the prompts whose label is known."""
        return (self.answers >= 0).nonzero().squeeze(1)

    def score(self, tokens: Tensor, length: Tensor, prompt: Tensor) -> Tensor:
        """(B, n + 1) scores of stopping after each prefix."""
        answer = self.answers.to(prompt.device)[prompt]
        if bool((answer < 0).any()):
            raise RewardError(
                f"RationaleReward: the label of prompt {int(prompt[answer < 0][0])} is not known, "
                f"so its rationales have no reward. Train on prompts in `reward.labelled`."
            )
        width = tokens.shape[1] + 1
        row = torch.arange(len(length), device=length.device).repeat_interleave(width)
        size = torch.arange(width, device=length.device).repeat(len(length))
        kept = size <= length[row]
        row, size = row[kept], size[kept]
        both = self.head.suffixes(tokens[row], size, prompt[row])
        mine = both.gather(1, answer[row, None]).squeeze(1)
        other = both.gather(1, 1 - answer[row, None]).squeeze(1)
        scores = mine - self.penalty * (other > mine).to(mine.dtype)
        return scores.new_zeros(len(length), width).masked_scatter(kept.view(-1, width), scores)

    def __repr__(self) -> str:
        return f"RationaleReward(T={self.temperature:g}, {len(self.labelled)} labels)"

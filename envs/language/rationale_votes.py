"""Prediction: rationales are sampled for a review, and the majority of them has the label."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.rewarded import with_reward
from gflow.envs.language.rationale_labels import LabelHead
from gflow.language.env import Text
from gflow.policies.base import Policy
from gflow.rewards.base import FunctionReward
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler

GREEDY = 0.01
"""Temperature at which the likeliest tokens are taken."""


def _nothing(states: Text) -> Tensor:
    return torch.zeros(len(states.prompt), device=states.prompt.device)


@torch.no_grad()
def rationales(
    env: Environment[Any],
    policy: Policy,
    prompt: Tensor,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """A rationale for each of (B,) prompts, none of which is scored: labels need not be known.

    Returns:
        (B, n) int64 tokens, 0 behind the ends, and (B,) int64 lengths.
    """
    told = env.condition_dim
    bare: Any = with_reward(env, FunctionReward(_nothing), told)
    found: Text = (
        Sampler(bare)
        .forward(
            policy,
            len(prompt),
            exploration=Exploration(temperature=temperature),
            condition=prompt.to(torch.get_default_dtype())[:, None] if told else None,
            generator=generator,
            device=prompt.device,
        )
        .final_states
    )
    blank = found.tokens == bare.blank
    return found.tokens.masked_fill(blank, 0), (~blank).sum(1)


@checked
def votes(
    env: Environment[Any],
    policy: Policy,
    head: LabelHead,
    prompt: Tensor,
    generator: torch.Generator,
    count: Count = 10,
    greedy: bool = False,
) -> Tensor:
    """(K,) the share of rationales behind which the second label's suffix is the likelier.

    Args:
        env: The environment of rationales.
        policy: Writes them.
        head: Reads the labels.
        prompt: (K,) int64 the reviews.
        generator: Source of all randomness.
        count: Rationales of each review.
        greedy: Take the likeliest tokens, and one rationale.
    """
    number = 1 if greedy else count
    rows = prompt.repeat_interleave(number)
    tokens, size = rationales(env, policy, rows, generator, GREEDY if greedy else 1.0)
    both = head.suffixes(tokens, size, rows)
    second = (both[:, 1] > both[:, 0]).to(torch.get_default_dtype())
    return second.view(len(prompt), number).mean(1)


def majority(share: Tensor) -> Tensor:
    """(K,) int64 labels: the second where more than half of the rationales vote for it."""
    return (share > 0.5).long()


@torch.no_grad()
def without_rationales(head: LabelHead, prompt: Tensor) -> Tensor:
    """(K,) int64 the likelier label of each review, read behind no rationale."""
    none = torch.zeros(len(prompt), 0, dtype=torch.int64, device=prompt.device)
    size = torch.zeros_like(prompt)
    return head.labels(none, size, prompt).argmax(1)

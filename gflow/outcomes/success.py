"""How often an outcome-conditioned sampler builds what it is told to."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import check_shapes, checked
from gflow.environment.base import Environment
from gflow.environment.rewarded import with_reward
from gflow.outcomes.conditioned import OutcomeReward, outcome_reward
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler

CHUNK = 1024
"""Trajectories sampled at a time."""


@checked
def success_rate(
    env: Environment[Any],
    policy: Policy,
    outcomes: Tensor,
    repeat: Count = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(K,) share of the policy's trajectories that achieve each of K outcomes asked for.

    Args:
        env: An outcome-conditioned environment.
        policy: Its policy; it is not explored.
        outcomes: (K, C) what to ask for: those seen in training, or others, drawn evenly.
        repeat: Trajectories per outcome.
        generator: Source of the moves.
    """
    check_shapes("success_rate", outcomes=(outcomes, "K C"))
    reward = outcome_reward(env, "success_rate")
    device = next((p.device for p in policy.parameters()), torch.device("cpu"))
    misses = OutcomeReward(reward.env, reward.outcome)  # whose floor has a log, whatever this one's
    sampler, hits = Sampler(with_reward(env, misses, env.condition_dim)), []
    for part in outcomes.to(device).repeat_interleave(repeat, 0).split(CHUNK):
        batch = sampler.forward(
            policy, len(part), condition=part, generator=generator, device=device
        )
        hits.append(reward.achieved(batch.final_states, part))
    rate: Tensor = torch.cat(hits).view(-1, repeat).to(torch.get_default_dtype()).mean(-1).cpu()
    return rate

"""How likely data are, where latents cannot be listed: importance sampling with the sampler."""

import math
from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import checked
from gflow.em.reward import joint_of
from gflow.environment.base import Environment
from gflow.environment.rewarded import with_reward
from gflow.evaluation.evaluate import evaluate
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler


@torch.no_grad()
@checked
def importance_log_likelihood(
    env: Environment[Any],
    policy: Policy,
    condition: Tensor,
    samples: Count = 1000,
    generator: torch.Generator | None = None,
    chunk: Count = 16_384,
) -> Tensor:
    r"""(R,) float64 estimates of log p(x) for the rows that conditions call.

    .. math:: \log \frac1M \sum_m \frac{p(x, z_m) P_B(\tau_m \mid z_m)}{P_F(\tau_m \mid x)}

    Its exponential is unbiased, so the estimate is at most log p(x) on average, and exact when the
    sampler is. As a test likelihood it can only be too low.

    p(x, z) is that of the model: what wraps the reward, such as a clip, is not read.

    Args:
        env: The environment, with the reward of the E-step.
        policy: The sampler q.
        condition: (R, C).
        samples: M, trajectories for each row.
        generator: Source of all randomness.
        chunk: Trajectories sampled at a time.
    """
    joint = joint_of(env.reward)
    if joint is not None and joint is not env.reward:
        env = with_reward(env, joint, env.condition_dim)
    sampler, rows = Sampler(env), len(condition)
    total = torch.full((rows,), -torch.inf, dtype=torch.float64, device=condition.device)
    at_once = max(1, chunk // rows)
    for first in range(0, samples, at_once):
        count = min(at_once, samples - first)
        weights = []
        for part in condition.repeat_interleave(count, 0).split(max(chunk, count)):
            batch = sampler.forward(
                policy, len(part), condition=part, generator=generator, device=condition.device
            )
            weights.append(evaluate(env, policy, batch).log_weight.double())
        found = torch.cat(weights).view(rows, count).logsumexp(1)
        total = torch.logaddexp(total, found)
    return total - math.log(samples)

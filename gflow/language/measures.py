"""What samplers of texts are measured by."""

from typing import Any

import torch
from torch import Tensor

from gflow.evaluation.evaluate import evaluate
from gflow.language.embeddings import Embedding, embedding_diversity
from gflow.language.env import Text, TokenEnvironment
from gflow.language.prefixes import PrefixReward
from gflow.policies.base import Policy
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.terms import Needs


def text_metrics(
    env: TokenEnvironment, states: Text, embedding: Embedding, reward: PrefixReward | None = None
) -> dict[str, float]:
    """Likelihood against diversity, of several texts behind each of some prompts.

    All are means over the prompts.

    Args:
        env: The environment.
        states: The texts.
        embedding: Gives their vectors.
        reward: Whose scores are reported, at temperature 1; by default that of the environment.

    Returns:
        mean_log_p and max_log_p of the texts of a prompt, their diversity, the share of distinct
        ones, and length in tokens.
    """
    scored: Any = env.reward if reward is None else reward
    log_p, size = scored.scores_of(states), env.size(states)
    group = torch.unique(states.prompt, return_inverse=True)[1]
    rows = torch.cat([states.prompt[:, None], states.tokens], 1)
    distinct = torch.unique(rows, dim=0)[:, 0]
    each = torch.bincount(torch.unique(distinct, return_inverse=True)[1])
    return {
        "mean_log_p": float(group_mean(log_p, group).mean()),
        "max_log_p": float(group_max(log_p, group).mean()),
        "diversity": float(embedding_diversity(embedding(env, states), group.cpu()).mean()),
        "distinct": float((each / torch.bincount(group)).mean()),
        "length": float(group_mean(size.to(log_p), group).mean()),
    }


def log_ratio_variance(
    env: TokenEnvironment,
    policy: Policy,
    prompts: Tensor,
    count: int,
    generator: torch.Generator | None = None,
    temperature: float = 2.0,
) -> float:
    """Variance of log R - log P_F over the texts of a prompt, mean over prompts; 0 at the solution.

    Texts are sampled at a temperature at which the sampler has not been trained alone.

    Args:
        env: The environment.
        policy: The sampler.
        prompts: (K,) int64 their numbers.
        count: Texts of each.
        generator: Source of randomness.
        temperature: Logits are divided by it.
    """
    numbers = prompts.repeat_interleave(count)
    told = numbers[:, None].to(torch.get_default_dtype()) if env.condition_dim else None
    batch = Sampler(env).forward(
        policy,
        len(numbers),
        exploration=Exploration(temperature=temperature),
        condition=told,
        generator=generator,
        device=next(policy.parameters()).device,
    )
    with torch.no_grad():
        terms = evaluate(env, policy, batch, Needs())
    return float(terms.log_weight.view(len(prompts), count).var(1).mean())


def group_mean(values: Tensor, group: Tensor) -> Tensor:
    """(G,) means of (B,) values over groups (B,) from 0 to G - 1."""
    sums = values.new_zeros(int(group.max()) + 1).index_add(0, group, values)
    return sums / torch.bincount(group)


def group_max(values: Tensor, group: Tensor) -> Tensor:
    """(G,) the largest of (B,) values in groups (B,) from 0 to G - 1."""
    least = values.new_full((int(group.max()) + 1,), -torch.inf)
    return least.scatter_reduce(0, group, values, "amax")

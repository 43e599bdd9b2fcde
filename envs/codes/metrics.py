"""How well pictures are explained, and how close the sampler is to the exact posterior of codes."""

from typing import Any

import torch
from torch import Tensor

from gflow.em.likelihood import importance_log_likelihood
from gflow.em.reward import JointReward
from gflow.environment.base import Environment
from gflow.envs.codes.model import CodeModel
from gflow.envs.sequences.base import SequenceEnvironment
from gflow.policies.base import Policy


@torch.no_grad()
def listed_log_q(env: SequenceEnvironment, policy: Policy, condition: Tensor) -> Tensor:
    """(B, K^L) log q(z | x) of all codes, in the order of `CodeModel.every_code`.

    One pass over all grids that are filled so far for each cell.

    Args:
        env: Codes, in raster order.
        policy: q.
        condition: (B, 1) numbers of pictures.
    """
    k, rows = env.num_symbols, len(condition)
    partial = env.initial(1, condition.device)
    log_q = torch.zeros(rows, 1, device=condition.device)
    for cell in range(env.length):
        size = len(partial)
        states = partial.repeat(rows, 1)
        logits = policy.forward_logits(env, states, condition.repeat_interleave(size, 0))
        law = logits.log_softmax(-1).view(rows, size, k)
        log_q = (log_q[:, :, None] + law).transpose(1, 2).flatten(1)  # the new cell counts most
        partial = partial.repeat(k, 1)
        partial[:, cell] = torch.arange(k, device=partial.device).repeat_interleave(size)
    return log_q


@torch.no_grad()
def posterior_gap(
    env: SequenceEnvironment, policy: Policy, condition: Tensor
) -> tuple[Tensor, Tensor]:
    """(B,) KL(q || p(z | x)) and (B,) total variation, exact, for the pictures of conditions."""
    model, x = _asked(env, condition)
    log_p = model.log_joint(x).log_softmax(-1)
    log_q = listed_log_q(env, policy, condition)
    q = log_q.exp()
    return (q * (log_q - log_p)).sum(-1), (q - log_p.exp()).abs().sum(-1) / 2


@torch.no_grad()
def nll(
    env: Environment[Any],
    policy: Policy,
    condition: Tensor,
    samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(B,) minus log p(x) of the pictures of conditions, in nats.

    Exact where all codes can be listed; else by importance sampling from the policy, which is too
    high on average, never too low.

    Args:
        env: Codes with a `JointReward`.
        policy: q.
        condition: (B, 1) numbers of pictures.
        samples: Codes sampled for each picture, where they cannot be listed.
        generator: Source of them.
    """
    model, x = _asked(env, condition)
    if model.listable:
        return -model.log_marginal(x)
    return -importance_log_likelihood(env, policy, condition, samples, generator)


@torch.no_grad()
def bound(env: Environment[Any], condition: Tensor, z: Tensor) -> Tensor:
    """(B,) minus log p(x, z): what minus log p(x) is at most, as one of the terms of the sum.

    All that can be said of an autoencoder with one code for each picture.
    """
    model, x = _asked(env, condition)
    return -model.log_prob(x, z)


@torch.no_grad()
def mean_reconstruction(env: Environment[Any], condition: Tensor, z: Tensor) -> Tensor:
    """(B,) minus log p(x | z), in nats."""
    model, x = _asked(env, condition)
    return -model.log_likelihood(x, z)


def _asked(env: Environment[Any], condition: Tensor) -> tuple[CodeModel, Tensor]:
    reward: Any = env.reward
    assert isinstance(reward, JointReward)
    assert isinstance(reward.model, CodeModel)
    return reward.model, reward.data.rows(condition)

"""Scoring remembered objects anew, when the reward has changed since they were scored."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.sampling.sampler import Sampler
from gflow.state import cat, to_device

CHUNK = 4096
"""Trajectories that are repeated at a time to see where they end."""


def rescored(
    env: Environment[Any],
    objects: Any,
    condition: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor | None]:
    """(B,) target log-rewards and (B, K) scores or None, of B objects in one batch, on the CPU.

    Args:
        env: The environment, with the reward as it is now.
        objects: B finished objects.
        condition: (B, C) or None.
        device: Where the reward computes.
    """
    given = None if condition is None else condition.to(device)
    log_reward, scores = env.outcome(to_device(objects, device), given)
    return log_reward.cpu(), None if scores is None else scores.cpu()


def ends_of(
    sampler: Sampler, actions: Tensor, length: Tensor, condition: Tensor | None = None
) -> Any:
    """(B,) the objects that (B, T) `actions` build, without asking for their reward."""
    env, parts = sampler.env, []
    for rows in torch.arange(len(length)).split(CHUNK):
        count = len(rows)
        batch = sampler.along(
            actions[rows, : int(length[rows].max())],
            length[rows],
            log_reward=torch.zeros(count),
            scores=torch.zeros(count, env.num_scores) if env.num_scores else None,
            condition=None if condition is None else condition[rows],
        )
        parts.append(batch.final_states)
    return cat(parts)

"""Scoring objects anew, when the reward has changed since they were scored."""

from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.sampling.sampler import Sampler
from gflow.state import cat, take, to_device
from gflow.trajectories import Trajectories

S = TypeVar("S")

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


def of_now(env: Environment[Any], batch: Trajectories[S]) -> Trajectories[S]:
    """The same trajectories with the rewards and scores of their objects as the reward is now."""
    objects, condition, complete = batch.final_states, batch.condition, batch.complete
    if complete is None:
        log_reward, scores = env.outcome(objects, condition)
        return replace(batch, log_reward=log_reward, scores=scores)
    rows = complete.nonzero().squeeze(1)
    log_reward, scores = env.outcome(
        take(objects, rows), None if condition is None else condition[rows]
    )
    log_reward = batch.log_reward.index_put((rows,), log_reward.to(batch.log_reward.dtype))
    if scores is not None and batch.scores is not None:
        scores = batch.scores.index_put((rows,), scores.to(batch.scores.dtype))
    return replace(batch, log_reward=log_reward, scores=scores)


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

"""Objects in words with their rewards: the lines of `gflow sample` and of objects.jsonl."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.conditions.draws import SHORT
from gflow.environment.base import Environment
from gflow.evaluation.anchored import plain_log_reward
from gflow.metrics import greedy_modes
from gflow.state import batch_size, take
from gflow.tasks.task import Context
from gflow.training.atomic import write_text
from gflow.training.json_lines import to_json
from gflow.trajectories import Trajectories

NAME = "objects.jsonl"
"""The file in the folder of a run."""
SAMPLES = 50
"""Objects of the trained policy in it; fewer if fewer are drawn to evaluate."""
DRAWN = 100
"""Objects of a set that are drawn."""
ALIKE = 0.5
"""Similarity from which two objects are no different ones of a diverse set."""


def rows_of(
    context: Context, env: Environment[Any], batch: Trajectories[Any]
) -> list[dict[str, Any]]:
    """Sampled objects in words with their reward, or with log R, and what else the task knows.

    Short conditions stand beside them. The reward is that without any temperature that the sampler
    was told, log R that with it.

    Args:
        context: The run.
        env: Its environment with the conditions that the sampler is told.
        batch: The trajectories.
    """
    told, inner = batch.condition, context.env
    own = told[:, : inner.condition_dim] if told is not None and inner.condition_dim else None
    rows = described(context, batch.final_states, own, lambda: plain_log_reward(env, batch))
    if told is not None and env.condition_dim and told.shape[1] <= SHORT:
        for row, asked in zip(rows, told.tolist(), strict=True):
            row["condition"] = asked
    return rows


def described(
    context: Context,
    objects: Any,
    condition: Tensor | None,
    log_reward: Callable[[], Tensor],
) -> list[dict[str, Any]]:
    """Objects with their rewards and properties.

    Args:
        context: The run.
        objects: B finished objects.
        condition: (B, C) what their rewards depend on, or None.
        log_reward: Gives their (B,) log R, for tasks without rewards to look at.
    """
    task, env = context.task, context.env
    values, name = task.rewards(env, objects, condition), "reward"
    if values is None:
        values, name = log_reward(), "log_reward"
    more = task.object_facts(env, objects)
    rows = []
    for number, text in enumerate(task.describe(env, objects)):
        row: dict[str, Any] = {"object": text, name: float(values[number])}
        rows.append(row | {key: column[number] for key, column in more.items()})
    return rows


@torch.no_grad()
def write_objects(context: Context, folder: Path, samples: int) -> list[dict[str, Any]]:
    """Write the best objects of a run and samples of its policy, with drawings where there are any.

    Args:
        context: The run.
        folder: Its folder.
        samples: How many are drawn to evaluate it.

    Returns:
        What is written, without the drawings.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [*_best(context), *_samples(context, min(SAMPLES, samples))]
    write_text(folder / NAME, "".join(to_json(row) + "\n" for row in rows))
    return [{k: v for k, v in row.items() if k != "drawing"} for row in rows]


def _best(context: Context) -> list[dict[str, Any]]:
    """Of the run; none where rewards depend on conditions or there are several scores."""
    best, env = context.best, context.env
    if best is None or not len(best) or env.condition_dim or env.num_scores:
        return []
    objects = best.states
    rows = described(context, objects, None, lambda: best.log_reward)
    _drawn(context, objects, rows)
    alike = context.task.object_similarity(env, objects)
    scores = torch.arange(len(rows), 0, -1)
    kept = [] if alike is None else greedy_modes(scores.double(), 0.0, alike, ALIKE)
    apart = [rows[number] for number in kept]
    found = [{"set": "best", **row} for row in rows]
    return [*found, *({"set": "diverse", **row} for row in apart)]


def _samples(context: Context, number: int) -> list[dict[str, Any]]:
    trainer = context.trainer
    generator = torch.Generator(trainer.device).manual_seed(trainer.config.seed)
    condition = None if trainer.condition is None else trainer.condition(number, generator)
    batch = trainer.sampler.forward(
        trainer.evaluated_policy,
        number,
        condition=condition,
        generator=generator,
        device=trainer.device,
    )
    rows = [{"set": "sample", **row} for row in rows_of(context, trainer.env, batch)]
    return _drawn(context, batch.final_states, rows)


def _drawn(context: Context, objects: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the drawings that the task makes."""
    first = torch.arange(min(DRAWN, batch_size(objects)))
    pictures = context.task.object_drawings(context.env, take(objects, first))
    for row, picture in zip(rows, pictures, strict=False):
        row["drawing"] = picture
    return rows

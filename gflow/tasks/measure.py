"""The metrics of an evaluation: the same names for every task, and the same meaning."""

from typing import Any

import torch
from torch import Tensor

from gflow.evaluation.anchored import plain_log_reward
from gflow.metrics import (
    effective_sample_size,
    elbo,
    importance_log_z,
    jsd,
    kl,
    l1,
    log_reward_correlation,
    log_z_error,
    mean_reward_accuracy,
    total_variation,
)
from gflow.policies.chunked import chunked
from gflow.state import take
from gflow.tasks.task import Context


@torch.no_grad()
def evaluate_run(context: Context, samples: int) -> dict[str, float]:
    """Sample from the evaluated policy and measure; exact numbers where all states are known.

    The random numbers come from a generator of their own, so that evaluating changes nothing
    about the training that follows.
    """
    trainer, env = context.trainer, context.env
    policy = trainer.evaluated_policy
    seed = trainer.config.seed * 1_000_003 + trainer.step
    generator = torch.Generator(trainer.device).manual_seed(seed)
    condition = trainer.condition(samples, generator) if trainer.condition else None
    batch = trainer.sampler.forward(
        policy, samples, condition=condition, generator=generator, device=trainer.device
    )
    terms = trainer.objective.evaluate(env, chunked(policy, trainer.config.chunk), batch)
    objects = batch.final_states
    numbers = _rewards(context, objects, condition)
    numbers |= {
        "mean_log_reward": float(plain_log_reward(env, batch).double().mean()),
        "mean_length": float(terms.length.double().mean()),
        "log_z": float(trainer.objective.log_z_estimate(terms).mean()),
    }
    if trainer.objective.needs.edge_flow is False:  # flow matching trains no backward policy
        numbers |= {
            "elbo": float(elbo(terms)),
            "log_z_importance": float(importance_log_z(terms)),
            "ess": float(effective_sample_size(terms)),
        }
    known = env.log_partition()
    if context.graph is not None:
        numbers |= _exact(context)
        known = float(context.graph.log_reward().logsumexp(0))
    if known is not None:
        numbers["log_z_error"] = float(log_z_error(numbers["log_z"], known))
    numbers |= context.task.metrics(context, objects)
    return numbers


def _rewards(context: Context, objects: Any, condition: Tensor | None) -> dict[str, float]:
    """Mean and best R, before temperatures, where a task has such numbers."""
    rewards = context.task.rewards(context.env, objects, condition)
    if rewards is None:
        return {}
    return {"mean_reward": float(rewards.double().mean()), "top_reward": float(rewards.max())}


def _exact(context: Context) -> dict[str, float]:
    graph = context.graph
    assert graph is not None
    learned = graph.terminal_distribution(context.trainer.evaluated_policy)
    target = graph.log_target()
    objects = take(graph.states, graph.objects)
    correlation = log_reward_correlation(learned, context.env.log_reward(objects).double())
    rewards = context.task.rewards(context.env, objects)
    numbers = {
        "tv": float(total_variation(learned, target)),
        "l1": float(l1(learned, target)),
        "jsd": float(jsd(learned, target)),
        "kl": float(kl(target, learned)),
        "pearson": correlation.pearson,
        "spearman": correlation.spearman,
    }
    if rewards is not None:
        got, wanted = ((p.double().exp() * rewards.double()).sum() for p in (learned, target))
        numbers["expected_reward"] = float(got)
        numbers["reward_accuracy"] = float(mean_reward_accuracy(got, wanted))
    return numbers

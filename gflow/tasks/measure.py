"""The figures of an evaluation: the same names for every task."""

import torch

from gflow.metrics import (
    effective_sample_size,
    elbo,
    expected_reward,
    importance_log_z,
    jsd,
    kl,
    l1,
    log_reward_correlation,
    log_z_error,
    mean_reward_accuracy,
    total_variation,
)
from gflow.state import take
from gflow.tasks.task import Context


@torch.no_grad()
def evaluate_run(context: Context, samples: int) -> dict[str, float]:
    """Sample from the evaluated policy and measure; exact figures where all states are known.

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
    terms = trainer.objective.evaluate(env, policy, batch)
    objects = batch.final_states
    rewards = context.task.rewards(env, objects).double()
    numbers = {
        "mean_reward": float(rewards.mean()),
        "top_reward": float(rewards.max()),
        "mean_log_reward": float(terms.log_reward.mean()),
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
        known = context.graph.exact_flows().log_z
    if known is not None:
        numbers["log_z_error"] = float(log_z_error(numbers["log_z"], known))
    numbers |= context.task.metrics(context, objects)
    return numbers


def _exact(context: Context) -> dict[str, float]:
    graph = context.graph
    assert graph is not None
    law = graph.terminal_law(context.trainer.evaluated_policy)
    target = graph.log_target()
    objects = take(graph.states, graph.objects)
    log_reward = context.env.log_reward(objects).double()
    correlation = log_reward_correlation(law, log_reward)
    got, wanted = expected_reward(law, log_reward), expected_reward(target, log_reward)
    return {
        "tv": float(total_variation(law, target)),
        "l1": float(l1(law, target)),
        "jsd": float(jsd(law, target)),
        "kl": float(kl(target, law)),
        "expected_reward": float(got),
        "reward_accuracy": float(mean_reward_accuracy(got, wanted)),
        "pearson": correlation.pearson,
        "spearman": correlation.spearman,
    }

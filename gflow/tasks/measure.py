"""The metrics of an evaluation: the same names for every task, and the same meaning."""

from typing import Any

import torch
from torch import Tensor

from gflow.errors import IncompatibleError
from gflow.evaluation.anchored import plain_log_reward
from gflow.evaluation.evaluate import evaluate
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
from gflow.objective import Solution
from gflow.policies.chunked import chunked
from gflow.state import take
from gflow.tasks.games import GAMES, SolvedGame, against_uniform
from gflow.tasks.task import Context
from gflow.terms import FlowTerms
from gflow.trajectories import Trajectories


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
    game = trainer.objective.solution in GAMES
    numbers = {} if game else _rewards(context, objects, condition)
    numbers |= {
        "mean_log_reward": float(plain_log_reward(env, batch).double().mean()),
        "mean_length": float(terms.length.double().mean()),
        "log_z": float(trainer.objective.log_z_estimate(terms).mean()),
    }
    if game:
        numbers |= _game(context, numbers["log_z"], samples, generator)
        return numbers | context.task.metrics(context, objects)
    numbers |= _bounds(context, batch, terms)
    exact, known = _exact(context)
    numbers |= exact
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


def _game(
    context: Context, log_z: float, samples: int, generator: torch.Generator
) -> dict[str, float]:
    """Metrics of two players: matches against a uniform one, exact ones where all is known."""
    policy = context.trainer.evaluated_policy
    numbers: dict[str, float] = {}
    if context.graph is not None:
        if context.solved is None:
            flows = context.trainer.objective.exact_flows(context.graph)
            context.solved = SolvedGame.of(context.graph, flows)
        numbers |= context.solved.numbers(policy, log_z)
    if context.env.num_players == 2:
        numbers |= against_uniform(context.env, policy, samples, generator)
    return numbers


def _bounds(context: Context, batch: Trajectories[Any], terms: FlowTerms) -> dict[str, float]:
    """What log-weights say of the sum of all rewards, where the objective is about that.

    With chance they are those of what happened: some objectives have other numbers there.
    """
    trainer, env = context.trainer, context.env
    objective = trainer.objective
    if objective.solution is Solution.EXPECTED or not terms.has_log_pb:
        return {}
    if objective.needs.edge_flow:  # flow matching trains no backward policy
        return {}
    if env.has_chance:
        terms = evaluate(env, chunked(trainer.evaluated_policy, trainer.config.chunk), batch)
    return {
        "elbo": float(elbo(terms)),
        "log_z_importance": float(importance_log_z(terms)),
        "ess": float(effective_sample_size(terms)),
    }


def _solution(context: Context) -> tuple[Tensor, float] | None:
    """(X,) float64 exact log-probabilities of objects at the solution of the objective; its log Z.

    None where the states are not listed, or it has none there.
    """
    graph, objective = context.graph, context.trainer.objective
    if graph is None:
        return None
    if objective.solution is not Solution.EXPECTED:
        return graph.log_target(), float(graph.log_reward().logsumexp(0))
    reads = objective.needs.log_pb and context.env.has_backward
    try:
        flows = objective.exact_flows(
            graph, graph.log_pb(context.trainer.evaluated_policy) if reads else None
        )
    except IncompatibleError:
        return None
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop), flows.log_z


def _exact(context: Context) -> tuple[dict[str, float], float | None]:
    """Distances of the distribution of objects from the solution's, and the solution's log Z."""
    graph, found = context.graph, _solution(context)
    if graph is None or found is None:
        sums = context.trainer.objective.solution is not Solution.EXPECTED
        return {}, context.env.log_partition() if sums else None
    target, log_z = found
    learned = graph.terminal_distribution(context.trainer.evaluated_policy)
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
    return numbers, log_z

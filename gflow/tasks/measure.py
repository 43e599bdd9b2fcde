"""The metrics of an evaluation: the same names for every task, and the same meaning."""

from typing import Any

import torch
from torch import Tensor

from gflow.errors import IncompatibleError
from gflow.evaluation.anchored import plain_log_reward
from gflow.evaluation.evaluate import evaluate
from gflow.exact.graph import StateGraph
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
from gflow.tasks.levels import Levels
from gflow.tasks.task import Context
from gflow.terms import FlowTerms
from gflow.training.callbacks import TrainingCallback
from gflow.training.trainer import Trainer
from gflow.trajectories import Trajectories

ELSEWHERE = (Solution.EXPECTED, Solution.POSTERIOR)
"""Solutions that do not sample in proportion to the reward alone."""


@torch.no_grad()
def evaluate_run(context: Context, samples: int) -> dict[str, float]:
    """Sample from the evaluated policy and measure; exact numbers where all states are known.

    Of a sampler that is told conditions, rewards and lengths are of objects for drawn ones; bounds
    and distances are means over the conditions of `Context.levels`; and what the task measures is
    of the condition by which its environment is what it is without any. The random numbers come
    from a generator of their own, so that evaluating changes nothing about the training that
    follows.
    """
    trainer = context.trainer
    generator = context.evaluation_generator()
    condition = trainer.condition(samples, generator) if trainer.condition else None
    batch, terms = sampled(trainer, samples, condition, generator)
    objects = batch.final_states
    game = trainer.objective.solution in GAMES
    numbers = {} if game else _rewards(context, objects, condition)
    numbers |= {
        "mean_log_reward": float(plain_log_reward(trainer.env, batch).double().mean()),
        "mean_length": float(terms.length.double().mean()),
        "log_z": float(trainer.objective.log_z_estimate(terms).mean()),
    }
    if context.conditions is not None:
        numbers |= context.conditions.conditioning.metrics(trainer)
    if context.levels is not None:
        numbers |= at_levels(context, context.levels, samples, generator)
        if context.env is trainer.env and not game:  # all that it is told, not a few of it
            numbers |= mean_bound(context, batch, terms)
    elif game:
        numbers |= solved_game(context, context.graph, numbers["log_z"])
    elif trainer.condition is not None and trainer.env.condition_dim:
        numbers |= mean_bound(context, batch, terms)
    else:
        numbers |= bounds(context, batch, terms)
        exact, known = exact_numbers(context, context.graph)
        numbers |= exact
        context.exact = known
        if "log_z" in known:
            numbers["log_z_error"] = float(log_z_error(numbers["log_z"], known["log_z"]))
    if game and trainer.env.num_players == 2 and context.policy is not None:
        numbers |= against_uniform(context.env, context.policy, samples, generator)
    if context.env is not trainer.env and not context.env.num_scores:
        if context.policy is None:
            return numbers
        batch = context.sampler.forward(
            context.policy, samples, generator=generator, device=trainer.device
        )
        objects = batch.final_states
    for callback in trainer.callbacks:
        if isinstance(callback, TrainingCallback):
            numbers |= callback.numbers()
    return numbers | context.task.metrics(context, objects)


def sampled(
    trainer: Trainer, count: int, condition: Tensor | None, generator: torch.Generator
) -> tuple[Trajectories[Any], FlowTerms]:
    """`count` trajectories of the evaluated policy for conditions (count, C), and their terms."""
    policy = trainer.evaluated_policy
    batch = trainer.sampler.forward(
        policy, count, condition=condition, generator=generator, device=trainer.device
    )
    asked = chunked(policy, trainer.config.chunk)
    return batch, trainer.objective.evaluate(trainer.env, asked, batch)


def at_levels(
    context: Context, levels: Levels, samples: int, generator: torch.Generator
) -> dict[str, float]:
    """What is known of each of the conditions at which a sampler is measured.

    Means over them go by the names of unconditional runs; `tv_at_2` is that of the condition 2, and
    so on for those in `SHOWN`.
    """
    trainer, rows = context.trainer, []
    each = max(2, -(-samples // len(levels)))
    asked = levels.conditions.repeat_interleave(each, 0).to(trainer.device)
    batch, terms = sampled(trainer, len(asked), asked, generator)
    estimates = trainer.objective.log_z_estimate(terms).expand(len(asked)).view(-1, each).mean(1)
    game = trainer.objective.solution in GAMES
    known = trainer.env.known_log_z(levels.conditions.to(trainer.device), len(levels))
    for number, log_z in enumerate(estimates.tolist()):
        graph = None if levels.graphs is None else levels.graphs[number]
        if game:
            rows.append(solved_game(context, graph, log_z))
            continue
        mine = torch.arange(number * each, (number + 1) * each, device=batch.length.device)
        part = batch.select(mine)
        found = bounds(context, part, terms.select(mine))
        exact, at_solution = exact_numbers(context, graph)
        truth = at_solution.get("log_z")
        if truth is None and known is not None:
            truth = float(known[number])
        if truth is not None:
            exact["log_z_error"] = float(log_z_error(log_z, truth))
        rows.append(found | exact)
    return levels.together(rows)


def _rewards(context: Context, objects: Any, condition: Tensor | None) -> dict[str, float]:
    """Mean and best R, before temperatures, where a task has such numbers."""
    width = context.env.condition_dim
    own = condition[:, :width] if condition is not None and width else None
    rewards = context.task.rewards(context.env, objects, own)
    if rewards is None:
        return {}
    return {"mean_reward": float(rewards.double().mean()), "top_reward": float(rewards.max())}


def solved_game(context: Context, graph: StateGraph[Any] | None, log_z: float) -> dict[str, float]:
    """How a policy for a game compares with perfect play and the solution, where all is known.

    Args:
        context: The run.
        graph: All states, for one condition; None if they are not listed.
        log_z: What the objective believes of that condition.
    """
    if graph is None:
        return {}
    solved = context.solved.get(id(graph))
    if solved is None:
        flows = context.trainer.objective.exact_flows(graph)
        solved = context.solved[id(graph)] = SolvedGame.of(graph, flows)
    return solved.numbers(context.trainer.evaluated_policy, log_z)


def bounds(context: Context, batch: Trajectories[Any], terms: FlowTerms) -> dict[str, float]:
    """What log-weights say of the sum of all rewards, where the objective is about that.

    With chance they are those of what happened: some objectives have other numbers there.
    """
    trainer, env = context.trainer, context.trainer.env
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


def mean_bound(context: Context, batch: Trajectories[Any], terms: FlowTerms) -> dict[str, float]:
    """`elbo` alone: of the bounds its mean over conditions is one of the mean of log Z."""
    return {k: v for k, v in bounds(context, batch, terms).items() if k == "elbo"}


def solution_of(context: Context, graph: StateGraph[Any]) -> tuple[Tensor, float] | None:
    """(X,) float64 exact log-probabilities of objects at the solution of the objective; its log Z.

    None where it has no solution there.
    """
    objective, env = context.trainer.objective, context.trainer.env
    if objective.solution not in ELSEWHERE:
        return graph.log_target(), float(graph.log_reward().logsumexp(0))
    reads = objective.needs.log_pb and env.has_backward
    try:
        flows = objective.exact_flows(
            graph, graph.log_pb(context.trainer.evaluated_policy) if reads else None
        )
    except IncompatibleError:
        return None
    return graph.terminal_log_prob(flows.log_pf, flows.log_stop), flows.log_z


def exact_numbers(
    context: Context, graph: StateGraph[Any] | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Distances of the distribution of objects from the solution's, and numbers of the solution.

    The latter are log Z and the mean reward, as far as they are known, by the names of metrics.

    Args:
        context: The run.
        graph: All states, for one condition; None if they are not listed.
    """
    found = None if graph is None else solution_of(context, graph)
    env = context.trainer.env
    if graph is None or found is None:
        sums = context.trainer.objective.solution not in ELSEWHERE
        known = env.log_partition() if sums else None
        return {}, {} if known is None else {"log_z": known}
    target, log_z = found
    learned = graph.terminal_distribution(context.trainer.evaluated_policy)
    objects, given = take(graph.states, graph.objects), graph.condition
    log_reward = env.log_reward(objects, None if given is None else given.expand(len(target), -1))
    correlation = log_reward_correlation(learned, log_reward.double())
    width = context.env.condition_dim
    own = given[:, :width].expand(len(target), -1) if given is not None and width else None
    rewards = context.task.rewards(context.env, objects, own)
    numbers = {
        "tv": float(total_variation(learned, target)),
        "l1": float(l1(learned, target)),
        "jsd": float(jsd(learned, target)),
        "kl": float(kl(target, learned)),
        "pearson": correlation.pearson,
        "spearman": correlation.spearman,
    }
    solution = {"log_z": log_z}
    if rewards is not None:
        got, wanted = ((p.double().exp() * rewards.double()).sum() for p in (learned, target))
        numbers["expected_reward"] = float(got)
        numbers["reward_accuracy"] = float(mean_reward_accuracy(got, wanted))
        solution |= {"mean_reward": float(wanted), "expected_reward": float(wanted)}
    return numbers, solution

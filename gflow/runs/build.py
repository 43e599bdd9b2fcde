"""The objects of a run from its settings: environment, policy, objective, trainer."""

from dataclasses import replace

from gflow.conditions.conditioning import Conditioning
from gflow.conditions.draws import ConditionSampler
from gflow.em.reward import joint_of
from gflow.machines.ranks import ALONE, Ranks
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive
from gflow.policies.base import Policy
from gflow.tasks.conditional import conditions_of
from gflow.tasks.levels import levels_of
from gflow.tasks.options import RunConfig
from gflow.tasks.task import Context, enumerate_if_small, policy_and_learners
from gflow.training.trainer import Trainer

FRONT = 1000
"""Objects kept of the Pareto front of a run."""


def build_context(
    config: RunConfig,
    policy: Policy | None = None,
    condition: ConditionSampler | Conditioning | None = None,
    ranks: Ranks = ALONE,
) -> Context:
    """What trains and is looked at, on the device of the run.

    Initial weights come from torch's own generator: seed that before.

    Args:
        config: All settings.
        policy: Used in place of the task's.
        condition: Used in place of the run's conditions.
        ranks: The processes that train together.

    Raises:
        GFlowError: If the settings do not go together.
    """
    task, device = config.task, ranks.device(config.run.device)
    told = conditions_of(task, condition or config.condition, task.environment())
    env = told.env
    objective = config.build_objective(env, told.plain)
    if policy is None:
        policy, learners = policy_and_learners(task, told, objective.needs, config.backward)
    else:
        learners = task.learners(env, policy)
    policy.to(device)
    for learner in learners:
        learner.module.to(device)
    objective.to(device)
    joint = joint_of(env.reward)
    if joint is not None:  # also where nothing is learned of it
        joint.model.to(device)
    best = BestObjects(env, without=told.conditioning.without) if env.has_keys else None
    front = ParetoArchive(env, FRONT) if env.num_scores > 0 and env.has_keys else None
    seers = [seer for seer in (best, front) if seer is not None]
    for seer in seers:
        seer.device = device
    trainer = Trainer(
        env,
        policy,
        objective,
        config.train,
        condition=told.draw,
        behaviour=told.behaviour(task, config.behaviour.build()),
        learners=learners,
        callbacks=[*seers, *task.watchers(told.plain)],
        record_every=config.run.eval_every,
        ranks=ranks,
    )
    graph = enumerate_if_small(task, env)
    levels = levels_of(told, graph)
    if levels is not None and graph is not None:  # of no single condition
        known = told.chosen and told.conditioning.reference(env) is not None
        graph = replace(graph, env=told.plain) if known else None
    return Context(task, told.plain, trainer, best, graph, front, conditions=told, levels=levels)

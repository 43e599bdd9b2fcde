"""The objects of a run from its settings: environment, policy, objective, trainer."""

from gflow.conditions.draws import ConditionSampler
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive
from gflow.policies.base import Policy
from gflow.tasks.options import RunConfig
from gflow.tasks.task import Context, enumerate_if_small, policy_and_learners
from gflow.training.trainer import Trainer

FRONT = 1000
"""Objects kept of the Pareto front of a run."""


def build_context(
    config: RunConfig,
    policy: Policy | None = None,
    condition: ConditionSampler | None = None,
) -> Context:
    """What trains and is looked at, on the device of the run.

    Initial weights come from torch's own generator: seed that before.

    Args:
        config: All settings.
        policy: Used in place of the task's.
        condition: Used in place of the task's conditions.

    Raises:
        GFlowError: If the settings do not go together.
    """
    task, device = config.task, config.run.device
    env = task.environment()
    objective = config.build_objective(env)
    if policy is None:
        policy, learners = policy_and_learners(task, env, objective.needs, config.backward)
    else:
        learners = task.learners(env)
    policy.to(device)
    for learner in learners:
        learner.module.to(device)
    objective.to(device)
    best = BestObjects(env) if env.has_keys else None
    front = ParetoArchive(env, FRONT) if env.num_scores > 0 and env.has_keys else None
    callbacks = [seer for seer in (best, front) if seer is not None]
    for seer in callbacks:
        seer.device = device
    trainer = Trainer(
        env,
        policy,
        objective,
        config.train,
        condition=task.condition(env) if condition is None else condition,
        behaviour=task.behaviour(env, config.behaviour.build()),
        learners=learners,
        callbacks=callbacks,
        record_every=config.run.eval_every,
    )
    return Context(task, env, trainer, best, enumerate_if_small(task, env), front)

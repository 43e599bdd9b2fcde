"""What else could be trained, where an objective and the rest of a run do not go together."""

from dataclasses import replace

from gflow.errors import ConfigError, IncompatibleError
from gflow.objectives import OBJECTIVES
from gflow.tasks.conditional import conditions_of
from gflow.tasks.options import RunConfig, objective_of
from gflow.tasks.task import policy_and_learners
from gflow.training.trainer import Trainer


def advised(config: RunConfig, error: IncompatibleError) -> IncompatibleError:
    """The same complaint with advice that can be followed on the command line.

    Where the objective is the reason, it names those that can be trained with the same task,
    behaviour and options; other complaints stay as they are.
    """
    able = trainable(config)
    if not able or config.objective.name in able:
        return error
    said = str(error).partition(". ")[0].rstrip(".")
    return IncompatibleError(
        f"{said}. With these settings one can train {', '.join(able)}: choose with --objective."
    )


def trainable(config: RunConfig) -> list[str]:
    """Names of the objectives that a run with these settings could have."""
    task = config.task
    told = conditions_of(task, config.condition, task.environment())
    env, found = told.env, []
    try:
        for name in OBJECTIVES:
            other = replace(config, objective=objective_of(task, name))
            try:
                objective = other.build_objective(env, told.plain)
                policy, learners = policy_and_learners(task, told, objective.needs, config.backward)
                Trainer(
                    env,
                    policy,
                    objective,
                    config.train,
                    condition=told.draw,
                    behaviour=told.behaviour(task, config.behaviour.build()),
                    learners=learners,
                )
            except (IncompatibleError, ConfigError):
                continue
            found.append(name)
        return found
    finally:
        task.close(told.plain)

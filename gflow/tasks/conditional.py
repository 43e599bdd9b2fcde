"""What the sampler of a run is told: the environment with its conditions, and who draws them."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.behaviours.base import Behaviour
from gflow.conditions.conditioning import Conditioning, DrawnConditions, OwnConditions
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.policies.base import Policy
from gflow.tasks.parts import Part
from gflow.tasks.task import Task
from gflow.terms import Needs

SPREAD = 0.3
"""Standard deviation of the weights of a policy that is asked whether it reads conditions."""


@dataclass(frozen=True)
class Conditions:
    """An environment and what its sampler is told.

    Attributes:
        plain: The environment as its task made it.
        env: The one that is trained on; the same where the run chooses no conditions.
        conditioning: What the conditions are.
        draw: Draws those of training batches; None if the sampler is told nothing.
    """

    plain: Any
    env: Any
    conditioning: Conditioning
    draw: ConditionSampler | None

    @property
    def chosen(self) -> bool:
        """Whether they are more than what the environment is told by itself."""
        return not isinstance(self.conditioning, OwnConditions)

    def behaviour(self, task: Task[Any], chosen: Behaviour) -> Behaviour:
        """Where training batches come from, around what is chosen."""
        return task.behaviour(self.env, self.conditioning.behaviour(self.env, chosen))

    def policy(self, task: Task[Any], needs: Needs) -> Policy:
        """A fresh policy of the task that hears them."""

        def build(env: Environment[Any]) -> Policy:
            return task.policy(env, needs)

        made = self.conditioning.policy(self.env, self.plain, needs, build)
        if self.chosen and self.draw is not None:
            require_heard(made, self.env, self.draw.probes(2))
        return made


@torch.no_grad()
def require_heard(policy: Policy, env: Environment[Any], conditions: Tensor) -> None:
    """Refuse a policy that says the same whatever it is told.

    A copy of it with random weights is asked, as those of the start may be zero.

    Args:
        policy: The policy.
        env: The conditional environment.
        conditions: (E, C) different conditions.

    Raises:
        IncompatibleError: It does not read its condition.
    """
    if len(conditions) < 2:
        return
    copied, generator = copy.deepcopy(policy).cpu(), torch.Generator().manual_seed(0)
    for parameter in copied.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * SPREAD)
    states = env.start(len(conditions), condition=conditions)
    told, misheard = (copied(env, states, c) for c in (conditions, conditions.roll(1, 0)))
    if torch.equal(told.forward_logits, misheard.forward_logits):
        raise IncompatibleError(
            f"{type(policy).__name__} says the same whatever condition it is told, and would learn "
            f"one distribution for all of them. Let its first layer read the condition "
            f"(gflow.policies.told), or leave --condition out."
        )


def conditions_of(
    task: Task[Any], chosen: Part | ConditionSampler | Conditioning, plain: Environment[Any]
) -> Conditions:
    """The conditions of a run.

    Args:
        task: The task.
        chosen: The part of the run, or an object in its place.
        plain: The environment as the task made it.

    Raises:
        IncompatibleError: Environment and conditions do not go together.
    """
    made: Any = chosen.build() if isinstance(chosen, Part) else chosen
    conditioning = DrawnConditions(made) if isinstance(made, ConditionSampler) else made
    told = bool(plain.condition_dim or plain.source_reads_condition)
    own = task.condition(plain) if told else None
    env = conditioning.applied(plain)
    if isinstance(conditioning, OwnConditions):
        if own is None and plain.condition_dim:
            raise IncompatibleError(
                f"{plain.name} reads conditions, and nothing says which ones to train on. Give "
                f"them by --condition file.py:Class, a ConditionSampler; in Python, "
                f"gflow.fit(env, condition=...); or write a Task whose `condition(env)` draws them."
            )
    elif env.condition_dim > plain.condition_dim and task.refuses_conditions:
        raise IncompatibleError(f"{task.name}: {task.refuses_conditions}")
    elif env.condition_dim > plain.condition_dim and own is not None:
        if type(task).condition_encoder is not Task.condition_encoder:
            raise IncompatibleError(
                f"{task.name} reads what it is told by a network of its own, which does not read "
                f"the condition {conditioning.name!r} too. Leave --condition out."
            )
    return Conditions(plain, env, conditioning, conditioning.sampler(env, own))

"""What a run shows of itself: objects drawn once, for all its pictures."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.state import batch_size, take
from gflow.tasks.task import Context, Task, object_log_reward


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows, in a sentence for those who see it and those who do not.

    Attributes:
        figure: Of matplotlib.
        caption: What it shows, marks and lines included.
    """

    figure: Any
    caption: str


@dataclass(frozen=True)
class Shown:
    """A run for its pictures.

    Attributes:
        context: The run.
        task: The task whose objects they are; inside that of the run where that has another reward.
        env: The environment whose objects are drawn, with the task's own reward.
        objects: B objects of the evaluated policy.
        condition: (B, C) what they were drawn under, or None.
        log_reward: (B,) their log R.
    """

    context: Context
    task: Task[Any]
    env: Environment[Any]
    objects: Any
    condition: Tensor | None
    log_reward: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, context: Context, count: int) -> "Shown | None":
        """Objects drawn by a generator of their own; None where there is no policy for `env`.

        They are those of the evaluation at this step if that drew as many, so that rewards which
        remember what they scored score nothing anew.
        """
        trainer, policy, env = context.trainer, context.policy, context.env
        told = context.conditions is not None and context.conditions.chosen
        if policy is None or (told and env.condition_dim):
            return None
        generator = context.evaluation_generator()
        draw = None if told else trainer.condition
        condition = None if draw is None else draw(count, generator)
        batch = context.sampler.forward(
            policy, count, condition=condition, generator=generator, device=trainer.device
        )
        objects = batch.final_states
        values = object_log_reward(env, objects, condition)
        return cls(context, context.task, env, objects, condition, values)

    @property
    def count(self) -> int:
        """B."""
        return batch_size(self.objects)

    @cached_property
    def target(self) -> "tuple[Any, Tensor] | None":
        """All objects and their (X,) exact probabilities, where they are listed and R / Z is right.

        None else, and where the law depends on conditions.
        """
        graph, context = self.context.graph, self.context
        if graph is None or self.condition is not None or context.env.condition_dim:
            return None
        if not context.task.has_exact_law(context.env):
            return None
        return take(graph.states, graph.objects), graph.log_target().exp()

    def best(self, count: int) -> tuple[Any, Tensor] | None:
        """Up to `count` best objects of the run, or of the sample if none are kept, best first."""
        kept = self.context.best
        if kept is not None and len(kept):
            states, values = kept.states, kept.log_reward
        else:
            lines = self.task.describe(self.env, self.objects)
            rows = {line: row for row, line in reversed(list(enumerate(lines)))}
            first = torch.tensor(sorted(rows.values()))
            states, values = take(self.objects, first.to(self.log_reward.device)), self.log_reward
            values = values[first.to(values.device)]
        order = values.argsort(descending=True, stable=True)[:count]
        return (take(states, order), values[order]) if len(order) else None

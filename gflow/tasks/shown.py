"""What a run shows of itself: objects drawn once, for all its pictures."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

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
    env: Any
    objects: Any
    condition: Tensor | None
    log_reward: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, context: Context, count: int) -> "Shown":
        """Objects drawn by a generator of their own.

        They are those of the evaluation at this step if that drew as many, so that rewards which
        remember what they scored score nothing anew. Where the environment is not among the
        conditions that the sampler is told, they are for drawn conditions.
        """
        trainer, env, policy = context.trainer, context.env, context.policy
        generator = context.evaluation_generator()
        told = context.conditions is not None and context.conditions.chosen
        sampler, condition = context.sampler, None
        if policy is None or not told or env.condition_dim:
            sampler, policy = trainer.sampler, trainer.evaluated_policy
            draw = trainer.condition
            condition = None if draw is None else draw(count, generator)
        batch = sampler.forward(
            policy, count, condition=condition, generator=generator, device=trainer.device
        )
        asked = trainer.env if condition is not None else env
        values = object_log_reward(asked, batch.final_states, condition)
        return cls(context, context.task, env, batch.final_states, condition, values)

    @property
    def count(self) -> int:
        """B."""
        return batch_size(self.objects)

    @cached_property
    def target(self) -> "tuple[Any, Tensor] | None":
        """All objects and their (X,) exact probabilities at the solution, where these are listed.

        None else, for games, and where the law depends on conditions.
        """
        from gflow.tasks.games import GAMES
        from gflow.tasks.measure import ELSEWHERE, solution_of

        context, graph = self.context, self.context.graph
        told = context.env is not context.trainer.env
        kind = context.trainer.objective.solution
        if graph is None or kind in GAMES or (told and kind in ELSEWHERE):
            return None
        if self.condition is not None or context.env.condition_dim:
            return None
        if not context.task.has_exact_law(context.env):
            return None
        found = solution_of(context, graph)
        return None if found is None else (take(graph.states, graph.objects), found[0].exp())

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

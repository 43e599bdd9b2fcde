"""Exact samples as a behaviour: trajectories drawn backward from draws of the target itself."""

from collections.abc import Callable
from typing import Any

import torch

from gflow.behaviours.base import Behaviour, Sampling
from gflow.bounds import Share
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.exact.graph import StateGraph
from gflow.objective import Objective
from gflow.source import Source
from gflow.state import batch_size, take, to_device
from gflow.trajectories import Trajectories

Objects = Callable[[int, torch.Generator | None], Any]
"""(count, generator) to that many finished objects, each an independent draw of the target."""


class ExactSamples(Behaviour):
    """Trajectories drawn with P_B from exact samples of the target, and a share of fresh ones.

    For targets that can be sampled: to test a sampler against what it should learn, to train it by
    maximum likelihood, or to see what an objective does if no mode is ever missed. A data set goes
    through `BackwardReplay`.

    Args:
        objects: Draws from the target; by default `Environment.exact_objects` of the environment.
        share: Share of the batch that ends in exact samples.

    Raises:
        ConfigError: If the share is none.
    """

    name = "exact"

    @checked
    def __init__(self, objects: Objects | None = None, share: Share = 1.0) -> None:
        self.objects, self.share = objects, share
        self.gives = Source.TARGET if share == 1 else Source.OWN | Source.TARGET

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only where the target can be sampled, and trajectories drawn backward from it."""
        if env.num_players > 1:
            return (
                "players have rewards of their own, so that there is no target to sample. Use "
                "on_policy, or refreshed with its memory of games."
            )
        if not env.has_backward:
            return (
                "it walks back from its objects, and no moves back are defined here. Use on_policy."
            )
        if env.condition_dim:
            return (
                "its targets depend on a condition, and exact samples are drawn without one. Use "
                "backward_replay, which takes the conditions of its objects."
            )
        if self.objects is None and not env.has_exact_objects:
            return (
                "its target has no exact samples. Pass a function that draws them, in Python "
                "ExactSamples(objects=...), or use backward_replay with data."
            )
        return super().refusal(env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Some fresh trajectories, and some that end in exact samples.

        Raises:
            ConfigError: If the function gives another number of objects.
        """
        exact = max(1, round(self.share * count))
        generator, device = sampling.generator, sampling.device
        if self.objects is None:
            drawn = sampling.env.exact_objects(exact, generator, device)
        else:
            drawn = to_device(self.objects(exact, generator), device)
        if batch_size(drawn) != exact:
            raise ConfigError(
                f"ExactSamples: the function was asked for {exact} objects and gave "
                f"{batch_size(drawn)}."
            )
        parts = [sampling.fresh(count - exact)] if count > exact else []
        parts.append(sampling.sampler.backward(sampling.policy, drawn, generator=generator))
        return Trajectories.join(parts)


def draws_of(graph: StateGraph[Any]) -> Objects:
    """What draws from the target of an environment whose states are all listed.

    Args:
        graph: All states, from `enumerate_states`.
    """
    target = graph.log_target().exp()

    def draw(count: int, generator: torch.Generator | None) -> Any:
        on = target if generator is None else target.to(generator.device)
        rows = torch.multinomial(on, count, replacement=True, generator=generator)
        return take(graph.states, graph.objects[rows.to(graph.objects.device)])

    return draw

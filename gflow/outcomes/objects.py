"""All objects of an environment, where they can be listed; and trajectories back from any."""

from typing import Any

import torch

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.conditions.draws import ConditionSampler
from gflow.environment.discrete import DiscreteEnvironment
from gflow.exact.graph import enumerate_states
from gflow.outcomes.conditioned import outcome_reward
from gflow.outcomes.random_objects import wander
from gflow.outcomes.store import VisitedOutcomes
from gflow.source import Source
from gflow.state import batch_size, device_of, take, to_device
from gflow.trajectories import Trajectories

MOST = 1 << 18
"""More states than this are not listed for their objects."""


def listed_objects(env: DiscreteEnvironment[Any], most: int = MOST) -> Any:
    """All objects, or None where there are too many states, or these cannot be told apart.

    Args:
        env: The environment.
        most: Largest number of keys of states.
    """
    if not env.has_keys or env.num_keys is None or env.num_keys > most:
        return None
    states = env.all_states()
    if states is None:
        graph = enumerate_states(env)
        return take(graph.states, graph.objects)
    own = env.key(states) == torch.arange(env.num_keys)
    return take(states, (own & env.can_end(states)).nonzero().squeeze(1))


class ObjectDraws:
    """Objects drawn evenly where they can be listed, else those that random moves lead to.

    Args:
        env: The environment.
        most: As of `listed_objects`.
    """

    def __init__(self, env: DiscreteEnvironment[Any], most: int = MOST) -> None:
        self.env, self.objects = env, listed_objects(env, most)

    def __call__(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Any:
        """`count` finished objects."""
        if self.objects is None:
            return wander(self.env, count, generator, device)
        if device_of(self.objects) != torch.device(device):
            self.objects = to_device(self.objects, device)
        rows = torch.randint(batch_size(self.objects), (count,), generator=generator, device=device)
        return take(self.objects, rows)


class OutcomeDraws(ConditionSampler):
    """The outcomes of objects that are drawn: evenly, or by random moves (see `ObjectDraws`).

    Args:
        env: An outcome-conditioned environment.
        draws: Where objects come from.
    """

    def __init__(self, env: DiscreteEnvironment[Any], draws: ObjectDraws) -> None:
        self.reward, self.draws = outcome_reward(env, "OutcomeDraws"), draws

    def __call__(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """(count, C) outcomes."""
        device = torch.device("cpu") if generator is None else generator.device
        return self.reward.outcomes(self.draws(count, generator, device))


class Remembered(Around):
    """Another behaviour's trajectories, whose outcomes are remembered to be asked for again.

    They are added to the trainer's conditions where these are `VisitedOutcomes`.

    Args:
        inner: Where trajectories come from, told what they achieve.
    """

    name = "remembered"

    def __init__(self, inner: Behaviour) -> None:
        super().__init__(inner)
        self.gives = inner.gives

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Those of the inner behaviour."""
        batch = self.inner.collect(sampling, count)
        if isinstance(sampling.condition, VisitedOutcomes):
            objects = batch.final_states
            sampling.condition.add(outcome_reward(sampling.env, "Remembered").outcomes(objects))
        return batch


class WalkedBack(Behaviour):
    """Trajectories back from objects that are drawn, each told what it achieves.

    The move back is drawn from the policy's P_B for that outcome. For the outcome that each is told,
    these are exact samples (`mle` learns from them, as long as P_B is fixed). Where objects can be drawn evenly
    this is the surest way to see all of them, and asks nothing of the policy.

    Args:
        draws: Where objects come from.
    """

    name = "walked_back"
    gives = Source.TARGET

    def __init__(self, draws: ObjectDraws) -> None:
        self.draws = draws

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories."""
        objects = self.draws(count, sampling.generator, sampling.device)
        told = outcome_reward(sampling.env, "WalkedBack").outcomes(objects)
        return sampling.sampler.backward(
            sampling.policy, objects, condition=told, generator=sampling.generator
        )

"""All objects of an environment, where they can be listed; and trajectories back from any."""

from collections.abc import Callable
from typing import Any

import torch

from gflow.behaviours.base import Around, Behaviour, Sampling
from gflow.bounds import Part, Positive
from gflow.checks import checked
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.errors import ConfigError
from gflow.exact.graph import enumerate_states
from gflow.objective import Objective
from gflow.outcomes.conditioned import outcome_reward
from gflow.outcomes.random_objects import wander
from gflow.outcomes.store import VisitedOutcomes
from gflow.policies.base import Policy, PolicyOutput
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


Draws = Callable[[int, torch.Generator | None, torch.device | str], Any]
"""(count, generator, device) to that many finished objects."""


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

    The move back is drawn from the policy's P_B for that outcome. For the outcome that each is told
    these are exact samples. Where objects can be drawn evenly this is the surest way to see all of
    them, and asks nothing of the policy.

    P_B seldom comes through some states, whose flows to the outcome are then small, and the sum of
    what a network makes up for many of those spoils conversion. So a share of the walks is skewed:
    each has random preferences of its own among the moves back. They are cut after the source, as
    trajectories that begin elsewhere, so that what learns from samples of P_B can leave them out.
    So are walks that are told the outcome of another object, which show that flows are next to zero
    where an outcome can no longer be reached.

    Args:
        draws: Where objects come from.
        skewed: Share of the batch that is walked back by random preferences.
        spread: Largest standard deviation of these, in nats.
        mismatched: Share of the batch that is walked back so, and told another outcome.
    """

    name = "walked_back"
    gives = Source.TARGET

    @checked
    def __init__(
        self,
        draws: Draws,
        skewed: Part = 0.0,
        spread: Positive = 3.0,
        mismatched: Part = 0.0,
    ) -> None:
        if skewed + mismatched >= 1:
            raise ConfigError(
                f"WalkedBack: skewed and mismatched must leave something of the batch, got "
                f"{skewed:g} and {mismatched:g}."
            )
        self.draws, self.skewed, self.spread = draws, skewed, spread
        self.mismatched = mismatched

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Objectives that need trajectories from the source, if some begin elsewhere."""
        if (self.skewed or self.mismatched) and objective.needs.from_source:
            return (
                "some of its walks begin elsewhere than at the source. Use an objective that "
                "balances parts (db, subtb), or skewed=0 and mismatched=0."
            )
        return super().refusal(env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories: those by P_B, then the skewed and the mismatched ones."""
        skewed, wrong = round(self.skewed * count), round(self.mismatched * count)
        apart = min(skewed + wrong, count - 1)
        parts = [self._walked(sampling, count - apart)]
        if apart:
            batch = self._walked(sampling, apart, by_chance=True, wrong=min(wrong, apart))
            long = (batch.length > 1).nonzero().squeeze(1)
            if len(long):
                batch = batch.select(long)
                parts.append(batch.part(torch.ones_like(batch.length), batch.length))
        return Trajectories.join(parts)

    def _walked(
        self, sampling: Sampling, count: int, by_chance: bool = False, wrong: int = 0
    ) -> Trajectories[Any]:
        g, device, env = sampling.generator, sampling.device, sampling.env
        objects = self.draws(count, g, device)
        reward = outcome_reward(env, "WalkedBack")
        told = reward.outcomes(objects)
        if not by_chance:
            return sampling.sampler.backward(sampling.policy, objects, condition=told, generator=g)
        found = require_numbered(env, "WalkedBack", "Moves back are not numbered there.")
        spread = self.spread * torch.rand(count, 1, generator=g, device=device)
        shape = (count, found.num_backward_actions)
        likes = spread * torch.randn(shape, generator=g, device=device)
        if wrong:
            others = reward.outcomes(self.draws(wrong, g, device))
            told = torch.cat([told[:-wrong], others])
        log_reward = env.target_log_reward(objects, told)
        batch = sampling.sampler.backward(
            _Preferences(), objects, log_reward=log_reward, condition=likes, generator=g
        )
        return batch.told(told, log_reward)


class _Preferences(Policy):
    """Moves back by the preferences that each trajectory is given as its condition."""

    backward = "learned"

    def forward(
        self, env: Environment[Any], states: Any, condition: torch.Tensor | None = None
    ) -> PolicyOutput:
        raise NotImplementedError  # nothing is walked forward

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: torch.Tensor | None = None
    ) -> torch.Tensor | None:
        return condition

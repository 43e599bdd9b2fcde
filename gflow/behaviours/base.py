"""Behaviours: where the trajectories of a training batch come from.

A behaviour decides which trajectories are trained on and nothing else: what objectives read is
evaluated afterwards under the policy as it is. So every behaviour works with every objective that
learns from the `Source`s that it gives.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.bounds import Part
from gflow.checks import checked
from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.objective import NO_MARGINALS, Objective
from gflow.policies.base import Policy
from gflow.sampling.exploration import ON_POLICY, Exploration
from gflow.sampling.sampler import Sampler
from gflow.shown import in_a_line
from gflow.source import Source, source_refusal
from gflow.trajectories import Trajectories


@dataclass(frozen=True)
class Sampling:
    """What a behaviour samples with.

    Attributes:
        policy: The policy that is trained.
        sampler: Draws trajectories of the environment.
        exploration: How to explore at the present step.
        condition: Draws conditions, or None.
        generator: Source of all randomness.
        device: Where to sample.
        record: Whether fresh trajectories keep what the loss can use (`Sampler.forward`).
    """

    policy: Policy
    sampler: Sampler
    exploration: Exploration = ON_POLICY
    condition: ConditionSampler | None = None
    generator: torch.Generator | None = None
    device: torch.device | str = "cpu"
    record: bool = False

    @property
    def env(self) -> Environment[Any]:
        """The environment."""
        return self.sampler.env

    def fresh(self, count: int, limit: int | None = None) -> Trajectories[Any]:
        """`count` new trajectories of the policy as explored."""
        return self.sampler.forward(
            self.policy,
            count,
            exploration=self.exploration,
            condition=self.conditions(count),
            limit=limit,
            generator=self.generator,
            device=self.device,
            record=self.record,
        )

    def conditions(self, count: int) -> Tensor | None:
        """(count, C) new conditions, or None."""
        return None if self.condition is None else self.condition(count, self.generator)


class Behaviour(ABC):
    """Collects the trajectories of a training batch.

    Attributes:
        name: Short name, as on the command line.
        gives: Where its trajectories come from if nothing is explored.
        remembers: Whether all batches come from a memory of its own, of its `capacity`.
        needs_marginals: Whether it draws from the conditionals of a `MarginalPolicy`.
    """

    name: ClassVar[str]
    gives: Source = Source.OTHER
    remembers: ClassVar[bool] = False
    needs_marginals: bool = False

    @property
    def further_objective(self) -> Objective | None:
        """What batches from `further` are trained by; None for the trainer's own objective.

        It has no parameters of its own.
        """
        return None

    @abstractmethod
    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` trajectories to train on."""

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Why this behaviour cannot serve `objective` on `env` and what would, or None."""
        return source_refusal(self.gives, objective.learns_from)

    def further(self, sampling: Sampling) -> Iterator[Trajectories[Any]]:
        """Batches for further gradient steps after that of a batch; none by default.

        Each is drawn after the step on the one before.
        """
        yield from ()

    @property
    def metrics(self) -> Mapping[str, Tensor | float]:
        """Numbers of the batch collected last, for the training record; none by default."""
        return {}

    def check(self, env: Environment[Any], objective: Objective) -> None:
        """Refuse an environment or an objective that the behaviour cannot serve.

        Raises:
            IncompatibleError: With the reason and what would work.
        """
        reason = self.refusal(env, objective)
        if reason is not None:
            raise IncompatibleError(
                f"{type(self).__name__} cannot serve {type(objective).__name__} on {env.name}: "
                f"{reason}"
            )

    def check_policy(self, policy: Policy) -> None:
        """Refuse a policy that the behaviour cannot draw from.

        Raises:
            IncompatibleError: If it draws from conditionals, and the policy has none.
        """
        if self.needs_marginals and not policy.has_marginals:
            raise IncompatibleError(
                f"{type(self).__name__} cannot draw from this {type(policy).__name__}: "
                f"{NO_MARGINALS}"
            )

    def check_count(self, count: int) -> None:  # noqa: B027
        """Refuse batches of `count` trajectories if they are too few; none are by default.

        Raises:
            ConfigError: With the smallest number that will do.
        """

    __repr__ = in_a_line

    def state_dict(self) -> dict[str, Any]:
        """What the next batch depends on; nothing by default."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state_dict` gave."""


class Around(Behaviour):
    """A behaviour around another, `inner`, to which it leaves what it does not change.

    Args:
        inner: Where trajectories come from; the policy itself by default.
    """

    def __init__(self, inner: Behaviour | None = None) -> None:
        self.inner: Behaviour = OnPolicy() if inner is None else inner
        self.needs_marginals = self.inner.needs_marginals

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """What the inner behaviour refuses, and what does not go with what this one gives."""
        return self.inner.refusal(env, objective) or super().refusal(env, objective)

    def check(self, env: Environment[Any], objective: Objective) -> None:
        """Refuse what either refuses."""
        self.inner.check(env, objective)
        super().check(env, objective)

    def check_count(self, count: int) -> None:
        """What the inner behaviour refuses."""
        self.inner.check_count(count)

    @property
    def further_objective(self) -> Objective | None:
        """That of the inner behaviour."""
        return self.inner.further_objective

    def further(self, sampling: Sampling) -> Iterator[Trajectories[Any]]:
        """Those of the inner behaviour."""
        return self.inner.further(sampling)

    @property
    def metrics(self) -> Mapping[str, Tensor | float]:
        """Those of the inner behaviour."""
        return self.inner.metrics

    def state_dict(self) -> dict[str, Any]:
        """What the inner behaviour's next batch depends on."""
        return {"inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.inner.load_state_dict(state["inner"])


class OnPolicy(Behaviour):
    """Fresh trajectories of the policy, explored as the trainer says."""

    name = "on_policy"
    gives = Source.OWN

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """`count` fresh trajectories."""
        return sampling.fresh(count)


class Incomplete(Behaviour):
    """Fresh trajectories, a share of which stop after a random number of steps, unfinished.

    Unfinished trajectories cost no reward. Objectives with one residual per transition or
    sub-trajectory learn from them; the finished rest anchors the flows.

    Args:
        share: Share of the batch that is cut, below 1.

    Reference:
        Pan et al., Better Training of GFlowNets with Local Credit and Incomplete Trajectories,
        2023, https://arxiv.org/abs/2302.01687
    """

    name = "incomplete"

    @checked
    def __init__(self, share: Part = 0.5) -> None:
        self.share = share

    def refusal(self, env: Environment[Any], objective: Objective) -> str | None:
        """Only objectives that balance less than whole trajectories."""
        if objective.needs.whole:
            return (
                "it needs whole trajectories. Use detailed or sub-trajectory balance, or the "
                "on_policy behaviour."
            )
        return super().refusal(env, objective)

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        """Some whole trajectories, at least one, and some cut after an equal number of steps."""
        cut = min(round(self.share * count), count - 1)
        parts = [sampling.fresh(count - cut)]
        if cut:
            g = sampling.generator
            on = g.device if g is not None else torch.device("cpu")
            limit = 1 + int(torch.randint(sampling.env.horizon, (), generator=g, device=on))
            parts.append(sampling.fresh(cut, limit))
        return Trajectories.join(parts)

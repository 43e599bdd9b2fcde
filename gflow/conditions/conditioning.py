"""Conditioning: what a sampler is told, in one object: the reward, the draws, and the reading."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from gflow.conditions.draws import ConditionSampler
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.shown import in_a_line

if TYPE_CHECKING:
    from gflow.behaviours.base import Behaviour
    from gflow.policies.base import Policy
    from gflow.terms import Needs
    from gflow.training.trainer import Trainer


class Conditioning(ABC):
    """What the sampler of a run is told.

    A subclass says how rewards depend on a condition (`environment`), which conditions are trained
    on (`sampler`), and how networks read them (`encoder`). One of your own is a class in a file,
    `gflow train ENV --condition file.py:Class`; the arguments of its `__init__` are flags.

        class Shifted(Conditioning):
            def __init__(self, high: float = 2.0) -> None:
                self.high = high

            def environment(self, env):
                return with_reward(env, ShiftedReward(env.reward), condition_dim=1)

            def sampler(self, env, own=None):
                return UniformCondition(0.0, self.high)

    Attributes:
        name: As on the command line.
    """

    name: ClassVar[str]

    def environment(self, env: Environment[Any]) -> Environment[Any]:
        """The environment whose reward reads the conditions; `env` itself, if it does already."""
        return env

    __repr__ = in_a_line

    @abstractmethod
    def sampler(
        self, env: Environment[Any], own: ConditionSampler | None = None
    ) -> ConditionSampler | None:
        """Draws the conditions of training batches.

        Args:
            env: What `environment` gave.
            own: Draws what the environment is told already.
        """

    def encoder(self, env: Environment[Any]) -> nn.Module | None:
        """A fresh module with `out_features` that reads conditions; None: as they are."""
        return None

    def policy(
        self,
        env: Environment[Any],
        plain: Environment[Any],
        needs: "Needs",
        build: Callable[[Environment[Any]], "Policy"],
    ) -> "Policy":
        """A policy that hears conditions: by default one whose network reads them.

        Args:
            env: The conditional environment.
            plain: What it was made of.
            needs: Heads that the objective needs.
            build: Builds a policy for an environment.
        """
        return build(env)

    def behaviour(self, env: Environment[Any], chosen: "Behaviour") -> "Behaviour":
        """Where training batches come from: what is chosen, or that wrapped."""
        return chosen

    def reference(self, env: Environment[Any]) -> Tensor | None:
        """(1, C) a condition by which the environment is what it was before; None: there is none.

        What is known of that environment alone (exact samples, pictures) is compared there.
        """
        return None

    def without(self, log_reward: Tensor, condition: Tensor) -> Tensor:
        """(B,) log-rewards by which objects of different conditions are compared.

        Args:
            log_reward: (B,) log-rewards under the conditions.
            condition: (B, C).
        """
        return log_reward

    def metrics(self, trainer: "Trainer") -> dict[str, float]:
        """Metrics about these conditions, of a run."""
        return {}

    def applied(self, env: Environment[Any]) -> Environment[Any]:
        """The conditional environment, which knows how its conditions are read."""
        made = self.environment(env)
        made = copy.copy(made) if made is env else made
        made.conditioning = self
        return made


class OwnConditions(Conditioning):
    """What the environment is told by itself, if anything: a graph, an image, an outcome."""

    name = "auto"

    def sampler(
        self, env: Environment[Any], own: ConditionSampler | None = None
    ) -> ConditionSampler | None:
        """As the task says.

        Raises:
            IncompatibleError: The environment reads conditions, and nobody says which.
        """
        return own

    def applied(self, env: Environment[Any]) -> Environment[Any]:
        """The environment as it is."""
        return env


class DrawnConditions(Conditioning):
    """Conditions of an environment that reads some already, drawn by a given sampler.

    Args:
        draw: The sampler.
    """

    def __init__(self, draw: ConditionSampler) -> None:
        self.draw = draw

    def sampler(
        self, env: Environment[Any], own: ConditionSampler | None = None
    ) -> ConditionSampler | None:
        """The sampler, if its conditions are as wide as those that the environment reads.

        Raises:
            IncompatibleError: If they are not.
        """
        width = self.draw(1).shape[1]
        if width != env.condition_dim and not env.source_reads_condition:
            reads = f"conditions of width {env.condition_dim}" if env.condition_dim else "none"
            raise IncompatibleError(
                f"{type(self.draw).__name__} draws conditions of width {width}, and {env.name} "
                f"reads {reads}. A Conditioning says by its `environment` how a reward reads them."
            )
        return self.draw

    def applied(self, env: Environment[Any]) -> Environment[Any]:
        """The environment as it is."""
        return env


def refuse_conditional(env: Environment[Any], what: str) -> None:
    """Refuse an environment that is told something already.

    Raises:
        IncompatibleError: It is.
    """
    if env.condition_dim or env.source_reads_condition:
        raise IncompatibleError(
            f"{what} would take the place of what {env.name} is told already. Leave --condition "
            f"out, or use an environment that is told nothing."
        )

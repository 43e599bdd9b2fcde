"""Rewards made of rewards.

A wrapper takes a reward and is one, so they compose: ``Tempered(Clipped(QED(), low=-5), beta=8)``.
The order is explicit because it changes the target: clipping then tempering is not the reverse.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.rewards.values import real

if TYPE_CHECKING:
    from gflow.environment.base import Environment
    from gflow.trajectories import Trajectories

S = TypeVar("S")


class Wrapper(LogReward[S]):
    """A reward whose values are those of another, each changed by itself.

    Args:
        reward: The other.
    """

    def __init__(self, reward: LogReward[S]) -> None:
        self.reward, self.has_partial = reward, reward.has_partial

    @abstractmethod
    def changed(self, value: Tensor, condition: Tensor | None) -> Tensor:
        """(B,) what becomes of (B,) log-rewards."""

    def inner_condition(self, condition: Tensor | None) -> Tensor | None:
        """What the other reward reads of the condition."""
        return condition

    def __call__(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        return self._of(self.reward(states, self.inner_condition(condition)), condition)

    def foresee(self, states: S) -> bool:
        """As the other reward can."""
        return self.reward.foresee(states)

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus energies, changed alike."""
        return self._of(self.reward.partial(states, self.inner_condition(condition)), condition)

    def of_trajectories(
        self,
        env: "Environment[Any]",
        trajectories: "Trajectories[S]",
        condition: Tensor | None = None,
    ) -> Tensor:
        """(N,) log R of all stored states."""
        inner = self.inner_condition(condition)
        return self._of(self.reward.of_trajectories(env, trajectories, inner), condition)

    def _of(self, value: Any, condition: Tensor | None) -> Tensor:
        """As floats first: whole numbers would round a temperature."""
        return self.changed(real(value, f"The reward {self.reward!r}"), condition)


class Tempered(Wrapper[S]):
    """R^beta: ``beta * log R``. beta > 1 sharpens, beta < 1 flattens."""

    def __init__(self, reward: LogReward[S], beta: float) -> None:
        if not beta > 0:
            raise ConfigError(f"Tempered: beta must be positive, got {beta}.")
        super().__init__(reward)
        self.beta = beta

    def changed(self, value: Tensor, condition: Tensor | None) -> Tensor:
        """(B,) multiplied by beta."""
        return self.beta * value

    def __repr__(self) -> str:
        return f"Tempered({self.reward!r}, beta={self.beta:g})"


class Clipped(Wrapper[S]):
    """log R kept within [low, high]; a plateau of the reward is one of the energy.

    With `low` objects whose reward is zero become possible: each gets R = e^low, so that n of them
    are sampled with a probability of at most n e^low / Z. Masks that leave them out are exact.
    """

    def __init__(
        self, reward: LogReward[S], low: float | None = None, high: float | None = None
    ) -> None:
        if low is not None and high is not None and low >= high:
            raise ConfigError(f"Clipped: low must be below high, got low={low}, high={high}.")
        super().__init__(reward)
        self.low, self.high = low, high

    def changed(self, value: Tensor, condition: Tensor | None) -> Tensor:
        """(B,) within the bounds."""
        return value.clamp(self.low, self.high)

    def __repr__(self) -> str:
        return f"Clipped({self.reward!r}, low={self.low}, high={self.high})"


class TemperatureConditional(Wrapper[S]):
    """R^beta with beta given per object: ``condition[:, -1] * log R``.

    What the other reward reads of a condition, if anything, comes before beta.
    """

    def changed(self, value: Tensor, condition: Tensor | None) -> Tensor:
        """(B,) multiplied by the condition."""
        if condition is None:
            raise ConfigError(
                "TemperatureConditional: no condition was given. Train and sample with a condition "
                "(B, 1) that holds the inverse temperature, e.g. from `UniformCondition`."
            )
        return condition[:, -1].to(value.dtype) * value

    def inner_condition(self, condition: Tensor | None) -> Tensor | None:
        """All but the last column, which is this wrapper's."""
        return condition[:, :-1] if condition is not None and condition.shape[1] > 1 else None

    def __repr__(self) -> str:
        return f"TemperatureConditional({self.reward!r})"


class TemperedEnvironment(TemperatureConditional[S]):
    """R^beta of an environment that itself says the energies of its unfinished objects.

    Args:
        env: The environment; its energies are multiplied by beta too.
    """

    def __init__(self, env: "Environment[S]") -> None:
        super().__init__(env.reward)
        self.env, self.has_partial = env, True

    def partial(self, states: S, condition: Tensor | None = None) -> Tensor:
        """(B,) minus the energies, times beta."""
        value = self.env.partial_log_reward(states, self.inner_condition(condition))
        return self._of(value, condition)

    def of_trajectories(
        self,
        env: "Environment[Any]",
        trajectories: "Trajectories[S]",
        condition: Tensor | None = None,
    ) -> Tensor:
        """(N,) energies of all stored states, one by one."""
        return self.partial(trajectories.states, condition)

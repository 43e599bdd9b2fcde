"""The reward of an environment as a reward of its states with noise."""

from typing import Any

from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.rewards.base import LogReward
from gflow.rewards.vector import VectorReward


class OfInner(LogReward[Any]):
    """log R of the inner states.

    Args:
        env: The environment whose reward it is.
    """

    def __init__(self, env: DiscreteEnvironment[Any]) -> None:
        self.env, self.reward, self.has_partial = env, env.reward, env.has_partial

    def __call__(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) log R."""
        if condition is None:
            return self.reward(states.inner)
        return self.reward(states.inner, condition)

    def partial(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) minus the energies that the environment gives its states."""
        return self.env.partial_log_reward(states.inner, condition)

    def __repr__(self) -> str:
        return repr(self.reward)


class ScoresOfInner(OfInner, VectorReward[Any]):
    """The same with several objectives.

    Args:
        env: The environment whose reward it is.
        reward: That reward.
    """

    def __init__(self, env: DiscreteEnvironment[Any], reward: VectorReward[Any]) -> None:
        super().__init__(env)
        self.scored, self.scalarization = reward, reward.scalarization
        self.num_scores, self.score_names = reward.num_scores, reward.score_names

    def scores(self, states: Any) -> Tensor:
        """(B, K) raw objectives of the inner states."""
        return self.scored.scores(states.inner)

    def from_scores(self, scores: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of objects whose scores are known."""
        return self.scored.from_scores(scores, condition)


def reward_of_inner(env: DiscreteEnvironment[Any]) -> LogReward[Any]:
    """The reward of `env` for its states with noise."""
    if isinstance(env.reward, VectorReward):
        return ScoresOfInner(env, env.reward)
    return OfInner(env)

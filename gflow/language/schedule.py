"""Reward temperatures that change while a sampler is trained."""

from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import Count, Temperature
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.language.prefixes import PrefixReward
from gflow.learner import Learner
from gflow.policies.base import Policy
from gflow.trajectories import Trajectories


class TemperatureSchedule(Learner):
    """The temperature of a reward, falling or rising linearly with the steps of training.

    Args:
        reward: Whose temperature it is.
        first: At the first step.
        last: From `steps` on.
        steps: Over how many.
    """

    @checked
    def __init__(
        self, reward: PrefixReward, first: Temperature, last: Temperature, steps: Count
    ) -> None:
        self.reward, self.first, self.last, self.steps = reward, first, last, steps
        self.module = nn.Module()
        self.step = 0
        reward.temperature = first

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Set the temperature of this step."""
        part = min(1.0, self.step / self.steps)
        self.reward.temperature = self.first + (self.last - self.first) * part
        self.step += 1
        return {"temperature": torch.tensor(self.reward.temperature)}

    def state_dict(self) -> dict[str, Any]:
        """Steps so far; the temperature that the next batch is sampled under."""
        return {"step": self.step, "temperature": self.reward.temperature}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.step, self.reward.temperature = state["step"], state["temperature"]

"""The reward of the E-step: how likely a latent is together with the row that is asked about."""

from typing import Any

import torch
from torch import Tensor

from gflow.em.model import LatentModel
from gflow.em.observations import Observations
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward


class JointReward(LogReward[Any]):
    """log R(z | row) = log p(data[row], z), without gradient.

    The condition (B, 1) is the number of a row. In proportion to it latents are distributed as
    p(z | x), and Z is p(x).

    Args:
        model: Gives log p(x, z).
        data: N rows of observations, or `Observations`.

    Attributes:
        data: The `Observations`.
    """

    def __init__(self, model: LatentModel, data: Any) -> None:
        if not isinstance(model, LatentModel):
            raise ConfigError(
                f"JointReward: the model must be a `LatentModel`, a torch module with "
                f"`log_prob(x, z)`, got {type(model).__name__}. Derive it from that class."
            )
        self.model, self.data = model, Observations.of(data)
        self.has_partial = model.has_partial

    def __call__(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) log p(x, z) of finished latents."""
        with torch.no_grad():
            return self.model.log_prob(self.data.rows(condition), states)

    def partial(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) what the model says of unfinished latents."""
        with torch.no_grad():
            return self.model.partial_log_prob(self.data.rows(condition), states)

    def __repr__(self) -> str:
        return f"JointReward({type(self.model).__name__}, {len(self.data)} rows)"


def joint_of(reward: LogReward[Any]) -> JointReward | None:
    """The `JointReward` that a reward is, or is made of; None if there is none."""
    waiting = [reward]
    while waiting:
        found = waiting.pop()
        if isinstance(found, JointReward):
            return found
        waiting += found.inner_rewards()
    return None

"""The reward of the E-step: how likely a latent is together with the row that is asked about."""

from itertools import chain
from typing import Any

import torch
from torch import Tensor

from gflow.em.model import LatentModel
from gflow.em.observations import Observations
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.state import device_of, to_device


class JointReward(LogReward[Any]):
    """log R(z | row) = log p(data[row], z), without gradient.

    The condition (B, 1) is the number of a row. In proportion to it latents are distributed as
    p(z | x), and Z is p(x). The model is asked where its parameters are, wherever latents come
    from: exact answers list these on the CPU.

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
            return self.model.log_prob(*self._brought(states, condition)).to(device_of(states))

    def partial(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) what the model says of unfinished latents."""
        with torch.no_grad():
            found = self.model.partial_log_prob(*self._brought(states, condition))
            return found.to(device_of(states))

    def _brought(self, states: Any, condition: Tensor | None) -> tuple[Any, Any]:
        """The rows that conditions call, and latents, where the model is."""
        tensor = next(chain(self.model.parameters(), self.model.buffers()), None)
        numbers = self.data.numbers(condition)
        if tensor is None:
            return self.data.at(numbers), states
        return self.data.at(numbers.to(tensor.device)), to_device(states, tensor.device)

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

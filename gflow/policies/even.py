"""The policy that knows nothing: zeros for every state."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.policies.base import Policy, PolicyOutput
from gflow.state import batch_size, tensors


class EvenPolicy(Policy):
    """Every legal action, forward and backward, with the same probability; nothing to learn.

    Where moves have densities it is the law that outputs of zero stand for: of diffusions the
    reference process.

    Args:
        num_outputs: Number of actions, or of the parameters of a density.
    """

    backward = "uniform"

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs

    @classmethod
    def of(cls, env: Environment[Any]) -> "EvenPolicy":
        """The one for an environment."""
        kind: Any = env
        return cls(kind.num_actions if env.numbered else kind.num_outputs)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """(N, A) zeros."""
        device = tensors(states)[0].device
        return PolicyOutput(torch.zeros(batch_size(states), self.num_outputs, device=device))

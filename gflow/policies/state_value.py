"""A network that gives one number per state, for objectives that learn something about states."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.policies.encoder import StateEncoder


class StateValue(nn.Module):
    """One number per state, linear in an encoding of it and without a bias.

    Objectives read differences of such numbers, in which a constant would cancel.

    Args:
        encoder: Encodes states.
    """

    def __init__(self, encoder: StateEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.out_features, 1, bias=False)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N,) values of N states of `env`, for conditions (N, C) or None."""
        value: Tensor = self.head(F.relu(self.encoder(env, states, condition)))
        return value.squeeze(-1)

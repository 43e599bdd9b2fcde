"""How networks read a condition: one layer, wherever there is something to be told."""

from typing import Any

from torch import Tensor, nn

from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.policies.heads import linear


class ConditionLayer(nn.Module):
    """What a network adds to its first layer for the condition that it is told.

    Args:
        env: Says the width of a condition, and what it is read with unless `encoder` is given.
        width: Units of the layer.
        encoder: Module mapping conditions (N, C) to features, with `out_features`; by default
            `Environment.condition_encoder`, or the condition as it is.
        owner: Whose layer this is, for messages.
        generator: For the initial weights.
    """

    def __init__(
        self,
        env: Environment[Any],
        width: int,
        encoder: nn.Module | None = None,
        owner: str = "This network",
        generator: Any = None,
    ) -> None:
        super().__init__()
        self.encoder = env.condition_encoder() if encoder is None else encoder
        self.owner = owner
        read: int = getattr(self.encoder, "out_features", env.condition_dim)
        self.layer = linear(read, width, generator, bias=False)

    def start_deaf(self) -> "ConditionLayer":
        """Zero the weights: at the start the condition changes nothing. Returns itself."""
        nn.init.zeros_(self.layer.weight)
        return self

    def forward(self, condition: Tensor | None) -> Tensor:
        """(N, width) for conditions (N, C).

        Raises:
            ConfigError: If there are none.
        """
        if condition is None:
            raise ConfigError(f"{self.owner}: this network is conditional and got no condition.")
        read = condition.to(self.layer.weight.dtype)
        shift: Tensor = self.layer(read if self.encoder is None else self.encoder(read))
        return shift


def told(
    env: Environment[Any],
    width: int,
    encoder: nn.Module | None = None,
    owner: str = "This network",
    generator: Any = None,
) -> ConditionLayer | None:
    """A `ConditionLayer` where the environment reads conditions, else None."""
    if not env.condition_dim:
        return None
    return ConditionLayer(env, width, encoder, owner, generator)

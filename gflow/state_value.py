"""A network that gives one number per state, for objectives that learn something about states."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.env import Environment
from gflow.errors import ConfigError, IncompatibleError


class StateValue(nn.Module):
    """A multi-layer perceptron over categorical features, with one output without a bias.

    Objectives read differences of such numbers, in which a constant would cancel.

    Args:
        env: Gives `feature_sizes` and `condition_dim`.
        width: Units of each hidden layer.
        depth: Number of hidden layers, at least 1.
        generator: For the initial weights.

    Raises:
        IncompatibleError: If the environment declares no `feature_sizes`.
    """

    offset: Tensor

    def __init__(
        self,
        env: Environment[Any],
        width: int = 64,
        depth: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not env.feature_sizes:
            raise IncompatibleError(
                f"StateValue reads categorical features, and {env.name} declares none. Set "
                f"`feature_sizes` (one number per column of `encode`), or use another network."
            )
        if width < 1 or depth < 1:
            raise ConfigError(
                f"StateValue: width and depth must be positive, got {width}, {depth}."
            )
        sizes = torch.tensor(env.feature_sizes)
        self.register_buffer("offset", sizes.cumsum(0) - sizes, persistent=False)
        self.table = nn.Parameter(torch.empty(int(sizes.sum()), width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.condition_layer: nn.Linear | None = None
        if env.condition_dim:
            self.condition_layer = nn.Linear(env.condition_dim, width, bias=False)
        self.hidden: Any = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.head = nn.Linear(width, 1, bias=False)
        nn.init.normal_(self.table, std=len(env.feature_sizes) ** -0.5, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                for parameter in module.parameters():
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, inputs: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N,) values of encoded states (N, K), for conditions (N, C) or None."""
        x = F.embedding_bag(inputs.reshape(len(inputs), -1) + self.offset, self.table, mode="sum")
        x = x + self.bias
        if self.condition_layer is not None:
            if condition is None:
                raise ConfigError("StateValue: this network is conditional and got no condition.")
            x = x + self.condition_layer(condition)
        x = F.relu(x)
        for layer in self.hidden:
            x = F.relu(layer(x))
        value: Tensor = self.head(x)
        return value.squeeze(-1)

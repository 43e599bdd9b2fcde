"""State encoders: what networks beside the policy read states with."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.policies.told import told


class StateEncoder(nn.Module, ABC):
    """Maps states to vectors.

    Attributes:
        out_features: D.
    """

    out_features: int

    @abstractmethod
    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, D) vectors of N states.

        Args:
            env: Their environment.
            states: N states.
            condition: (N, C) the condition of each, or None.
        """


class FeatureEncoder(StateEncoder):
    """Categorical features through a sum of embeddings and hidden layers.

    Args:
        env: Gives the sizes.
        width: D, units of each layer.
        depth: Layers, the embedding included.

    Raises:
        IncompatibleError: If the environment declares no `feature_sizes`.
    """

    offset: Tensor

    def __init__(self, env: Environment[Any], width: int = 128, depth: int = 1) -> None:
        super().__init__()
        if not env.feature_sizes:
            raise IncompatibleError(
                f"FeatureEncoder reads categorical features, and {env.name} declares none. Give "
                f"the state encoder that suits its states."
            )
        sizes = torch.tensor(env.feature_sizes)
        self.register_buffer("offset", sizes.cumsum(0) - sizes, persistent=False)
        table = torch.empty(int(sizes.sum()), width)
        self.table = nn.Parameter(table.normal_(0, len(env.feature_sizes) ** -0.5))
        self.bias = nn.Parameter(torch.zeros(width))
        self.told = told(env, width, owner="FeatureEncoder")
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.out_features = width

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, D) activations of the last layer.

        Raises:
            ConfigError: If the environment reads conditions and there is none.
        """
        features = env.encode(states) + self.offset
        x = F.embedding_bag(features, self.table, mode="sum") + self.bias
        if self.told is not None:
            x = x + self.told(condition)
        for layer in self.hidden:
            x = layer(F.relu(x))
        return x

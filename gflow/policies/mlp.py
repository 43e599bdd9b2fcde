"""A perceptron over categorical features: the policy of most environments."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.environment.discrete import require_numbered
from gflow.errors import ConfigError, IncompatibleError
from gflow.policies.base import Backward, check_backward
from gflow.policies.changes import ChangesPolicy
from gflow.policies.heads import Heads, linear
from gflow.policies.told import told


class MLPPolicy(ChangesPolicy):
    """A multi-layer perceptron over categorical features.

    The first layer is a sum of embeddings, one per feature, which equals a matrix product with
    concatenated one-hot codes and costs a fraction of it; of many features only those are read that
    a move changes (`ChangesPolicy`). One trunk carries all heads.

    Args:
        env: Gives the sizes of inputs and heads.
        width: Units of each hidden layer.
        depth: Number of hidden layers, at least 1.
        backward: "learned", "uniform" or "maxent".
        log_flow: Whether to have a log-flow head (detailed balance, sub-trajectory balance), or how
            many: `Needs.flows`.
        condition_encoder: Module mapping the condition (N, C) to features, with `out_features`;
            by default that of the environment.
        generator: For the initial weights.

    Raises:
        IncompatibleError: If the environment declares no `feature_sizes`, or moves have densities.
    """

    offset: Tensor

    def __init__(
        self,
        env: Environment[Any],
        width: int = 256,
        depth: int = 2,
        backward: Backward = "learned",
        log_flow: int = 0,
        condition_encoder: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        env = require_numbered(env, "MLPPolicy", "Use a policy made for it.")
        if not env.feature_sizes:
            raise IncompatibleError(
                f"MLPPolicy reads categorical features, and {env.name} declares none. Set "
                f"`feature_sizes` (one number per column of `encode`), or use a policy made for it."
            )
        if width < 1 or depth < 1:
            raise ConfigError(f"MLPPolicy: width and depth must be positive, got {width}, {depth}.")
        check_backward(env, backward)
        self.backward = backward
        self.has_log_flow = bool(log_flow)
        self.num_features = len(env.feature_sizes)
        sizes = torch.tensor(env.feature_sizes)
        self.register_buffer("offset", sizes.cumsum(0) - sizes, persistent=False)
        bound = len(env.feature_sizes) ** -0.5
        table = torch.empty(int(sizes.sum()), width)
        self.table = nn.Parameter(table.normal_(0, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(width))
        self.told = told(env, width, condition_encoder, "MLPPolicy", generator)
        self.hidden: Any = nn.ModuleList(linear(width, width, generator) for _ in range(depth - 1))
        undo = env.num_backward_actions if backward == "learned" else 0
        self.head = Heads(width, env.num_actions, undo, log_flow, generator)

    def features(self, env: Environment[Any], states: Any) -> Tensor:
        """(N, K) int64 rows of the table."""
        rows: Tensor = env.encode(states) + self.offset
        return rows

    def first(self, features: Tensor) -> Tensor:
        """(N, width) sums of rows."""
        return F.embedding_bag(features, self.table, mode="sum") + self.bias

    def change(self, column: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """(M, width) the new row less the old one."""
        return F.embedding(after, self.table) - F.embedding(before, self.table)

    def rest(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(N, width) activations of the last hidden layer."""
        if self.told is not None:
            x = x + self.told(condition)
        x = x.relu()
        for layer in self.hidden:
            x = F.linear(x, layer.weight, layer.bias).relu_()
        return x

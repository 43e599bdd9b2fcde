"""A policy for graphs: a perceptron over the bits of the adjacency, guided by the score."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.dags.env import Dags, DagState
from gflow.errors import ConfigError
from gflow.policies.base import Backward, check_backward
from gflow.policies.changes import ChangesPolicy
from gflow.policies.heads import Heads
from gflow.policies.told import ConditionLayer, told

Guide = Callable[[DagState], Tensor]


class DagPolicy(ChangesPolicy):
    r"""A multi-layer perceptron over the d^2 bits of the adjacency.

    With a guide, its logits are added to those of the network. The best one is the log of the flow
    into each child, at the solution

    .. math:: \log \frac{P_F(s' \mid s)}{P_F(\text{stop} \mid s)}
              = \log \frac{F(s') P_B(s \mid s')}{R(s)}

    which ranges over hundreds of nats; what `gflow.envs.dags.guide` knows of it is most of it, and
    the network is left with the rest. Told a condition, it also learns by how much the guide must
    be multiplied for that.

    Args:
        env: The graphs.
        width: Units of each hidden layer.
        depth: Number of hidden layers, at least 1.
        backward: "learned", "uniform" or "maxent" (which is uniform here).
        log_flow: Whether to have a log-flow head.
        guide: ``states -> (B, d^2 + 1)`` logits to start from, or None for none.
    """

    many = 800

    def __init__(
        self,
        env: Dags,
        width: int = 256,
        depth: int = 2,
        backward: Backward = "uniform",
        log_flow: bool = False,
        guide: Guide | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ConfigError(f"DagPolicy: width and depth must be positive, got {width}, {depth}.")
        check_backward(env, backward)
        self.backward, self.has_log_flow, self.guide = backward, log_flow, guide
        self.num_features = env.variables**2
        sizes = [env.variables**2] + [width] * depth
        self.hidden: Any = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        undo = env.num_backward_actions if backward == "learned" else 0
        self.head = Heads(width, env.num_actions, undo, log_flow)
        self.told = told(env, width, owner="DagPolicy")
        self.gain: ConditionLayer | None = None
        if guide is not None and env.condition_dim:
            self.gain = ConditionLayer(env, 1, owner="DagPolicy").start_deaf()

    def features(self, env: Environment[Any], states: DagState) -> Tensor:
        """(B, d^2) bool the edges."""
        return states.adjacency.flatten(1)

    def first(self, features: Tensor) -> Tensor:
        """(B, width) the first layer."""
        layer = self.hidden[0]
        return F.linear(features.to(layer.weight.dtype), layer.weight, layer.bias)

    def change(self, column: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """(M, width) the weights of an edge that is new, or less those of one that is gone."""
        weight: Tensor = self.hidden[0].weight
        sign = after.to(weight.dtype) - before.to(weight.dtype)
        return F.embedding(column, weight.T) * sign[:, None]

    def rest(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B, width) activations of the last hidden layer."""
        if self.told is not None:
            x = x + self.told(condition)
        x = F.relu(x)
        for layer in self.hidden[1:]:
            x = F.relu(F.linear(x, layer.weight, layer.bias))
        return x

    def adjusted(self, logits: Tensor, states: DagState, condition: Tensor | None) -> Tensor:
        """(B, d^2 + 1) logits and those of the guide."""
        if self.guide is None:
            return logits
        known = self.guide(states).to(logits.dtype)
        return logits + (known if self.gain is None else known * (1 + self.gain(condition)))

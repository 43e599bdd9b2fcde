"""A policy for graphs: a perceptron over the bits of the adjacency, guided by the score."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.dags.env import Dags, DagState
from gflow.errors import ConfigError
from gflow.policies.base import Backward, Policy, PolicyOutput, check_backward, zero_rows

Guide = Callable[[DagState], Tensor]


class DagPolicy(Policy):
    r"""A multi-layer perceptron over the d^2 bits of the adjacency.

    With a guide, its logits are added to those of the network. The best one is the log of the flow
    into each child, at the solution

    .. math:: \log \frac{P_F(s' \mid s)}{P_F(\text{stop} \mid s)}
              = \log \frac{F(s') P_B(s \mid s')}{R(s)}

    which ranges over hundreds of nats; what `gflow.envs.dags.guide` knows of it is most of it, and
    the network is left with the rest.

    Args:
        env: The graphs.
        width: Units of each hidden layer.
        depth: Number of hidden layers, at least 1.
        backward: "learned", "uniform" or "maxent" (which is uniform here).
        log_flow: Whether to have a log-flow head.
        guide: ``states -> (B, d^2 + 1)`` logits to start from, or None for none.
    """

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
        self.num_actions = env.num_actions
        self.num_backward = env.num_backward_actions if backward == "learned" else 0
        sizes = [env.variables**2] + [width] * depth
        self.hidden: Any = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        self.head = nn.Linear(width, self.num_actions + self.num_backward + log_flow)

    def _read(self, states: DagState) -> tuple[Tensor, Tensor | None]:
        """(B, d^2) bits and the guide's (B, d^2 + 1) logits, or None."""
        bits = states.adjacency.flatten(1).to(self.head.weight.dtype)
        if self.guide is None:
            return bits, None
        return bits, self.guide(states).to(bits.dtype)

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads."""
        bits, guide = self._read(states)
        out = self.head(self._trunk(bits))
        a, p = self.num_actions, self.num_backward
        return PolicyOutput(
            out[:, :a] if guide is None else out[:, :a] + guide,
            out[:, a : a + p] if p else None,
            out[:, -1] if self.has_log_flow else None,
        )

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward rows of the head alone."""
        bits, guide = self._read(states)
        a, head = self.num_actions, self.head
        if a == head.out_features:
            out = F.linear(self._trunk(bits), head.weight, head.bias)
        else:
            out = F.linear(self._trunk(bits), head.weight[:a], head.bias[:a])
        return out if guide is None else out + guide

    def zero_backward_head(self) -> None:
        """Zero the backward rows of the head."""
        if not self.num_backward:
            super().zero_backward_head()
        zero_rows(self.head, slice(self.num_actions, self.num_actions + self.num_backward))

    def _trunk(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = F.relu(F.linear(x, layer.weight, layer.bias))
        return x

"""Heads of policies, written once: rows of one last layer, or a network for each."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.policies.base import Policy, PolicyOutput


class Heads(nn.Linear):
    """One linear layer whose rows are forward logits, backward logits and log F, in this order.

    Heads share what they read, (..., width). Rows that nobody asks for are not computed.

    Args:
        width: Features that are read.
        forward: A, rows of forward logits.
        backward: P, rows of backward logits; 0 for a fixed backward policy.
        log_flow: How many rows of log F there are: 1, or one for each player of a game.
        generator: For the initial weights.
    """

    def __init__(
        self,
        width: int,
        forward: int,
        backward: int = 0,
        log_flow: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        rows = forward + backward + log_flow
        super().__init__(width, rows, device=None if generator is None else "meta")
        if generator is not None:
            redraw(self.to_empty(device="cpu"), generator)
        self.num_forward, self.num_backward, self.num_flows = forward, backward, int(log_flow)

    def all(self, read: Tensor) -> PolicyOutput:
        """What all heads say."""
        out = F.linear(read, self.weight, self.bias)
        a, p = self.num_forward, self.num_backward
        return PolicyOutput(
            out[..., :a],
            out[..., a : a + p] if p else None,
            self._flow(out),
        )

    def _flow(self, out: Tensor) -> Tensor | None:
        if self.num_flows > 1:
            return out[..., -self.num_flows :]
        return out[..., -1] if self.num_flows else None

    def ahead(self, read: Tensor) -> Tensor:
        """(..., A) the forward rows alone."""
        a = self.num_forward
        if a == self.out_features:
            return F.linear(read, self.weight, self.bias)
        return F.linear(read, self.weight[:a], self.bias[:a])

    def back(self, read: Tensor) -> Tensor:
        """(..., P) the backward rows alone."""
        return F.linear(read, self.weight[self.backward_rows], self.bias[self.backward_rows])

    @property
    def backward_rows(self) -> slice:
        """Which rows are backward logits."""
        return slice(self.num_forward, self.num_forward + self.num_backward)


class TrunkPolicy(Policy):
    """A policy whose heads are rows of one layer over a trunk that they share.

    A subclass sets `backward`, `has_log_flow` and `head`, and defines `trunk`.
    """

    head: Heads

    @abstractmethod
    def trunk(self, env: Environment[Any], states: Any, condition: Tensor | None = None) -> Tensor:
        """(N, width) what the heads read of N states."""

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        return self.head.all(self.trunk(env, states, condition))

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) the forward rows of the last layer alone."""
        return self.head.ahead(self.trunk(env, states, condition))

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) the backward rows of the last layer alone."""
        if not self.head.num_backward:
            return None
        return self.head.back(self.trunk(env, states, condition))

    def backward_layers(self) -> list[tuple[nn.Linear, slice]]:
        """The backward rows of the last layer."""
        return [(self.head, self.head.backward_rows)] if self.head.num_backward else []


class ApartPolicy(Policy):
    """A policy with a network for each head, all of which read the same.

    A subclass sets `backward`, `has_log_flow` and the networks, and defines `read`.

    Attributes:
        ahead: What is read to (N, A) forward logits.
        back: To (N, P) backward logits; None for a fixed backward policy.
        flow: To (N, 1) log F, or None.
    """

    ahead: nn.Module
    back: nn.Module | None
    flow: nn.Module | None

    @abstractmethod
    def read(self, env: Environment[Any], states: Any, condition: Tensor | None = None) -> Any:
        """What the networks read of N states."""

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        read = self.read(env, states, condition)
        return PolicyOutput(
            self.ahead(read),
            None if self.back is None else self.back(read),
            None if self.flow is None else self.flow(read).squeeze(-1),
        )

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) of the forward network alone."""
        out: Tensor = self.ahead(self.read(env, states, condition))
        return out

    def backward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) of the backward network alone, or None."""
        if self.back is None:
            return None
        out: Tensor = self.back(self.read(env, states, condition))
        return out


def linear(
    inputs: int, outputs: int, generator: torch.Generator | None, bias: bool = True
) -> nn.Linear:
    """A linear layer with PyTorch's own initial weights, from a generator if one is given."""
    if generator is None:
        return nn.Linear(inputs, outputs, bias=bias)
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    redraw(layer, generator)
    return layer


def redraw(layer: nn.Linear, generator: torch.Generator) -> None:
    """Fill a linear layer with PyTorch's own initial weights, from a generator."""
    bound = layer.in_features**-0.5
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)

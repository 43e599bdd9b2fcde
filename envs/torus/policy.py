"""The network of the torus."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.torus.env import Torus, TorusState
from gflow.errors import ConfigError
from gflow.policies.base import Policy, PolicyOutput, linear

REACH = 0.5
"""Radians: at the start the means of the components lie within this of 0, so that moves are short.

With long moves each would forget the last, the backward policy would learn to forget too, and the
two agree on a last move that draws from a product of mixtures wherever it starts: a saddle that
training does not leave."""


class TorusTrunk(nn.Module):
    """Layers that read the waves of the angles and the number of moves.

    Args:
        waves: Number of waves.
        steps: Numbers of moves there are.
        width: Units per layer.
        depth: Hidden layers.
        generator: For the initial weights.
    """

    def __init__(
        self, waves: int, steps: int, width: int, depth: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.first = linear(waves, width, generator)
        self.moves = nn.Parameter(torch.empty(steps, width).normal_(0, 0.5, generator=generator))
        self.layers: Any = nn.ModuleList(linear(width, width, generator) for _ in range(depth - 1))

    def forward(self, waves: Tensor, step: Tensor) -> Tensor:
        """(N, width) activations of the last hidden layer."""
        x = F.gelu(self.first(waves) + self.moves[step])
        for layer in self.layers:
            x = F.gelu(F.linear(x, layer.weight, layer.bias))
        return x


class TorusPolicy(Policy):
    r"""Perceptrons over :math:`\cos(k x_i), \sin(k x_i)` for k = 1 ... n, and the number of moves.

    Each head has a trunk of its own, or all share one. The number of moves is looked up in a table
    that is added before the first activation: a matrix product with its one-hot code. At the start
    moves are short (see `REACH`).

    Args:
        env: Gives the sizes.
        width: Units per layer.
        depth: Hidden layers, at least 1.
        frequencies: n.
        backward: "learned", or "uniform" for the fixed backward kernel.
        log_flow: Have a head for log F.
        shared: One trunk for all heads.
        generator: For the initial weights.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594
    """

    def __init__(
        self,
        env: Torus,
        width: int = 128,
        depth: int = 2,
        frequencies: int = 5,
        backward: Literal["learned", "uniform"] = "learned",
        log_flow: bool = False,
        shared: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1 or frequencies < 1:
            raise ConfigError(
                f"TorusPolicy: width, depth and frequencies must be at least 1, got {width}, "
                f"{depth} and {frequencies}."
            )
        if backward not in ("learned", "uniform"):
            raise ConfigError(
                f"TorusPolicy: backward must be learned or uniform, got {backward!r}."
            )
        self.backward: Literal["learned", "uniform"] = backward
        self.has_log_flow = log_flow
        self.frequencies, self.shared = frequencies, shared
        waves, steps = 2 * frequencies * env.dim, env.horizon + 1

        def trunk() -> TorusTrunk:
            return TorusTrunk(waves, steps, width, depth, generator)

        self.ahead_trunk = trunk()
        self.ahead = linear(width, env.num_outputs, generator)
        spread(self.ahead, env)
        self.back_trunk: TorusTrunk | None = None
        self.back: nn.Linear | None = None
        if backward == "learned":
            self.back_trunk = self.ahead_trunk if shared else trunk()
            self.back = linear(width, env.num_backward_outputs, generator)
            spread(self.back, env)
        self.flow_trunk: TorusTrunk | None = None
        self.flow: nn.Linear | None = None
        if log_flow:
            self.flow_trunk = self.ahead_trunk if shared else trunk()
            self.flow = linear(width, 1, generator)

    def waves(self, angles: Tensor) -> Tensor:
        """(N, 2 n D) cosines and sines of multiples of (N, D) angles."""
        orders = torch.arange(1, self.frequencies + 1, dtype=angles.dtype, device=angles.device)
        turned = (angles.unsqueeze(-1) * orders).flatten(1)
        return torch.cat([turned.cos(), turned.sin()], -1)

    def forward(
        self, env: Environment[Any], states: TorusState, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        waves = self.waves(states.angles)
        ahead = self.ahead_trunk(waves, states.step)
        back = flow = None
        if self.back is not None and self.back_trunk is not None:
            read = ahead if self.shared else self.back_trunk(waves, states.step)
            back = self.back(read)
        if self.flow is not None and self.flow_trunk is not None:
            read = ahead if self.shared else self.flow_trunk(waves, states.step)
            flow = self.flow(read).squeeze(-1)
        return PolicyOutput(self.ahead(ahead), back, flow)

    def forward_logits(
        self, env: Environment[Any], states: TorusState, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) parameters of the increments."""
        out: Tensor = self.ahead(self.ahead_trunk(self.waves(states.angles), states.step))
        return out

    def backward_logits(
        self, env: Environment[Any], states: TorusState, condition: Tensor | None = None
    ) -> Tensor | None:
        """(N, P) parameters of the increments taken away, or None."""
        if self.back is None or self.back_trunk is None:
            return None
        out: Tensor = self.back(self.back_trunk(self.waves(states.angles), states.step))
        return out

    def zero_backward_head(self) -> None:
        """Moves back that are short and the same in every state."""
        if self.back is None:
            super().zero_backward_head()
            return
        with torch.no_grad():
            self.back.weight.zero_()
            self.back.bias.view(-1, 4)[:, 0] = 0.0
            self.back.bias.view(-1, 4)[:, 3] = 0.0


def spread(head: nn.Linear, env: Torus) -> None:
    """Let the biases of a head place the K means of each angle evenly within `REACH`."""
    count = env.components
    means = torch.linspace(-REACH, REACH, count, dtype=head.bias.dtype)
    with torch.no_grad():
        bias = head.bias.view(env.dim, count, 4)
        bias[:, :, 1], bias[:, :, 2] = means.cos(), means.sin()

"""The network of the torus."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.torus.env import Torus, TorusState
from gflow.errors import ConfigError
from gflow.policies.heads import ApartPolicy, linear
from gflow.policies.told import told

REACH = 0.5
"""Radians: at the start the means of the components lie within this of 0, so that moves are short.

With long moves each would forget the last, the backward policy would learn to forget too, and the
two agree on a last move that draws from a product of mixtures wherever it starts: a saddle that
training does not leave."""


class TorusTrunk(nn.Module):
    """Layers that read the waves of the angles and the number of moves.

    Args:
        env: Says the width of a condition.
        waves: Number of waves.
        steps: Numbers of moves there are.
        width: Units per layer.
        depth: Hidden layers.
        generator: For the initial weights.
    """

    def __init__(
        self,
        env: Torus,
        waves: int,
        steps: int,
        width: int,
        depth: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.first = linear(waves, width, generator)
        self.moves = nn.Parameter(torch.empty(steps, width).normal_(0, 0.5, generator=generator))
        self.layers: Any = nn.ModuleList(linear(width, width, generator) for _ in range(depth - 1))
        self.told = told(env, width, owner="TorusPolicy", generator=generator)

    def forward(self, read: tuple[Tensor, Tensor, Tensor | None]) -> Tensor:
        """(N, width) activations of the last hidden layer.

        Args:
            read: (N, waves), (N,) moves made, and (N, C) conditions or None.
        """
        waves, step, condition = read
        x = self.first(waves) + self.moves[step]
        x = F.gelu(x if self.told is None else x + self.told(condition))
        for layer in self.layers:
            x = F.gelu(F.linear(x, layer.weight, layer.bias))
        return x


class TorusPolicy(ApartPolicy):
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
        self.frequencies = frequencies
        waves, steps = 2 * frequencies * env.dim, env.horizon + 1

        def trunk() -> TorusTrunk:
            return TorusTrunk(env, waves, steps, width, depth, generator)

        self.shared_trunk = trunk() if shared else None

        def head(outputs: int) -> nn.Sequential:
            last = linear(width, outputs, generator)
            return nn.Sequential(last) if shared else nn.Sequential(trunk(), last)

        self.ahead = head(env.num_outputs)
        spread(self.ahead[-1], env)
        self.back: Any = None
        if backward == "learned":
            self.back = head(env.num_backward_outputs)
            spread(self.back[-1], env)
        self.flow = head(1) if log_flow else None

    def waves(self, angles: Tensor) -> Tensor:
        """(N, 2 n D) cosines and sines of multiples of (N, D) angles."""
        orders = torch.arange(1, self.frequencies + 1, dtype=angles.dtype, device=angles.device)
        turned = (angles.unsqueeze(-1) * orders).flatten(1)
        return torch.cat([turned.cos(), turned.sin()], -1)

    def read(
        self, env: Environment[Any], states: TorusState, condition: Tensor | None = None
    ) -> Any:
        """Waves and numbers of moves, or what the shared trunk makes of them."""
        read = self.waves(states.angles), states.step, condition
        return read if self.shared_trunk is None else self.shared_trunk(read)

    def zero_backward_head(self) -> None:
        """Moves back that are short and the same in every state."""
        if self.back is None:
            super().zero_backward_head()
            return
        with torch.no_grad():
            last = self.back[-1]
            last.weight.zero_()
            last.bias.view(-1, 4)[:, 0] = 0.0
            last.bias.view(-1, 4)[:, 3] = 0.0


def spread(head: Any, env: Torus) -> None:
    """Let the biases of a head place the K means of each angle evenly within `REACH`."""
    count = env.components
    means = torch.linspace(-REACH, REACH, count, dtype=head.bias.dtype)
    with torch.no_grad():
        bias = head.bias.view(env.dim, count, 4)
        bias[:, :, 1], bias[:, :, 2] = means.cos(), means.sin()

"""Networks of boxes and cubes."""

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gflow.environment.base import Environment
from gflow.envs.cubes.base import UnitCube
from gflow.errors import ConfigError
from gflow.policies.base import PolicyOutput
from gflow.policies.encoder import StateEncoder
from gflow.policies.heads import ApartPolicy, linear
from gflow.policies.told import ConditionLayer, told


class BoxPolicy(ApartPolicy):
    """Perceptrons of the coordinates, one for each head, and free parameters at the source.

    All densities start nearly even, as mixtures of different parts (`UnitCube.even_outputs`).

    The source is one point, where the kernel has parameters of its own kind and log F is a mass and
    no density, so that what is said there is not read off a network.

    Args:
        env: Gives the sizes.
        width: Units per layer.
        depth: Hidden layers, at least 1.
        frequencies: Networks read sines and cosines of so many multiples of pi times each
            coordinate too, which sharp edges are easier to make of; 0 for coordinates alone.
        backward: "learned" or "uniform".
        log_flow: Have a head for log F.
        generator: For the initial weights.

    Reference:
        Lahlou et al., A theory of continuous generative flow networks, 2023,
        https://arxiv.org/abs/2301.12594
    """

    def __init__(
        self,
        env: UnitCube,
        width: int = 128,
        depth: int = 3,
        frequencies: int = 0,
        backward: Literal["learned", "uniform"] = "learned",
        log_flow: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ConfigError(f"BoxPolicy: width and depth must be positive, got {width}, {depth}.")
        if frequencies < 0:
            raise ConfigError(f"BoxPolicy: frequencies must not be negative, got {frequencies}.")
        if backward not in ("learned", "uniform"):
            raise ConfigError(f"BoxPolicy: backward must be learned or uniform, got {backward!r}.")
        self.backward = backward
        self.has_log_flow = log_flow
        source, elsewhere, down = env.even_outputs()

        def network(outputs: int) -> Perceptron:
            layer = told(env, width, owner="BoxPolicy", generator=generator)
            return Perceptron(env.dim, width, depth, frequencies, outputs, generator, layer)

        self.ahead: Perceptron = network(env.num_outputs)
        self.ahead.start_at(elsewhere)
        self.source = nn.Parameter(source)
        self.back: Perceptron | None = None
        if backward == "learned":
            self.back = network(env.num_backward_outputs)
            self.back.start_at(down)
        self.flow = network(1) if log_flow else None
        self.source_flow = nn.Parameter(torch.zeros(())) if log_flow else None
        self.told_at_source: ConditionLayer | None = None
        if env.condition_dim:
            shifts = env.num_outputs + bool(log_flow)
            self.told_at_source = ConditionLayer(env, shifts, owner="BoxPolicy").start_deaf()

    def read(self, env: Environment[Any], states: Any, condition: Tensor | None = None) -> Any:
        """(N, d) the coordinates, and (N, C) conditions or None."""
        return env.encode(states), condition

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """All heads; see `Policy.forward`."""
        output, source = super().forward(env, states, condition), at_source(env, states)
        flow, (begin, begin_flow) = output.log_flow, self._source(condition)
        if flow is not None and begin_flow is not None:
            flow = torch.where(source, begin_flow, flow)
        ahead = torch.where(source[:, None], begin, output.forward_logits)
        return PolicyOutput(ahead, output.backward_logits, flow)

    def forward_logits(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, A) parameters of the forward kernel."""
        elsewhere = super().forward_logits(env, states, condition)
        begin, _ = self._source(condition)
        return torch.where(at_source(env, states)[:, None], begin, elsewhere)

    def _source(self, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What is said at the source: outputs (A,) or (N, A), and the flow if there is one."""
        if self.told_at_source is None:
            return self.source, self.source_flow
        shift, count = self.told_at_source(condition), len(self.source)
        flow = None if self.source_flow is None else self.source_flow + shift[:, count]
        return self.source + shift[:, :count], flow

    def zero_backward_head(self) -> None:
        """Let the backward kernel start nearly even, and the same everywhere."""
        if self.back is None:
            super().zero_backward_head()
        else:
            nn.init.zeros_(self.back.last.weight)


def at_source(env: Environment[Any], states: Any) -> Tensor:
    """(N,) bool: all coordinates are 0."""
    found: Tensor = (env.encode(states) == 0).all(-1)
    return found


class Perceptron(nn.Module):
    """ELU layers over coordinates moved from [0, 1] to [-1, 1], and over waves of them."""

    multiples: Tensor

    def __init__(
        self,
        dim: int,
        width: int,
        depth: int,
        frequencies: int,
        outputs: int,
        generator: torch.Generator | None = None,
        told: ConditionLayer | None = None,
    ) -> None:
        super().__init__()
        multiples = torch.pi * torch.arange(1, frequencies + 1, dtype=torch.get_default_dtype())
        self.register_buffer("multiples", multiples, persistent=False)
        sizes = [dim * (1 + 2 * frequencies), *[width] * depth]
        self.hidden: Any = nn.ModuleList(linear(a, b, generator) for a, b in pairwise(sizes))
        self.last = linear(width, outputs, generator)
        self.told = told

    def start_at(self, outputs: Tensor) -> None:
        """Let the first outputs be near the given ones (outputs,) everywhere."""
        with torch.no_grad():
            self.last.weight.mul_(0.1)
            self.last.bias.copy_(outputs)

    def forward(self, read: tuple[Tensor, Tensor | None]) -> Tensor:
        """(N, outputs) from (N, d) points and (N, C) conditions or None."""
        points, condition = read
        x = 2 * points - 1
        if len(self.multiples):
            waves = (points[..., None] * self.multiples).flatten(1)
            x = torch.cat([x, waves.sin(), waves.cos()], -1)
        for number, layer in enumerate(self.hidden):
            x = layer(x)
            if self.told is not None and not number:
                x = x + self.told(condition)
            x = F.elu(x)
        out: Tensor = self.last(x)
        return out


class PointEncoder(StateEncoder):
    """Coordinates through ELU layers, for networks beside the policy.

    Args:
        env: Says the number of coordinates, and the width of a condition.
        width: Units of each layer.
        depth: Hidden layers, at least 1.
        frequencies: As of `BoxPolicy`.
    """

    def __init__(
        self, env: UnitCube, width: int = 128, depth: int = 2, frequencies: int = 0
    ) -> None:
        super().__init__()
        layer = told(env, width, owner="PointEncoder")
        self.network = Perceptron(env.dim, width, depth, frequencies, width, told=layer)
        self.out_features = width

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> Tensor:
        """(N, width) activations."""
        out: Tensor = self.network((env.encode(states), condition))
        return out

"""Policies that nobody trained: raw outputs that are a fixed random function of the state."""

import math
from typing import Any

import torch
from torch import Tensor

from gflow.state import batch_size, tensors
from gflow.testing.continuous.probe import columns


class RandomOutputs:
    """(N, A) and (N, P) outputs for N states: sines of random projections of the state.

    Args:
        env: Gives the sizes.
        scale: Size of the outputs; 0 for the laws that outputs of zero mean.
        seed: Of the projections.
        learned: Whether the backward law reads outputs too, or is the fixed one.
    """

    def __init__(self, env: Any, scale: float, seed: int, learned: bool) -> None:
        self.sizes = {"forward": env.num_outputs, "backward": env.num_backward_outputs}
        self.scale, self.learned = scale, learned and env.num_backward_outputs > 0
        self.seed = seed
        self._weights: dict[str, tuple[Tensor, Tensor]] = {}

    def forward(self, states: Any) -> Tensor:
        """(N, A)."""
        return self._of("forward", states)

    def backward(self, states: Any) -> Tensor | None:
        """(N, P), or None for the fixed backward law."""
        return self._of("backward", states) if self.learned else None

    def _of(self, side: str, states: Any) -> Tensor:
        width = self.sizes[side]
        if not self.scale:
            return torch.zeros(batch_size(states), width)
        flat = torch.cat([columns(t).double() for t in tensors(states)], 1)
        if side not in self._weights:
            generator = torch.Generator().manual_seed(self.seed + (side == "backward"))
            shape = (flat.shape[1], width)
            weight = torch.randn(shape, generator=generator, dtype=torch.float64)
            phase = torch.rand(width, generator=generator, dtype=torch.float64)
            self._weights[side] = (weight / math.sqrt(shape[0]), 2 * math.pi * phase)
        weight, phase = self._weights[side]
        value = self.scale * math.sqrt(2) * torch.sin(flat @ weight + phase)
        return value.to(torch.get_default_dtype())

"""Environments whose moves are disturbed by chance."""

from gflow.envs.noise.env import NoisyState, WithNoise
from gflow.envs.noise.grid import StochasticGrid
from gflow.envs.noise.kernels import FunctionKernel, Kernel, StickyMoves, TableKernel, TokenNoise

__all__ = [
    "FunctionKernel",
    "Kernel",
    "NoisyState",
    "StickyMoves",
    "StochasticGrid",
    "TableKernel",
    "TokenNoise",
    "WithNoise",
]

"""Cells of neural networks."""

from gflow.envs.architectures.env import Architectures

__all__ = ["Architectures"]

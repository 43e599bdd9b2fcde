"""Discrete energies."""

from gflow.envs.spins.env import EnergyModel

__all__ = ["EnergyModel"]

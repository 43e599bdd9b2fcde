"""Data whose energies are learned: Ising lattices, and densities of the plane as bits."""

from gflow.envs.energies.densities import DENSITIES, Plane
from gflow.envs.energies.gray import GrayCode
from gflow.envs.energies.ising_data import gibbs_samples, ising_samples

__all__ = ["DENSITIES", "GrayCode", "Plane", "gibbs_samples", "ising_samples"]

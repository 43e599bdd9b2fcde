"""Points of R^d in Gaussian steps."""

from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.env import Diffusion

__all__ = ["AnnealedLangevin", "Diffusion"]

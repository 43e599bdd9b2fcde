"""Points of the square and the cube that move up."""

from gflow.envs.cubes.box import Box
from gflow.envs.cubes.cube import Cube

__all__ = ["Box", "Cube"]

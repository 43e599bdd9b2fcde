"""Angles."""

from gflow.envs.torus.env import Torus

__all__ = ["Torus"]

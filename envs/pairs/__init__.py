"""Two environments as one."""

from gflow.envs.pairs.composition import Product, Stack

__all__ = ["Product", "Stack"]

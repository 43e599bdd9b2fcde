"""The environment of codes: a grid that is filled cell by cell, row by row."""

from typing import Any

from torch import Tensor

from gflow.envs.sequences.env import Autoregressive
from gflow.rewards.base import LogReward


def codes(cells: int, symbols: int, reward: LogReward[Tensor]) -> Autoregressive:
    """Sequences of one symbol for each cell, written in raster order, for a row of the data each.

    States are (B, L) tokens, `symbols` for a cell not yet filled. Their trajectories form a tree,
    so that P_B is 1. The condition (B, 1) is the number of a picture.

    Args:
        cells: L, of the grid.
        symbols: K, how many codes there are.
        reward: A `JointReward`.
    """
    env: Any = Autoregressive([str(symbol) for symbol in range(symbols)], cells, reward)
    env.condition_dim = 1
    return env  # type: ignore[no-any-return]

"""Whose move it is: the numbers that `Environment.mover` answers with.

The agent's moves have the law of the policy. A player's moves have it too: +1 and -1 are the two
sides of a game, and where more than two play they are 1, 2, ..., n. Moves of chance have a law of
the environment's own (`Environment.chance_law`): a slip, a reply, the outcome of an experiment.
"""

from torch import Tensor

AGENT = 0
CHANCE = 127


def player_index(mover: Tensor) -> Tensor:
    """(...) int64 which player moves, from 0: the agent and player 1, then player -1 or 2, ...

    Meaningless for chance.
    """
    return (mover - 1).clamp(min=0).masked_fill(mover == -1, 1)

"""Whose move it is: the numbers that `Environment.mover` answers with.

The agent's moves have the law of the policy. A player's moves have it too, +1 and -1 being the two
sides of a game. Moves of chance have a law of the environment's own (`Environment.chance_law`): a
slip, a reply, the outcome of an experiment.
"""

AGENT = 0
CHANCE = 2

"""Monte-Carlo tree search with random play-outs, by OpenSpiel."""

from typing import Any

import torch
from torch import Tensor

from gflow.arena.open_spiel import game_of, pyspiel, state_after
from gflow.arena.players import Player
from gflow.arena.positions import Positions
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError

MEMORY = 1000
"""Megabytes that a tree may take."""


class MCTSPlayer(Player):
    """OpenSpiel's search from the position at hand; won and lost subtrees are solved.

    The yardstick that is always there. Each search begins anew.

    Args:
        env: A game that says `openspiel_name`.
        simulations: Play-outs for each move.
        name: In tables.
        exploration: The constant of UCT.

    Raises:
        IncompatibleError: If the environment is no game of OpenSpiel.
        MissingExtraError: If OpenSpiel is not installed.
    """

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        simulations: int,
        name: str = "",
        exploration: float = 2.0,
    ) -> None:
        if simulations < 1:
            raise ConfigError(f"mcts: needs at least one simulation, got {simulations}.")
        self.name = name or f"mcts:{simulations}"
        self.simulations, self.exploration = simulations, exploration
        self.game = game_of(env, self.name)

    def moves(
        self, env: DiscreteEnvironment[Any], positions: Positions, generator: torch.Generator
    ) -> Tensor:
        """(B,) int64 moves."""
        seed = int(torch.randint(1 << 30, (), generator=generator))
        spiel = pyspiel()
        evaluator = spiel.RandomRolloutEvaluator(1, seed)
        bot = spiel.MCTSBot(
            self.game, evaluator, self.exploration, self.simulations, MEMORY, True, seed, False
        )
        histories = (positions.moves_of(row) for row in range(len(positions)))
        return torch.tensor([bot.step(state_after(self.game, moves)) for moves in histories])

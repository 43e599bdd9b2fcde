"""Perfect play on games that can be listed."""

from typing import Any

import torch
from torch import Tensor

from gflow.arena.players import Player, pick
from gflow.arena.positions import Positions, require_game
from gflow.environment.discrete import DiscreteEnvironment
from gflow.exact.games import minimax, optimal_actions
from gflow.exact.graph import StateGraph, enumerate_states


class MinimaxPlayer(Player):
    """Never gives away a win or a draw; moves that keep the value are drawn evenly.

    All states of the game are listed once, so it is for small boards.

    Args:
        env: The game.
        name: In tables.
        graph: All states, if they are at hand.

    Attributes:
        graph: All states.
        values: (N,) float64 what each is worth to the first player: 1, 0 or -1, or the mean over
            moves of chance.
        optimal: (N, A) bool moves that keep the value.

    Raises:
        IncompatibleError: If it is no game of two, or has too many states.
    """

    def __init__(
        self,
        env: DiscreteEnvironment[Any],
        name: str = "minimax",
        graph: StateGraph[Any] | None = None,
    ) -> None:
        require_game(env, name)
        self.name = name
        self.graph = enumerate_states(env) if graph is None else graph
        self.values = minimax(self.graph)
        self.optimal = optimal_actions(self.graph, self.values)

    def moves(
        self, env: DiscreteEnvironment[Any], positions: Positions, generator: torch.Generator
    ) -> Tensor:
        """(B,) int64 moves."""
        return pick(self.optimal[self.graph.rows(positions.states)], generator)

"""Shares of optimal moves, by two definitions that must not be confused.

*Value-exact*: the move keeps the value of perfect play, a win, a draw or a loss. *Score-exact*: the
move has the best score of a perfect player who counts how soon it wins; *sign-exact* asks for the
best sign alone, and is the first definition again.
"""

from typing import Any

import torch
from torch import Tensor

from gflow.arena.labelled import Labelled
from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.players import Player, PolicyPlayer
from gflow.arena.positions import Positions, turn
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.state import take


def optimal_share(
    env: DiscreteEnvironment[Any],
    player: Player,
    perfect: MinimaxPlayer,
    generator: torch.Generator,
    most: int | None = None,
) -> float:
    """The share of all states with a player to move in which the player's move is value-exact.

    Args:
        env: The game.
        player: For the share of a run, the greedy one (temperature 0).
        perfect: Knows all states.
        generator: For players that draw their moves: it is then the share of one drawing.
        most: Ask about so many states at most, drawn evenly; None for all.
    """
    positions, optimal = every_position(env, perfect)
    if most is not None and most < len(positions):
        rows = torch.randperm(len(positions), generator=generator)[:most]
        positions, optimal = positions.take(rows), optimal[rows]
    moves = player.moves(env, positions, generator)
    return float(optimal.gather(1, moves[:, None]).double().mean())


def optimal_mass(
    env: DiscreteEnvironment[Any], player: PolicyPlayer, perfect: MinimaxPlayer
) -> float:
    """The probability that a policy draws a value-exact move, in the mean over the same states."""
    positions, optimal = every_position(env, perfect)
    table = player.log_prob(env, positions.states).exp()
    return float(table.masked_fill(~optimal, 0.0).sum(1).double().mean())


def score_shares(
    env: DiscreteEnvironment[Any], player: Player, labelled: Labelled, generator: torch.Generator
) -> dict[str, float]:
    """Shares of labelled positions in which a move is `score_exact`, and `sign_exact`."""
    positions = labelled.positions(env)
    moves = player.moves(env, positions, generator)
    chosen = labelled.scores.gather(1, moves[:, None]).squeeze(1)
    best = labelled.scores.amax(1)
    return {
        "score_exact": float((chosen == best).double().mean()),
        "sign_exact": float((chosen.sign() == best.sign()).double().mean()),
    }


def every_position(
    env: DiscreteEnvironment[Any], perfect: MinimaxPlayer
) -> tuple[Positions, Tensor]:
    """All M positions with a player to move, each after one line of moves; optimal moves (M, A)."""
    graph = perfect.graph
    open_ = ~env.is_terminal(graph.states)
    rows = open_.nonzero().squeeze(1)
    rows = rows[turn(env, take(graph.states, rows)) != CHANCE]
    entry = torch.zeros(len(graph), dtype=torch.int64)  # one of the transitions into each
    entry[graph.child] = torch.arange(len(graph.child))
    before, action = graph.parent[entry], graph.action[entry]
    columns, at = [], rows
    while bool((at > 0).any()):
        columns.append(torch.where(at > 0, action[at], -1))
        at = torch.where(at > 0, before[at], 0)
    length = len(columns)
    history = torch.stack(columns[::-1], 1) if columns else rows.new_zeros(len(rows), 0)
    shift = (history >= 0).long().argmax(1)  # rows were filled up on the left
    index = (torch.arange(length)[None] + shift[:, None]) if length else history
    moved = torch.cat([history, torch.full_like(history, -1)], 1).gather(1, index)
    return Positions(take(graph.states, rows), moved), perfect.optimal[rows]

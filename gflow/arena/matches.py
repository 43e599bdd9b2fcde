"""Games of players against each other, all of them side by side."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gflow.arena.players import Player, pick
from gflow.arena.positions import Positions, refuse_illegal, require_game, turn, winner
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE, player_index
from gflow.errors import ConfigError

TRIES = 100
"""How often openings are drawn in the place of those that end the game."""

FEWEST = 256
"""Openings drawn at a time, at least."""

Progress = Callable[[int, int], None]
"""Told the number of plies made and of the games that go on."""


@dataclass
class Clock:
    """What the moves of a player took.

    Attributes:
        moves: How many.
        seconds: Of them together.
    """

    moves: int = 0
    seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Moves in a second; 0 before the first."""
        return self.moves / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Games:
    """G finished games.

    Attributes:
        seats: (G, 2) int64 who was the first player and who the second.
        result: (G,) int64 1 where the first player won, -1 where the second did, 0 for a draw.
        history: (G, T) int64 moves, openings and moves of chance among them; -1 after the end.
        clocks: What each player's moves took.
    """

    seats: Tensor
    result: Tensor
    history: Tensor
    clocks: list[Clock] = field(default_factory=list)

    def score_of(self, player: int) -> Tensor:
        """(G,) int64 the result as one player sees it; 0 where it did not play."""
        first, second = self.seats.unbind(1)
        return self.result * ((first == player).long() - (second == player).long())


def openings(
    env: DiscreteEnvironment[Any], count: int, plies: int, generator: torch.Generator
) -> Tensor:
    """(count, plies) int64 random beginnings: legal moves, drawn evenly, that end no game.

    Moves of chance are plies too, drawn by its own law.

    Raises:
        ConfigError: If games end within so many plies nearly always.
    """
    found = torch.zeros(0, plies, dtype=torch.int64)
    for _ in range(TRIES):
        positions = Positions.start(env, max(FEWEST, 2 * (count - len(found))))
        for _ in range(plies):
            alive = ~env.is_terminal(positions.states)
            positions = positions.take(alive)
            if not len(positions):
                break
            actions = pick(env.forward_mask(positions.states), generator)
            chance = turn(env, positions.states) == CHANCE
            if bool(chance.any()):
                drawn: Any = env.chance_law(positions.states)
                actions = actions.where(~chance, drawn.sample(generator)[0])
            positions = positions.stepped(env, torch.arange(len(positions)), actions)
        alive = ~env.is_terminal(positions.states)
        if positions.history.shape[1] == plies:
            found = torch.cat([found, positions.history[alive]])[:count]
        if len(found) == count:
            return found
    raise ConfigError(
        f"Openings of {plies} random plies: games of {env.name} end within them nearly always. Ask "
        f"for fewer."
    )


@torch.no_grad()
def play(
    env: DiscreteEnvironment[Any],
    players: Sequence[Player],
    seats: Tensor,
    opening: Tensor,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> Games:
    """Play games to their ends, each after an opening that is given.

    At each ply every player is asked once, about all games in which it is to move.

    Args:
        env: A game of two.
        players: K players.
        seats: (G, 2) int64 numbers of those who play first and second in each game.
        opening: (G, k) int64 first plies of each game.
        generator: Source of all randomness.
        progress: Told after each ply.

    Raises:
        IncompatibleError: If it is no game of two.
        IllegalActionError: If a player makes an illegal move.
    """
    env = require_game(env, "The arena")
    positions = Positions.after(env, opening)
    clocks = [Clock() for _ in players]
    live = (~env.is_terminal(positions.states)).nonzero().squeeze(1)
    while len(live):
        there = positions.take(live)
        mover = turn(env, there.states)
        actions = torch.zeros(len(live), dtype=torch.int64)
        chance = mover == CHANCE
        if bool(chance.any()):
            drawn: Any = env.chance_law(there.states)
            actions = actions.where(~chance, drawn.sample(generator)[0])
        seat = player_index(mover)[:, None].clamp(0, 1)
        who = seats[live].gather(1, seat).squeeze(1).masked_fill(chance, -1)
        for number, player in enumerate(players):
            rows = (who == number).nonzero().squeeze(1)
            if not len(rows):
                continue
            asked = there.take(rows)
            began = time.perf_counter()
            chosen = player.moves(env, asked, generator)
            clocks[number].seconds += time.perf_counter() - began
            clocks[number].moves += len(rows)
            refuse_illegal(env, asked.states, chosen, player.name)
            actions[rows] = chosen
        positions = positions.stepped(env, live, actions)
        live = live[~env.is_terminal(positions.take(live).states)]
        if progress is not None:
            progress(positions.history.shape[1], len(live))
    return Games(seats, winner(env, positions.states), positions.history, clocks)


def both_sides(pairs: Sequence[tuple[int, int]], opening: Tensor) -> tuple[Tensor, Tensor]:
    """Seats and openings of games in which each pair plays each opening from both sides.

    Args:
        pairs: P pairs of players.
        opening: (n, k) int64.

    Returns:
        (2 P n, 2) int64 seats and (2 P n, k) int64 openings.
    """
    seats = torch.tensor([side for a, b in pairs for side in ((a, b), (b, a))]).view(-1, 2)
    count = len(opening)
    return seats.repeat_interleave(count, 0), opening.repeat(len(seats), 1)

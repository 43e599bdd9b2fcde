"""Games of a search against itself, and what there is to learn from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.arena.players import pick
from gflow.arena.positions import put, turn, winner
from gflow.arena.search import TreeSearch
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.movers import CHANCE
from gflow.masking import sample_masked
from gflow.state import batch_size, cat, take


@dataclass(frozen=True)
class Lessons:
    """P positions with what a search thought of them and how the game ended.

    Attributes:
        states: P states.
        share: (P, A) shares of the visits of each move.
        outcome: (P,) 1 where the first player won, -1 where it lost, 0 for a draw.
    """

    states: Any
    share: Tensor
    outcome: Tensor

    def __len__(self) -> int:
        return batch_size(self.states)

    def take(self, rows: Tensor) -> "Lessons":
        """Some of them."""
        return Lessons(take(self.states, rows), self.share[rows], self.outcome[rows])

    def joined(self, others: "Lessons") -> "Lessons":
        """Them and others after them."""
        return Lessons(
            cat([self.states, others.states]),
            torch.cat([self.share, others.share]),
            torch.cat([self.outcome, others.outcome]),
        )

    def latest(self, count: int) -> "Lessons":
        """The last of them."""
        return self if len(self) <= count else self.take(torch.arange(len(self))[-count:])


@torch.no_grad()
def self_play(
    env: DiscreteEnvironment[Any],
    search: TreeSearch,
    games: int,
    opening_plies: int,
    generator: torch.Generator,
    over: Callable[[], bool],
) -> Lessons | None:
    """Play so many games side by side to their ends.

    Args:
        env: The game.
        search: Plays both sides.
        games: B.
        opening_plies: Plies in which moves are drawn in proportion to visits, so that games differ.
        generator: Source of all randomness.
        over: Asked at each ply; true throws the games away.

    Returns:
        Every position in which a player moved, or None if it was over.
    """
    states, ply = env.start(games), 0
    live = torch.arange(games)
    parts: list[tuple[Any, Tensor, Tensor]] = []
    while len(live):
        if over():
            return None
        there = take(states, live)
        chance = turn(env, there) == CHANCE
        actions = torch.zeros(len(live), dtype=torch.int64)
        if bool(chance.any()):
            drawn: Any = env.chance_law(there)
            actions = drawn.sample(generator)[0]
        rows = (~chance).nonzero().squeeze(1)
        if len(rows):
            asked = take(there, rows)
            visits = search(asked, generator, noise=True)[0]
            parts.append((asked, visits / visits.sum(1, keepdim=True), live[rows]))
            if ply < opening_plies:
                actions[rows] = sample_masked(visits.log(), visits > 0, generator)
            else:
                actions[rows] = pick(visits == visits.amax(1, keepdim=True), generator)
        states = put(states, live, env.step(there, actions))
        live = live[~env.is_terminal(take(states, live))]
        ply += 1
    outcome = winner(env, states).to(torch.get_default_dtype())
    seen, shares, games_of = zip(*parts, strict=True)
    return Lessons(cat(list(seen)), torch.cat(shares), outcome[torch.cat(games_of)])

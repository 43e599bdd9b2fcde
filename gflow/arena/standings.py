"""Everybody against everybody, from both sides, and the table of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from gflow.arena.elo import Ratings, fit_elo
from gflow.arena.matches import Clock, Games, Progress, both_sides, openings, play
from gflow.arena.players import Player
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError


@dataclass(frozen=True)
class Standings:
    """The outcome of a round robin of n players.

    Attributes:
        names: Of the players.
        results: (n, n, 3) int64 wins, draws and losses of i as the first player against j.
        ratings: Elo of each.
        clocks: What the moves of each took.
        games: The games themselves.
    """

    names: list[str]
    results: Tensor
    ratings: Ratings
    clocks: list[Clock]
    games: Games

    def of(self, player: int, side: str) -> tuple[int, int, int]:
        """Wins, draws and losses of a player on one side: "first" or "second"."""
        if side == "first":
            found = self.results[player].sum(0).tolist()
        else:
            found = self.results[:, player].sum(0).flip(0).tolist()
        return found[0], found[1], found[2]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each player, the strongest first."""
        order = torch.argsort(self.ratings.elo, descending=True, stable=True).tolist()
        return [
            {
                "player": self.names[i],
                "elo": float(self.ratings.elo[i]),
                "error": float(self.ratings.error[i]),
                "first": self.of(i, "first"),
                "second": self.of(i, "second"),
                "moves": self.clocks[i].moves,
                "moves_per_second": self.clocks[i].speed,
            }
            for i in order
        ]

    def table(self) -> str:
        """The rows as text."""
        width = max(6, *(len(name) for name in self.names))
        head = f"{'player':<{width}}    Elo    95 %   as first W/D/L   as second W/D/L    moves/s"
        lines = [head]
        for row in self.rows():
            first, second = ("/".join(map(str, row[side])) for side in ("first", "second"))
            sure = f"±{row['error']:.0f}" if row["error"] else ""
            lines.append(
                f"{row['player']:<{width}} {row['elo']:>6.0f} {sure:>7} {first:>16} {second:>17} "
                f"{row['moves_per_second']:>10.0f}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """All of it but the games, for JSON."""
        return {
            "players": self.names,
            "table": self.rows(),
            "results": self.results.tolist(),
            "results_are": "[first][second] = wins, draws, losses of the first",
        }


def round_robin(
    env: DiscreteEnvironment[Any],
    players: Sequence[Player],
    games: int,
    plies: int,
    generator: torch.Generator,
    reference: int = 0,
    progress: Progress | None = None,
) -> Standings:
    """Every pair plays the same random openings, each from both sides.

    Args:
        env: A game of two.
        players: At least two, with different names.
        games: Games of each pair, an even number.
        plies: Random plies of an opening; without any, two players that never vary play the same
            two games again and again.
        generator: Source of all randomness.
        reference: The player rated 0.
        progress: Told after each ply.

    Raises:
        ConfigError: If games are odd in number, or names not unique, or less than two play.
        IncompatibleError: If it is no game of two.
    """
    names = [player.name for player in players]
    if len(set(names)) < len(names) or len(names) < 2:
        raise ConfigError(
            f"A round robin needs two or more players with different names, got {names}."
        )
    if games < 2 or games % 2:
        raise ConfigError(
            f"games must be even, as each opening is played from both sides; got {games}."
        )
    pairs = list(combinations(range(len(players)), 2))
    opening = openings(env, games // 2, plies, generator)
    played = play(env, players, *both_sides(pairs, opening), generator, progress)
    return standings(names, played, reference)


def standings(names: list[str], games: Games, reference: int = 0) -> Standings:
    """The table of games that were played."""
    count = len(names)
    first, second = games.seats.unbind(1)
    outcome = 1 - games.result  # 0 a win of the first, 1 a draw, 2 a loss
    flat = (first * count + second) * 3 + outcome
    results = torch.bincount(flat, minlength=count * count * 3).view(count, count, 3)
    wins = results[..., 0] + results[..., 2].T
    draws = results[..., 1] + results[..., 1].T
    return Standings(names, results, fit_elo(wins, draws, reference), games.clocks, games)

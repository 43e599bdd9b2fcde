"""The arena in which players of games are judged: matches, ratings, shares of optimal moves."""

from typing import TYPE_CHECKING

from gflow.lazy import lazy_names, public_names

if TYPE_CHECKING:
    from gflow.arena.alphazero import AlphaZero, AlphaZeroPlayer
    from gflow.arena.elo import Ratings, fit_elo
    from gflow.arena.labelled import Labelled
    from gflow.arena.matches import Games, openings, play
    from gflow.arena.mcts import MCTSPlayer
    from gflow.arena.minimax import MinimaxPlayer
    from gflow.arena.perfect import PerfectPlayer
    from gflow.arena.players import Player, PolicyPlayer, UniformPlayer
    from gflow.arena.positions import Positions
    from gflow.arena.search import TreeSearch
    from gflow.arena.shares import optimal_share, score_shares
    from gflow.arena.standings import Standings, round_robin

_HOME = {
    "AlphaZero": "gflow.arena.alphazero",
    "AlphaZeroPlayer": "gflow.arena.alphazero",
    "Games": "gflow.arena.matches",
    "Labelled": "gflow.arena.labelled",
    "MCTSPlayer": "gflow.arena.mcts",
    "MinimaxPlayer": "gflow.arena.minimax",
    "PerfectPlayer": "gflow.arena.perfect",
    "Player": "gflow.arena.players",
    "PolicyPlayer": "gflow.arena.players",
    "Positions": "gflow.arena.positions",
    "Ratings": "gflow.arena.elo",
    "Standings": "gflow.arena.standings",
    "TreeSearch": "gflow.arena.search",
    "UniformPlayer": "gflow.arena.players",
    "fit_elo": "gflow.arena.elo",
    "openings": "gflow.arena.matches",
    "optimal_share": "gflow.arena.shares",
    "play": "gflow.arena.matches",
    "round_robin": "gflow.arena.standings",
    "score_shares": "gflow.arena.shares",
}

__all__ = [
    "AlphaZero",
    "AlphaZeroPlayer",
    "Games",
    "Labelled",
    "MCTSPlayer",
    "MinimaxPlayer",
    "PerfectPlayer",
    "Player",
    "PolicyPlayer",
    "Positions",
    "Ratings",
    "Standings",
    "TreeSearch",
    "UniformPlayer",
    "fit_elo",
    "openings",
    "optimal_share",
    "play",
    "round_robin",
    "score_shares",
]

__getattr__ = lazy_names(__name__, _HOME)
__dir__ = public_names(__all__)

"""Games of two players: what is common to them."""

from abc import abstractmethod
from typing import Any, TypeVar

import torch
from torch import Tensor

from gflow.bounds import Positive, complaint
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward

S = TypeVar("S")


class Game(DiscreteEnvironment[S]):
    r"""A game that two players lead to its end, one winning what the other loses.

    The first player is +1, the second -1. log R_1 = scale u and log R_2 = -scale u, with u = +1
    where the first has won, -1 where the second has and 0 for a draw.

    A position says nothing of how it came about, so that games go forward only. It holds all that
    the rules need, whose turn it is above all, and equal positions have equal keys.

    **What a game defines.** The sizes, `initial`, `is_initial`, `forward_mask` (nothing where the
    game is over), `_step`, `mover`, `result`, and `key` if positions are to be recognised.

    Args:
        scale: lambda, the inverse temperature of the result: large ones play to win, small ones
            take their chances. Policies at the solution differ from the best moves by temperature.

    Attributes:
        player_names: What the first and the second player are called on a board.
        num_symmetries: Number of `image`s of a position, itself included.
    """

    num_players = 2
    player_names: tuple[str, str] = ("first", "second")
    num_symmetries: int = 1

    def __init__(self, scale: float = 10.0) -> None:
        reason = complaint(scale, Positive)
        if reason is not None:
            raise ConfigError(f"{self.name}: scale {reason}.")
        self.scale = scale
        self.reward = Result(self, scale)

    @abstractmethod
    def mover(self, states: S) -> Tensor:
        """(B,) int64 +1 or -1: whose turn it is, or CHANCE; whatever where the game is over."""

    @abstractmethod
    def result(self, states: S) -> Tensor:
        """(B,) int64 +1, 0 or -1: how finished games ended for the first player."""

    def image(self, states: S, which: int) -> S:
        """The same positions seen otherwise: turned, mirrored; image 0 is the positions themselves.

        Where position s may become s', image(s) may become image(s').
        """
        return states

    def move_images(self, device: torch.device | str = "cpu") -> Tensor:
        """(G, A) int64 what each move is called in each image."""
        return torch.arange(self.num_actions, device=device).expand(self.num_symmetries, -1)

    def openspiel_name(self) -> str:
        """What OpenSpiel calls a game of the same rules and numbers of moves; empty if none is.

        It is what searches there (`gflow.arena.MCTSPlayer`) play.
        """
        return ""

    def move_text(self, action: int) -> str:
        """A move as people name it."""
        return str(action)

    def board_text(self, states: S) -> list[str]:
        """B positions as text for people, several lines each."""
        return self.show(states)

    def play(self, games: list[list[int]]) -> S:
        """B positions after the given moves from the start, each checked.

        Args:
            games: For each position its moves, by number; as many as one likes.

        Raises:
            IllegalActionError: With the position and its legal moves.
        """
        from gflow.state import cat

        positions = []
        for moves in games:
            state = self.initial(1)
            for move in moves:
                state = self.step(state, torch.tensor([move]))
            positions.append(state)
        return cat(positions)


class Result(LogReward[Any]):
    """scale times the result of finished games for the first player.

    Args:
        game: Says how games end.
        scale: lambda.
    """

    def __init__(self, game: Game[Any], scale: float) -> None:
        self.game, self.scale = game, scale

    def __call__(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) lambda u."""
        return self.scale * self.game.result(states).to(torch.get_default_dtype())

    def __repr__(self) -> str:
        return f"Result(scale={self.scale:g})"

"""Positions of many games at once, each with the moves that led to it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.environment.movers import CHANCE
from gflow.errors import IllegalActionError, IncompatibleError
from gflow.state import batch_size, take, tree_map


@dataclass(frozen=True)
class Positions:
    """Where B games stand.

    Attributes:
        states: B states.
        history: (B, T) int64 actions from the source on, moves of chance among them; a row that is
            shorter than others ends in -1.
    """

    states: Any
    history: Tensor

    def __len__(self) -> int:
        return self.history.shape[0]

    @classmethod
    def start(cls, env: Environment[Any], count: int) -> "Positions":
        """`count` games that have not begun."""
        return cls(env.start(count), torch.zeros(count, 0, dtype=torch.int64))

    @classmethod
    def after(cls, env: DiscreteEnvironment[Any], history: Tensor) -> "Positions":
        """Positions after given moves, rows shorter than others filled up with -1.

        Raises:
            IllegalActionError: If a move is illegal, or comes after the end.
        """
        found = cls.start(env, len(history))
        for column in history.unbind(1):
            rows = (column >= 0).nonzero().squeeze(1)
            found = found.stepped(env, rows, column[rows])
        return found

    def take(self, rows: Tensor) -> "Positions":
        """Some of them, by (b,) int64 or (B,) bool."""
        return Positions(take(self.states, rows), self.history[rows])

    def stepped(self, env: DiscreteEnvironment[Any], rows: Tensor, actions: Tensor) -> "Positions":
        """The same games after a legal move in some rows, (b,) int64 each."""
        if len(rows) == len(self):
            states = env.step(self.states, actions)
        else:
            moved = env.step(take(self.states, rows), actions)
            states = put(self.states, rows, moved)
        column = torch.full((len(self),), -1).index_put((rows,), actions)
        return Positions(states, torch.cat([self.history, column[:, None]], 1))

    def moves_of(self, row: int) -> list[int]:
        """The moves that led to one position."""
        return [action for action in self.history[row].tolist() if action >= 0]


def put(states: Any, rows: Tensor, values: Any) -> Any:
    """Copies of states in which some rows are others."""
    return tree_map(lambda old, new: old.index_put((rows,), new), states, values)


def require_game(env: Environment[Any], who: str) -> DiscreteEnvironment[Any]:
    """The environment as a game of two that the arena can play.

    Args:
        env: Any environment.
        who: What asks, for the message.

    Raises:
        IncompatibleError: It is none, with what is missing.
    """
    found = require_numbered(env, who, "Games have numbered moves.")
    if env.num_players != 2:
        raise IncompatibleError(
            f"{who}: needs a game of two players, and {env.name} has {env.num_players}. "
            f"A game says num_players = 2 and whose move it is by `mover`: +1 or -1."
        )
    if env.stop_action is not None or env.condition_dim:
        what = "ends by a stop" if env.stop_action is not None else "reads a condition"
        raise IncompatibleError(
            f"{who}: {env.name} {what}. Games in the arena end by force and read no condition."
        )
    return found


def winner(env: Environment[Any], states: Any) -> Tensor:
    """(B,) int64 who won finished games: 1 the first player, -1 the second, 0 nobody."""
    return env.player_log_reward(states)[:, 0].sign().long()


def turn(env: Environment[Any], states: Any) -> Tensor:
    """(B,) int64 whose move it is: +1, -1, or CHANCE.

    Raises:
        IncompatibleError: If the environment does not say, or says others.
    """
    mover = env.mover(states)
    if mover is None:
        raise IncompatibleError(
            f"{env.name} says no `mover`, so the arena cannot tell whose move it is."
        )
    known = (mover == 1) | (mover == -1) | (mover == CHANCE)
    if not bool(known.all()):
        row = int((~known).nonzero()[0])
        raise IncompatibleError(
            f"{env.name}: `mover` says {int(mover[row])} at {env.shown(states, row)}; in a game "
            f"of two it is 1, -1 or CHANCE."
        )
    return mover


def refuse_illegal(env: DiscreteEnvironment[Any], states: Any, actions: Tensor, who: str) -> None:
    """Complain about a player that moves where it may not.

    Raises:
        IllegalActionError: With the player, the position and its legal moves.
    """
    mask = env.forward_mask(states)
    if tuple(actions.shape) != (batch_size(states),) or actions.dtype != torch.int64:
        raise IllegalActionError(
            f"The player {who} must answer with ({batch_size(states)},) int64 moves, got "
            f"{tuple(actions.shape)} {actions.dtype}."
        )
    inside = (actions >= 0) & (actions < env.num_actions)
    at = actions.clamp(0, env.num_actions - 1)
    legal = inside & mask.gather(1, at[:, None]).squeeze(1)
    if not bool(legal.all()):
        row = int((~legal).nonzero()[0])
        raise IllegalActionError(
            f"The player {who} made the move {int(actions[row])} at {env.shown(states, row)}; "
            f"legal: {mask[row].nonzero().flatten().tolist()}."
        )

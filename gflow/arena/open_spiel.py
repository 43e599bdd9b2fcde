"""OpenSpiel, imported when it is first needed and never before, and our games as its own."""

import importlib
from typing import Any

from gflow.environment.base import Environment
from gflow.errors import IncompatibleError, MissingExtraError


def pyspiel() -> Any:
    """The module of OpenSpiel.

    Raises:
        MissingExtraError: If OpenSpiel is not installed.
    """
    try:
        return importlib.import_module("pyspiel")
    except ImportError as error:
        raise MissingExtraError("open_spiel", "games", "Monte-Carlo tree search") from error


def game_of(env: Environment[Any], who: str) -> Any:
    """OpenSpiel's game with the rules and the numbers of actions of an environment.

    The environment names it by a method `openspiel_name`, such as "connect_four(rows=4,columns=4)".

    Raises:
        IncompatibleError: If it names none.
        MissingExtraError: If OpenSpiel is not installed.
    """
    name = openspiel_name(env)
    if not name:
        raise IncompatibleError(
            f"{who}: {env.name} names no game of OpenSpiel. Where there is one with the same rules "
            f"and numbers of actions, define `openspiel_name()` as its name."
        )
    return pyspiel().load_game(name)


def openspiel_name(env: Environment[Any]) -> str:
    """What the environment calls itself there; empty if it does not."""
    name: Any = getattr(env, "openspiel_name", "")
    return str(name() if callable(name) else name)


def state_after(game: Any, moves: list[int]) -> Any:
    """OpenSpiel's position after some moves."""
    state = game.new_initial_state()
    for move in moves:
        state.apply_action(move)
    return state

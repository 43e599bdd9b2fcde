"""Who plays: folders of runs, and words such as `mcts:100`, as players of one game."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gflow.arena.folder import AlphaZeroFolder
from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.open_spiel import openspiel_name
from gflow.arena.players import Player, PolicyPlayer, UniformPlayer
from gflow.arena.positions import require_game
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.exact.graph import enumerate_states
from gflow.runs.trained import load

WORDS = ("uniform", "minimax", "mcts:N", "perfect")
MINIMAX_LIMIT = 500_000
"""Games with more states than this are not listed for minimax."""


@dataclass(frozen=True)
class Entrant:
    """A folder as a player.

    Attributes:
        folder: Where it is kept.
        env: The game that it was trained on.
        player: It.
    """

    folder: str
    env: DiscreteEnvironment[Any]
    player: Player


def entrant(folder: str, temperature: float = 1.0, simulations: int = 100) -> Entrant:
    """What was trained in a folder, by `gflow train` or by `gflow alphazero`, as a player.

    Args:
        folder: The folder.
        temperature: Of a policy; 0 for its likeliest moves.
        simulations: Of an AlphaZero, for each move.

    Raises:
        ConfigError: If the folder holds no run.
        IncompatibleError: If it was trained on no game of two, or is told a condition by which none
            is that game.
    """
    path = Path(folder)
    kept = AlphaZeroFolder(path)
    if kept.holds_one:
        _, made = kept.load()
        return Entrant(folder, made.env, made.player(simulations, path.resolve().name))
    trained = load(path)
    env, policy = require_game(trained.context.env, f"{folder}"), trained.context.policy
    if policy is None:
        raise IncompatibleError(
            f"{folder} is told a condition, and by none that it was trained on its game is the one "
            f"that others play (a temperature of 1). Train it with --condition-low 1 or below."
        )
    policy.eval()
    return Entrant(folder, env, PolicyPlayer(policy, path.resolve().name, temperature))


def player_of(word: str, env: DiscreteEnvironment[Any], judge: str = "") -> Player:
    """A player by its word.

    Args:
        word: uniform, minimax, mcts:N with N simulations for each move, or perfect.
        env: The game.
        judge: The Python in whose environment BitBully is, for perfect.

    Raises:
        ConfigError: A number of simulations that is none.
        UnknownNameError: There is no such player.
        IncompatibleError: The player does not play this game.
        MissingExtraError: The player needs a package that is not installed.
    """
    kind, _, number = word.partition(":")
    if kind == "mcts":
        from gflow.arena.mcts import MCTSPlayer

        if not number.isdigit():
            raise ConfigError(
                f"mcts needs its number of simulations for each move, as in mcts:100; got {word!r}."
            )
        return MCTSPlayer(env, int(number))
    if word == "uniform":
        return UniformPlayer()
    if word == "minimax":
        return MinimaxPlayer(env, graph=_listed(env))
    if word == "perfect":
        from gflow.arena.perfect import PerfectPlayer

        return PerfectPlayer(env, judge)
    refuse_folders([word])
    raise UnknownNameError("player", word, WORDS)


def refuse_folders(words: Sequence[str]) -> None:
    """Complain about folders among the words for other players.

    Raises:
        ConfigError: If there is one.
    """
    for word in words:
        if "/" in word or Path(word).is_dir():
            raise ConfigError(
                f"{word!r} is no player by name; folders of runs come first: gflow arena {word} "
                f"--players uniform"
            )


def _listed(env: DiscreteEnvironment[Any]) -> Any:
    try:
        return enumerate_states(env, MINIMAX_LIMIT)
    except IncompatibleError as error:
        raise IncompatibleError(
            f"minimax lists all states of a game, and at most {MINIMAX_LIMIT:,}: {error} Use "
            f"mcts:N here."
        ) from error


def same_game(entrants: Sequence[Entrant]) -> DiscreteEnvironment[Any]:
    """The game that all were trained on.

    Raises:
        IncompatibleError: If they were trained on different ones.
    """
    first = entrants[0]
    for other in entrants[1:]:
        ours, theirs = rules(first.env), rules(other.env)
        if ours != theirs:
            raise IncompatibleError(
                f"All runs of an arena must be of one game: {first.folder} is of {_said(ours)}, "
                f"{other.folder} of {_said(theirs)}."
            )
    return first.env


def rules(env: Environment[Any]) -> dict[str, Any]:
    """What tells games apart: their class, their name in OpenSpiel, and sizes.

    How much a win is worth is none of it: runs of different temperature may meet.
    """
    found: dict[str, Any] = {"game": env.name}
    if openspiel_name(env):
        found["openspiel_name"] = openspiel_name(env)
        return found
    for name, value in sorted(vars(env).items()):
        if not name.startswith("_") and name not in ("scale", "reward"):
            if isinstance(value, (bool, int, str, tuple)):
                found[name] = value
    return found


def name_apart(players: Sequence[Player], folders: Sequence[str]) -> None:
    """Give players of the same name the names of their folders, and numbers if need be."""
    names = [player.name for player in players]
    for player, folder in zip(players, folders, strict=False):
        if names.count(player.name) > 1:
            player.name = str(Path(folder))
    seen: dict[str, int] = {}
    for player in players:
        seen[player.name] = seen.get(player.name, 0) + 1
        if seen[player.name] > 1:
            player.name = f"{player.name} #{seen[player.name]}"


def _said(known: dict[str, Any]) -> str:
    rest = ", ".join(f"{key}={value}" for key, value in known.items() if key != "game")
    return f"{known['game']} ({rest})" if rest else str(known["game"])

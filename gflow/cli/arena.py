"""`gflow arena`: runs and other players against each other."""

import sys
import time
from pathlib import Path
from typing import Any

import torch

from gflow.arena.labelled import Labelled
from gflow.arena.lineup import entrant, name_apart, player_of, refuse_folders, same_game
from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.picture import picture
from gflow.arena.players import Player
from gflow.arena.positions import require_game
from gflow.arena.shares import optimal_share, score_shares
from gflow.arena.standings import round_robin
from gflow.bounds import Count, Natural, Temperature
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, FolderError, MissingExtraError
from gflow.tasks.registry import task_class
from gflow.training.atomic import write_text
from gflow.training.json_lines import to_json

MOST = 5000
"""Positions in which players are asked for a move that keeps the value of perfect play."""


def arena(
    run: tuple[str, ...],
    players: tuple[str, ...] = ("uniform",),
    env: str = "",
    games: Count = 100,
    opening: Natural = 2,
    temperature: Temperature = 1.0,
    greedy: bool = False,
    simulations: Count = 100,
    positions: str = "",
    judge: str = "",
    reference: str = "",
    seed: Natural = 0,
    out: str = "",
) -> int:
    """Let runs of one game and other players play against each other, and rate them.

    Args:
        run: Folders of runs, of `gflow train` or `gflow alphazero`.
        players: Who else plays: uniform, minimax, mcts:N (N simulations for each move), perfect
            (Connect-4 by BitBully, if it is installed somewhere).
        env: The game, by its name for `gflow train`, where there is no run.
        games: Games of each pair; half of them from either side.
        opening: Random plies before a game begins; each opening is played from both sides.
        temperature: Of the policies of runs.
        greedy: Let them make their likeliest moves instead.
        simulations: Of AlphaZeros, for each move.
        positions: File of labelled positions; the shares of best moves there are told as well, as
            are those of all positions (or 5,000 of them) if minimax plays.
        judge: The Python that has BitBully.
        reference: Who is rated 0; by default uniform, or else the first.
        seed: Of the random numbers.
        out: Folder for the table as JSON and the picture.
    """
    refuse_folders(players)
    runs = [entrant(folder, 0.0 if greedy else temperature, simulations) for folder in run]
    if not runs and not env:
        raise ConfigError("gflow arena needs a RUN, or --env ENV to say which game is played.")
    game: DiscreteEnvironment[Any]
    game = same_game(runs) if runs else require_game(task_class(env)().environment(), env)
    lineup: list[Player] = [one.player for one in runs]
    try:
        lineup += [player_of(word, game, judge) for word in dict.fromkeys(players)]
        name_apart(lineup, [one.folder for one in runs])
        report = _play(game, lineup, games, opening, positions, reference, seed)
    finally:
        for player in lineup:
            player.close()
    if out:
        _keep(report, Path(out))
    return 0


def _play(
    env: DiscreteEnvironment[Any],
    lineup: list[Player],
    games: int,
    opening: int,
    positions: str,
    reference: str,
    seed: int,
) -> dict[str, Any]:
    names = [player.name for player in lineup]
    if reference and reference not in names:
        raise ConfigError(f"--reference must be one of {', '.join(names)}; got {reference!r}.")
    zero = names.index(reference or ("uniform" if "uniform" in names else names[0]))
    labelled = Labelled.load(Path(positions), env) if positions else None
    began = time.monotonic()
    generator = torch.Generator().manual_seed(seed)
    standings = round_robin(env, lineup, games, opening, generator, zero, _progress())
    seconds = time.monotonic() - began
    print(standings.table())
    print(
        f"{games} games of each pair, {opening} random plies at first, in {seconds:.1f} s; "
        f"Elo of {names[zero]} is 0"
    )
    report: dict[str, Any] = {
        "standings": standings,
        "seconds": round(seconds, 2),
        "games": games,
        "opening": opening,
        "reference": names[zero],
        "seed": seed,
    }
    shares = _shares(env, lineup, labelled, generator)
    if shares:
        report["shares"] = shares
        print("\n" + _table(shares))
    return report


def _shares(
    env: DiscreteEnvironment[Any],
    lineup: list[Player],
    labelled: Labelled | None,
    generator: torch.Generator,
) -> dict[str, dict[str, float]]:
    """Shares of optimal moves of each player, by the definitions that can be had."""
    found: dict[str, dict[str, float]] = {player.name: {} for player in lineup}
    perfect = next((p for p in lineup if isinstance(p, MinimaxPlayer)), None)
    for player in lineup:
        if perfect is not None:
            found[player.name]["value_exact"] = optimal_share(env, player, perfect, generator, MOST)
        if labelled is not None:
            found[player.name] |= score_shares(env, player, labelled, generator)
    return found if perfect is not None or labelled is not None else {}


def _table(shares: dict[str, dict[str, float]]) -> str:
    """The shares as text."""
    width = max(6, *map(len, shares))
    names = list(next(iter(shares.values())))
    head = "  ".join(f"{name.replace('_', '-'):>12}" for name in names)
    lines = [f"{'player':<{width}}  {head}  optimal moves"]
    for player, row in shares.items():
        numbers = "  ".join(f"{100 * row[name]:>10.1f} %" for name in names)
        lines.append(f"{player:<{width}}  {numbers}")
    return "\n".join(lines)


def _keep(report: dict[str, Any], folder: Path) -> None:
    standings = report.pop("standings")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(
            folder / "arena.json", to_json({**standings.to_dict(), **report}, indent=2) + "\n"
        )
        picture(standings, folder / "arena.png")
    except MissingExtraError as error:
        print(f"No picture: {error}")
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {error.strerror}.") from error
    print(f"see {folder}")


def _progress() -> Any:
    """A line that counts the plies, where somebody looks at it."""
    if not sys.stderr.isatty():
        return None

    def tell(ply: int, live: int) -> None:
        end = "" if live else "\r\033[K"
        print(f"\rply {ply}, {live} games go on \033[K{end}", end="", file=sys.stderr, flush=True)

    return tell

"""`gflow alphazero`: train an AlphaZero on a game, for a given time, to measure runs against."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gflow.arena.alphazero import AlphaZeroOptions
from gflow.arena.folder import AlphaZeroFolder
from gflow.arena.search import SearchOptions
from gflow.bounds import Natural, Positive, check_fields
from gflow.cli.words import HELP, listing, split, value_of
from gflow.errors import ConfigError, UnknownNameError
from gflow.runs.interrupt import interruptible
from gflow.tasks.flags import Flag
from gflow.tasks.registry import task_class
from gflow.tasks.signature import Option, dashed, options_of


@dataclass(frozen=True)
class Session:
    """How long, and where to.

    Attributes:
        minutes: Wall time of training.
        rounds: Rounds of self-play at most; 0 for as many as there is time for.
        out: Folder; by default runs/ENV-alphazero-SEED.
        overwrite: Start anew in a folder that holds a run.
        seed: Of the random numbers.
        threads: Threads of torch; 0 leaves its own choice.
        quiet: Print only the result.
    """

    minutes: Positive = 10.0
    rounds: Natural = 0
    out: str = ""
    overwrite: bool = False
    seed: Natural = 0
    threads: Natural = 0
    quiet: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


Groups = dict[str, dict[str, Option]]
"""Options by the names of their flags, in groups."""

GROUPS = {"training": Session, "learning": AlphaZeroOptions, "search": SearchOptions}


def alphazero(words: Sequence[str]) -> int:
    """Train one: flags of the session, of learning, of the search, and of the environment."""
    if not words or words[0].startswith("-"):
        print("usage: gflow alphazero ENV [flags]\n\nENV is a game of two, as for gflow train.")
        return 0 if words else 2
    cls = task_class(words[0])
    own = {name: options_of(group) for name, group in GROUPS.items()}
    taken = {option.name for group in own.values() for option in group}
    called = {f"task_{o.name}" if o.name in taken else o.name: o for o in options_of(cls)}
    known = {group: {option.name: option for option in found} for group, found in own.items()}
    known["environment"] = called
    if any(word in HELP for word in words):
        print("\n".join(_help(words[0], known)))
        return 0
    given = _read(words, known)
    session = Session(**given["training"])
    task = cls(**given["environment"])
    folder = AlphaZeroFolder(
        Path(session.out or f"runs/{task.name}-alphazero-{session.seed}").expanduser()
    )
    if session.threads:
        torch.set_num_threads(session.threads)
    made = folder.create(
        task,
        AlphaZeroOptions(**given["learning"]),
        SearchOptions(**given["search"]),
        session.seed,
        session.overwrite,
    )

    def report(numbers: dict[str, float]) -> None:
        folder.save(made, numbers)
        if not session.quiet:
            print(
                f"round {numbers['round']:.0f}  games {numbers['games']:.0f}  "
                f"{numbers['seconds']:.0f} s  policy loss {numbers['policy_loss']:.3f}  "
                f"value loss {numbers['value_loss']:.3f}",
                flush=True,
            )

    with interruptible() as interrupted:
        made.train(
            60 * session.minutes, session.rounds or torch.inf, report, lambda: bool(interrupted)
        )
    if made.rounds:
        folder.save(made)
        print(
            f"{made.rounds} rounds, {made.games} games and {made.updates} steps in "
            f"{made.seconds:.0f} s; see {folder.path}"
        )
    else:
        folder.remove_if_empty()
        print("Not one round was finished: give more --minutes, or fewer --games.")
    return 130 if interrupted else 0


def _read(words: Sequence[str], known: Groups) -> dict[str, dict[str, Any]]:
    free, typed = split(words)
    if len(free) > 1:
        raise ConfigError(f"gflow alphazero has no use for {free[1]!r}: flags begin with --.")
    place = {name: (group, o) for group, named in known.items() for name, o in named.items()}
    given: dict[str, dict[str, Any]] = {group: {} for group in known}
    for word in typed:
        if word.name not in place:
            raise UnknownNameError("flag", dashed(word.name), map(dashed, place))
        group, option = place[word.name]
        given[group][option.name] = value_of(word, option, dashed(word.name))
    return given


def _help(name: str, known: Groups) -> list[str]:
    lines = [f"usage: gflow alphazero {name} [flags]", ""]
    lines += ["Train an AlphaZero, the network being that of gflow train.", ""]
    for group, options in known.items():
        lines += listing(group, [Flag(group, o, (called,)) for called, o in options.items()])
    return lines

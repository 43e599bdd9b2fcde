"""A perfect player of Connect-4, in a process of its own: BitBully, if somebody installed it."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow.arena.open_spiel import openspiel_name
from gflow.arena.players import Player, pick
from gflow.arena.positions import Positions
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import ConfigError, GFlowError, IncompatibleError

WORKER = Path(__file__).with_name("perfect_worker.py")
BOARDS = ("connect_four", "connect_four(rows=6,columns=7,x_in_row=4)")
"""What the board that it knows is called."""

INSTALL = (
    "It is under the AGPL and no part of gflow: install it where you like "
    "(`python -m venv judge && judge/bin/pip install bitbully`) and name that Python "
    "(--judge judge/bin/python)"
)


class JudgeError(GFlowError, RuntimeError):
    """The perfect player cannot be had, or died."""


class PerfectPlayer(Player):
    """Plays the move with the best score, ties at random; scores count the stones to spare.

    Args:
        env: Connect-4 on the usual board; None for no check.
        python: The Python in whose environment BitBully is installed; by default this one's.
        name: In tables.

    Raises:
        IncompatibleError: If the game is another one.
        JudgeError: If BitBully is not there, with what to do.
    """

    def __init__(
        self, env: Environment[Any] | None = None, python: str = "", name: str = "perfect"
    ) -> None:
        if env is not None and openspiel_name(env).replace(" ", "") not in BOARDS:
            raise IncompatibleError(
                f"{name}: plays Connect-4 on 6 rows and 7 columns alone, and this is {env.name} "
                f"({openspiel_name(env) or 'no game of OpenSpiel'}). Use minimax or mcts:N here."
            )
        self.name, self.python = name, python or sys.executable
        try:
            self._process = subprocess.Popen(
                [self.python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise ConfigError(f"{name}: {self.python!r} cannot be run: {error.strerror}.") from None
        self._listen()

    def scores(self, moves: list[int]) -> dict[int, int]:
        """The score of each legal column after some moves, for who is to move.

        Raises:
            JudgeError: If the process died, or takes no such position.
        """
        answer = self._ask({"moves": moves})
        if "error" in answer:
            raise JudgeError(f"The player {self.name} refused {moves}: {answer['error']}")
        return {int(column): score for column, score in answer["scores"].items()}

    def table(self, env: DiscreteEnvironment[Any], positions: Positions) -> Tensor:
        """(B, A) float64 scores of the moves, -inf for illegal ones."""
        found = torch.full((len(positions), env.num_actions), -torch.inf, dtype=torch.float64)
        for row in range(len(positions)):
            for column, score in self.scores(positions.moves_of(row)).items():
                found[row, column] = score
        return found

    def moves(
        self, env: DiscreteEnvironment[Any], positions: Positions, generator: torch.Generator
    ) -> Tensor:
        """(B,) int64 moves."""
        table = self.table(env, positions)
        return pick(table == table.amax(-1, keepdim=True), generator)

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._process.communicate(timeout=5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._dead() from None
        return self._listen()

    def _listen(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            raise self._dead() from None
        return found

    def _dead(self) -> JudgeError:
        said = ""
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            said = self._process.communicate(timeout=5)[1] or ""
        last = (said.strip().splitlines() or ["it ended without a word"])[-1]
        if "No module named 'bitbully'" in said:
            return JudgeError(
                f"The player {self.name} needs the package 'bitbully', which {self.python} does "
                f"not have. {INSTALL}."
            )
        return JudgeError(f"The player {self.name} died: {last}.")

"""`gflow play`: a person at the terminal, who types what there is and what there is not."""

import builtins
import io
import os
import pty
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.players import Player
from gflow.arena.positions import Positions
from gflow.cli import main as cli
from gflow.cli.main import main
from gflow.cli.play import game
from gflow.envs.games import Connect4, Pig, TicTacToe

pytestmark = pytest.mark.usefixtures("sketches")

ROOT = Path(cli.__file__).parents[2]
THREE = """
from gflow.envs.games import TicTacToe

class Three(TicTacToe):
    def __init__(self, scale: float = 10.0):
        super().__init__(scale=scale)
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    (tmp_path / "three.py").write_text(THREE)
    words = ["alphazero", f"{tmp_path / 'three.py'}:Three", "--rounds=1", "--games=4", "--width=8"]
    words += ["--simulations=4", "--batch-size=8", f"--out={tmp_path / 'az'}", "--quiet"]
    assert main(words) == 0
    capsys.readouterr()
    return str(tmp_path / "az")


class Script(Player):
    """Plays given moves."""

    name = "script"

    def __init__(self, *moves: int) -> None:
        self.left = list(moves)

    def moves(self, env: Any, positions: Positions, generator: torch.Generator) -> Tensor:
        return torch.tensor([self.left.pop(0)])


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_game_is_won(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells have numbers from 1; X takes 1, 2, 3 while O takes 4 and 5."""
    typed(monkeypatch, "1", "2", "3")
    assert game(TicTacToe(), Script(3, 4), 1, seeded())
    said = capsys.readouterr().out
    assert "You are X, script is O. q leaves the game." in said
    assert "your move (1, 2, 3, 4, 5, 6, 7, 8, 9): " in said
    assert "your move (2, 3, 5, 6, 7, 8, 9): " in said
    assert "script: 4" in said
    assert " X X 3\n O O 6\n 7 8 9" in said
    assert said.endswith(" X X X\n O O 6\n 7 8 9\nYou win.\n")


def test_a_game_is_lost_and_one_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "4", "5")
    assert game(TicTacToe(), Script(0, 1, 2), -1, seeded())
    said = capsys.readouterr().out
    assert "You are O, script is X." in said
    assert said.endswith("script wins.\n")
    typed(monkeypatch, "5", "3", "4", "8", "9")
    assert game(TicTacToe(), Script(0, 6, 5, 1), 1, seeded())
    assert capsys.readouterr().out.endswith("A draw.\n")


def test_bad_moves_are_refused_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "1", "1", "10", "left", "", "-1", "2", "3")
    assert game(TicTacToe(), Script(3, 4), 1, seeded())
    said = capsys.readouterr().out
    for wrong in ("'1'", "'10'", "'left'", "'-1'"):
        assert f"{wrong} is no legal move; legal: 2, 3, 5, 6, 7, 8, 9. q leaves the game." in said
    assert "Nothing was typed; legal: 2, 3" in said
    assert said.endswith("You win.\n")


def test_moves_are_called_as_the_game_calls_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pig is played in words, and chance tells what it does."""
    typed(monkeypatch, *(["roll", "HOLD"] * 20))
    pig = Pig(target=4, sides=3, turns=2)
    assert game(pig, MinimaxPlayer(pig), 1, seeded())
    said = capsys.readouterr().out
    assert "your move (roll): " in said
    assert "chance: " in said
    assert re.search(r"(You win|A draw|minimax wins)\.\n$", said)
    typed(monkeypatch, "7", "q")
    assert not game(Connect4(), Script(6), 1, seeded())
    assert "script: 7" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["q", "quit", "EXIT"])
def test_leaving(
    word: str, run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "5", word)
    assert main(["play", run, "--simulations=2"]) == 0
    assert capsys.readouterr().out.endswith("You left the game.\n")


def test_end_of_file_leaves(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch)
    assert main(["play", run, "--side=second", "--simulations=2"]) == 0
    said = capsys.readouterr().out
    assert "You are O, az is X." in said
    assert "az: " in said
    assert said.endswith("You left the game.\n")


def test_ctrl_c_leaves_with_130(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(builtins, "input", interrupted)
    assert main(["play", run]) == 130
    assert capsys.readouterr().out.endswith("You left the game.\n")


def test_flags(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", run, "--side=third"]) == 2
    assert "must be one of first, second" in capsys.readouterr().err
    assert main(["play", str(Path(run).parent)]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert main(["play"]) == 2
    assert "needs RUN" in capsys.readouterr().err


class Screen:
    """A game in a terminal of its own."""

    def __init__(self, starter: Any, run: str) -> None:
        self.at, theirs = pty.openpty()
        words = ["-m", "gflow", "play", "--greedy", run, "--simulations=2"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.program = starter.start(words, env=env, terminal=theirs)
        os.close(theirs)
        os.set_blocking(self.at, False)
        self.seen = b""

    def until(self, text: bytes, times: int = 1, seconds: float = 60) -> None:
        """Wait until a text was shown so many times."""
        limit = time.monotonic() + seconds
        while self.seen.count(text) < times:
            assert time.monotonic() < limit, self.seen.decode()
            try:
                self.seen += os.read(self.at, 10_000)
            except BlockingIOError:
                time.sleep(0.02)

    def type(self, keys: bytes) -> None:
        os.write(self.at, keys)

    def code(self) -> int:
        """Its exit code."""
        code: int = self.program.wait()
        return code


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "expected"), [(b"\x04", 0), (b"\x03", 130), (b"q\n", 0)])
def test_in_a_terminal(starter: Any, run: str, keys: bytes, expected: int) -> None:
    """Control-D, Control-C and q, after a bad move and a good one."""
    screen = Screen(starter, run)
    screen.until(b"your move (1, 2, 3, 4, 5, 6, 7, 8, 9): ")
    screen.type(b"nonsense\n")
    screen.until(b"your move (", 2)
    assert b"'nonsense' is no legal move" in screen.seen
    screen.type(b"5\n")
    screen.until(b"your move (", 3)
    assert b"X" in screen.seen
    assert b"az: " in screen.seen
    screen.type(keys)
    screen.until(b"You left the game.")
    assert b"Traceback" not in screen.seen
    assert screen.code() == expected
    os.close(screen.at)

"""The perfect player in its own process, with a small solver in the place of BitBully.

BitBully is no dependency. What is tested is our side: the talk, the moves, and what is said when it
is not there or fails. The module below has the parts of its interface that the worker uses, and
solves late positions by brute force.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gflow.arena.perfect import JudgeError, PerfectPlayer
from gflow.arena.positions import Positions
from gflow.envs.games import Connect4, TicTacToe
from gflow.errors import ConfigError, IncompatibleError

SOLVER = '''
from functools import cache
import pyspiel

GAME = pyspiel.load_game("connect_four")

class Board:
    @classmethod
    def from_moves(cls, moves):
        board = cls()
        board.state = GAME.new_initial_state()
        for move in moves:
            board.state.apply_action(move)
        return board

def value(state):
    """Score for who is to move: stones to spare, as BitBully counts."""
    if state.is_terminal():
        result = state.returns()[0]
        if not result:
            return 0
        return -((43 - len(state.history())) + 1) // 2
    return max(-value(state.child(a)) for a in state.legal_actions())

class BitBully:
    def score_all_moves(self, board):
        return {a: -value(board.state.child(a)) for a in board.state.legal_actions()}
'''

GAME = Connect4()
# 36 stones, no line yet: the last columns decide.
LATE = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 4, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4]


@pytest.fixture
def solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PerfectPlayer]:
    (tmp_path / "bitbully.py").write_text(SOLVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    player = PerfectPlayer(GAME)
    yield player
    player.close()


def late_positions(count: int, plies: int) -> Positions:
    """Random positions with so many stones."""
    from gflow.arena.matches import openings

    return Positions.after(GAME, openings(GAME, count, plies, torch.Generator().manual_seed(1)))


def test_scores_are_asked_for_in_another_process(solver: PerfectPlayer) -> None:
    places = late_positions(6, 36)
    table = solver.table(GAME, places)
    assert torch.equal(table.isfinite(), GAME.forward_mask(places.states))
    # Scores are consistent: a move is worth what the best reply loses (T2.9).
    for row in range(len(places)):
        for action in GAME.forward_mask(places.states)[row].nonzero().flatten().tolist():
            after = [*places.moves_of(row), action]
            reached = Positions.after(GAME, torch.tensor([after]))
            if not bool(GAME.is_terminal(reached.states)):
                assert table[row, action] == -max(solver.scores(after).values())
    assert table[table.isfinite()].unique().numel() > 2


def test_it_plays_the_best_score(solver: PerfectPlayer) -> None:
    places = late_positions(8, 36)
    table = solver.table(GAME, places)
    moves = solver.moves(GAME, places, torch.Generator().manual_seed(0))
    assert torch.equal(table.gather(1, moves[:, None]).squeeze(1), table.amax(1))


def test_positions_that_it_refuses(solver: PerfectPlayer) -> None:
    with pytest.raises(JudgeError, match=r"refused \[0, 0, 0, 0, 0, 0, 0\]"):
        solver.scores([0] * 7)
    assert solver.scores(late_positions(1, 38).moves_of(0)), "it goes on"


def test_a_process_that_died(solver: PerfectPlayer) -> None:
    solver._process.kill()
    solver._process.wait()
    with pytest.raises(JudgeError, match="died: it ended without a word"):
        solver.scores([3])


def test_without_bitbully_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"needs the package 'bitbully'.*--judge judge/bin/python"):
        PerfectPlayer(GAME)
    with pytest.raises(ConfigError, match="cannot be run"):
        PerfectPlayer(GAME, str(tmp_path / "python"))


def test_other_games_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="6 rows and 7 columns alone"):
        PerfectPlayer(TicTacToe())
    with pytest.raises(IncompatibleError, match="6 rows and 7 columns alone"):
        PerfectPlayer(Connect4(4, 4, 3))


def test_bitbully_is_imported_by_nobody() -> None:
    """It is under the AGPL: the worker alone names it, and nobody imports the worker."""
    assert "bitbully" not in sys.modules
    root = Path(__file__).resolve().parents[3]
    for path in [*(root / "gflow").rglob("*.py"), *(root / "benchmarks").rglob("*.py")]:
        text = path.read_text()
        imports = "import bitbully" in text or "from bitbully" in text
        assert imports == (path.name == "perfect_worker.py"), path
        assert "import perfect_worker" not in text
        assert "arena.perfect_worker import" not in text

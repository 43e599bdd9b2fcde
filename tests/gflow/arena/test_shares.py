"""Shares of optimal moves, by both definitions, and the file of labelled positions."""

from pathlib import Path

import pytest
import torch

from gflow.arena.labelled import Labelled
from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.players import PolicyPlayer, UniformPlayer
from gflow.arena.positions import Positions
from gflow.arena.shares import every_position, optimal_mass, optimal_share, score_shares
from gflow.envs.games import Connect4, TicTacToe
from gflow.errors import ConfigError
from gflow.exact.games import adversarial_flows
from gflow.exact.tabular import TabularPolicy
from gflow.state import equal_rows

GAME = TicTacToe()
PERFECT = MinimaxPlayer(GAME)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_position_has_a_line_that_leads_to_it() -> None:
    """4,520 positions, 2,423 with the first player to move."""
    places, optimal = every_position(GAME, PERFECT)
    assert len(places) == len(optimal) == 4520
    assert int((GAME.mover(places.states) == 1).sum()) == 2423
    again = Positions.after(GAME, places.history)
    assert equal_rows(again.states, places.states).all()


def test_a_uniform_player_finds_58_in_100() -> None:
    """The golden 0.579650 of all 4,520 states: as a probability exactly, as a share nearly."""
    table = TabularPolicy(PERFECT.graph)
    even = PolicyPlayer(table)
    assert optimal_mass(GAME, even, PERFECT) == pytest.approx(0.579650, abs=1e-6)
    assert optimal_share(GAME, UniformPlayer(), PERFECT, seeded()) == pytest.approx(0.58, abs=0.03)


def test_perfect_play_is_optimal_everywhere() -> None:
    assert optimal_share(GAME, PERFECT, PERFECT, seeded()) == 1


@pytest.mark.parametrize(("scale", "greedy", "mass"), [(0.5, 98.274, 0.6552), (2, 99.823, 0.8624)])
def test_shares_of_the_exact_solution(scale: float, greedy: float, mass: float) -> None:
    """Golden shares of the branch-adjusted solution; ties of equal flows are broken at random."""
    game = TicTacToe(scale=scale)
    perfect = MinimaxPlayer(game)
    policy = TabularPolicy.solved(perfect.graph, adversarial_flows(perfect.graph))
    found = optimal_share(game, PolicyPlayer(policy, temperature=0), perfect, seeded())
    assert 100 * found == pytest.approx(greedy, abs=0.12)
    assert optimal_mass(game, PolicyPlayer(policy), perfect) == pytest.approx(mass, abs=1e-4)


BOARD = Connect4(4, 4, 3)
# Two positions; in the first column 0 wins soonest and 1 wins later, in the second all lose.
LABELS = Labelled.of(
    [[0, 1, 0, 1], [3, 2]],
    [{0: 5.0, 1: 2.0, 2: -1.0, 3: 0.0}, {0: -1.0, 1: -2.0, 2: -2.0, 3: -2.0}],
    4,
)


class Column:
    """Plays one column."""

    name = "column"

    def __init__(self, column: int) -> None:
        self.column = column

    def moves(
        self, env: Connect4, positions: Positions, generator: torch.Generator
    ) -> torch.Tensor:
        return torch.full((len(positions),), self.column)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("column", "exact", "sign"), [(0, 1.0, 1.0), (1, 0.0, 1.0), (2, 0.0, 0.5), (3, 0.0, 0.5)]
)
def test_score_exact_is_not_sign_exact(column: int, exact: float, sign: float) -> None:
    found = score_shares(BOARD, Column(column), LABELS, seeded())  # type: ignore[arg-type]
    assert found == {"score_exact": exact, "sign_exact": sign}


def test_labels_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    LABELS.save(path)
    assert path.read_text().splitlines()[1] == (
        '{"moves": [3, 2], "scores": {"0": -1.0, "1": -2.0, "2": -2.0, "3": -2.0}}'
    )
    found = Labelled.load(path, BOARD)
    assert torch.equal(found.history, LABELS.history)
    assert torch.equal(found.scores, LABELS.scores)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"moves": [0]}', "line 1: a position is"),
        ("nonsense", "line 1: a position is"),
        ('{"moves": [0], "scores": {"9": 1}}', "a score for a move outside 0 ... 3"),
        ('{"moves": [0, -1], "scores": {"1": 1}}', "a move outside 0 ... 3"),
        ("", "holds no positions"),
    ],
)
def test_files_that_are_none(line: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ConfigError, match=complaint):
        Labelled.load(path, BOARD)
    with pytest.raises(ConfigError, match="cannot be read"):
        Labelled.load(tmp_path / "nowhere", BOARD)


def test_labels_of_another_game_are_refused() -> None:
    short = Labelled.of([[0]], [{0: 1.0, 1: 1.0, 2: 1.0}], 4)
    with pytest.raises(
        ConfigError, match=r"scores for the moves \[0, 1, 2\], and legal are \[0, 1"
    ):
        short.positions(BOARD)
    full = Labelled.of([[0, 0, 0, 0, 0]], [{1: 1.0, 2: 1.0, 3: 1.0}], 4)
    with pytest.raises(ConfigError, match="of another game"):
        full.positions(BOARD)
    over = Labelled.of([[0, 1, 0, 1, 0]], [{}], 4)
    with pytest.raises(ConfigError, match="Labelled position 0"):
        over.positions(BOARD)

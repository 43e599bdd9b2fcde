"""Games of players against each other: both sides, results, and players that are known."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.arena.matches import both_sides, openings, play
from gflow.arena.mcts import MCTSPlayer
from gflow.arena.minimax import MinimaxPlayer
from gflow.arena.players import Player, UniformPlayer
from gflow.arena.positions import Positions
from gflow.arena.standings import round_robin, standings
from gflow.environment.movers import CHANCE
from gflow.envs.games import Connect4, Pig, TicTacToe
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IllegalActionError, IncompatibleError
from gflow.testing.table import TableEnvironment


class First(Player):
    """The first legal move, and a note of every question."""

    def __init__(self, name: str = "first") -> None:
        self.name, self.asked = name, []  # type: ignore[var-annotated]

    def moves(self, env: Any, positions: Positions, generator: torch.Generator) -> Tensor:
        self.asked.append(len(positions))
        return env.forward_mask(positions.states).long().argmax(1)  # type: ignore[no-any-return]


class Always(Player):
    """One move, legal or not."""

    name = "stubborn"

    def moves(self, env: Any, positions: Positions, generator: torch.Generator) -> Tensor:
        return torch.zeros(len(positions), dtype=torch.int64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


GAME = TicTacToe()


def test_each_opening_is_played_from_both_sides() -> None:
    opening = openings(GAME, 3, 2, seeded())
    seats, begun = both_sides([(0, 1), (1, 2)], opening)
    assert len(seats) == len(begun) == 12
    met = Counter(
        (a, b, tuple(o)) for (a, b), o in zip(seats.tolist(), begun.tolist(), strict=True)
    )
    for a, b in ((0, 1), (1, 0), (1, 2), (2, 1)):
        for row in opening.tolist():
            assert met[a, b, tuple(row)] >= 1
    games = play(GAME, [UniformPlayer(n) for n in "abc"], seats, begun, seeded())
    assert torch.equal(games.history[:, :2], begun)


def test_results_are_the_first_players() -> None:
    """First against first: X takes 0, 2, 4, 6 and wins; as the second it loses."""
    a, b = First("a"), First("b")
    seats = torch.tensor([[0, 1], [1, 0]])
    games = play(GAME, [a, b], seats, torch.zeros(2, 0, dtype=torch.int64), seeded())
    assert games.history.tolist() == [[0, 1, 2, 3, 4, 5, 6]] * 2
    assert games.result.tolist() == [1, 1]
    table = standings(["a", "b"], games)
    assert table.results[0, 1].tolist() == table.results[1, 0].tolist() == [1, 0, 0]
    assert (table.of(0, "first"), table.of(0, "second")) == ((1, 0, 0), (0, 0, 1))
    assert table.ratings.elo.tolist() == pytest.approx([0, 0])


def test_players_are_asked_once_a_ply_about_all_their_games() -> None:
    a, b = First("a"), First("b")
    seats, begun = both_sides([(0, 1)], torch.zeros(5, 0, dtype=torch.int64))
    games = play(GAME, [a, b], seats, begun, seeded())
    assert a.asked == b.asked == [5] * 7
    assert [clock.moves for clock in games.clocks] == [35, 35]
    assert all(clock.speed > 0 for clock in games.clocks)


def test_a_win_of_the_second_player_is_told_as_such() -> None:
    """On this line O has 0, 1, 2."""
    games = play(
        GAME, [First(), First("other")], torch.tensor([[0, 1]]),
        torch.tensor([[3, 0, 8, 1, 7]]), seeded(),
    )  # fmt: skip
    assert games.history.tolist() == [[3, 0, 8, 1, 7, 2]]
    assert games.result.tolist() == [-1]
    assert standings(["a", "b"], games).of(1, "second") == (1, 0, 0)
    assert standings(["a", "b"], games).of(0, "first") == (0, 0, 1)


def test_minimax_never_loses() -> None:
    """200 games from either side, against three players; against itself all are drawn."""
    perfect = MinimaxPlayer(GAME)
    players = [perfect, UniformPlayer(), MCTSPlayer(GAME, 20), First()]
    table = round_robin(GAME, players, 400, 0, seeded())
    assert table.results[0, :, 2].sum() == 0
    assert table.results[:, 0, 0].sum() == 0
    assert table.results[0, 1, 0] > 180
    again = MinimaxPlayer(GAME, "again", perfect.graph)
    table = round_robin(GAME, [perfect, again], 100, 1, seeded(1))
    assert table.results[0, 1].tolist() == table.results[1, 0].tolist() == [0, 50, 0]


def test_minimax_draws_among_equal_moves() -> None:
    start = Positions.start(GAME, 900)
    moves = MinimaxPlayer(GAME).moves(GAME, start, seeded())
    count = torch.bincount(moves, minlength=9)
    assert count.min() > 60, "all nine first moves draw"


def test_search_beats_uniform() -> None:
    table = round_robin(GAME, [UniformPlayer(), MCTSPlayer(GAME, 100)], 60, 0, seeded())
    assert table.results[1, 0, 0] >= 27
    assert table.of(1, "second")[2] <= 3
    assert float(table.ratings.elo[1]) > 200
    board = Connect4(4, 4, 3)
    table = round_robin(board, [UniformPlayer(), MCTSPlayer(board, 50)], 40, 0, seeded())
    assert table.of(1, "first")[0] >= 19


def test_the_seed_decides() -> None:
    def games(seed: int) -> Tensor:
        players = [UniformPlayer(), MCTSPlayer(GAME, 10)]
        return round_robin(GAME, players, 20, 2, seeded(seed)).games.history

    assert torch.equal(games(3), games(3))
    assert not torch.equal(games(3), games(4))


def test_openings_are_even_and_end_no_game() -> None:
    drawn = openings(GAME, 4000, 1, seeded()).squeeze(1)
    assert torch.bincount(drawn, minlength=9).min() > 350
    board = Connect4(4, 4, 3)
    begun = openings(board, 500, 6, seeded())
    assert not board.is_terminal(Positions.after(board, begun).states).any()
    with pytest.raises(ConfigError, match="Openings of 9 random plies"):
        openings(GAME, 10, 9, seeded())


def test_chance_moves_by_its_own_law() -> None:
    """Player 1 rolls; chance gives the win with probability 0.8, in games and in openings."""
    env = TableEnvironment(
        [[1], [2, 3], [], []], [0.0, 0.0, 1.0, -1.0],
        movers=[1, CHANCE, -1, -1], chance=[[], [0.8, 0.2], [], []],
    )  # fmt: skip
    env.num_players = 2
    seats, begun = both_sides([(0, 1)], torch.zeros(1000, 0, dtype=torch.int64))
    games = play(env, [UniformPlayer(), First()], seats, begun, seeded())
    assert float((games.result == 1).double().mean()) == pytest.approx(0.8, abs=0.05)
    longer = TableEnvironment(
        [[1], [2, 3], [4], [5], [], []], [0.0, 0.0, 0.0, 0.0, 1.0, -1.0],
        movers=[1, CHANCE, -1, -1, -1, -1], chance=[[], [0.8, 0.2], [], [], [], []],
    )  # fmt: skip
    longer.num_players = 2
    begun = openings(longer, 2000, 2, seeded())
    assert float((begun[:, 1] == 0).double().mean()) == pytest.approx(0.8, abs=0.04)
    pig = Pig(target=4, sides=4, turns=2)
    begun = openings(pig, 2000, 2, seeded())
    assert torch.bincount(begun[:, 1], minlength=4)[:3].min() > 400


def test_illegal_moves_name_the_player() -> None:
    seats, begun = torch.tensor([[0, 1]]), torch.tensor([[0]])
    with pytest.raises(
        IllegalActionError, match=r"player stubborn made the move 0 .*legal: \[1, 2"
    ):
        play(GAME, [UniformPlayer(), Always()], seats, begun, seeded())


def test_refusals() -> None:
    two = [UniformPlayer(), First()]
    with pytest.raises(ConfigError, match="games must be even"):
        round_robin(GAME, two, 3, 0, seeded())
    with pytest.raises(ConfigError, match="different names"):
        round_robin(GAME, [UniformPlayer(), UniformPlayer()], 2, 0, seeded())
    seats, begun = torch.tensor([[0, 1]]), torch.zeros(1, 0, dtype=torch.int64)
    with pytest.raises(IncompatibleError, match="HyperGrid has 1"):
        play(HyperGrid(2, 4), two, seats, begun, seeded())
    with pytest.raises(IncompatibleError, match="names no game of OpenSpiel"):
        MCTSPlayer(Pig(), 10)
    with pytest.raises(ConfigError, match="at least one simulation"):
        MCTSPlayer(GAME, 0)

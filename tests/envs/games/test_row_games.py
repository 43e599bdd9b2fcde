"""Boards of tic-tac-toe and Connect Four, against known counts and rules told in plain loops."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import enumerate_states
from gflow.envs.games import Connect4, RowGame, TicTacToe
from gflow.envs.games.layout import Layout, ManyNumbers, OneNumber
from gflow.errors import ConfigError, IllegalActionError
from gflow.exact.graph import StateGraph
from gflow.testing import check_env


@pytest.fixture(scope="module")
def all_of_tictactoe() -> StateGraph[Tensor]:
    return enumerate_states(TicTacToe())


def counts(graph: StateGraph[Tensor]) -> tuple[int, ...]:
    """States; those in which X and in which O moves; ends that X won, draws, that O won."""
    env: Any = graph.env
    moving = graph.movers[~graph.can_end]
    result = env.result(graph.states[graph.objects])
    ends = [int((result == u).sum()) for u in (1, 0, -1)]
    return len(graph), int((moving == 1).sum()), int((moving == -1).sum()), *ends


def test_counts_of_tictactoe(all_of_tictactoe: StateGraph[Tensor]) -> None:
    """T2.5, the counts of 2.3."""
    assert counts(all_of_tictactoe) == (5478, 2423, 2097, 626, 16, 316)
    assert int((~all_of_tictactoe.can_end).sum()) == 4520


def test_counts_of_connect_three() -> None:
    graph = enumerate_states(Connect4(4, 4, 3))
    assert len(graph) == 41_750
    # A win by the first player needs an odd number of stones, one by the second an even number.
    env: Any = graph.env
    ends = graph.states[graph.objects]
    stones, result = env.encode(ends).ne(0).sum(1), env.result(ends)
    assert bool((stones[result == 1] % 2 == 1).all() & (stones[result == -1] % 2 == 0).all())
    assert bool((stones[result == 0] == 16).all())


@pytest.mark.slow
def test_counts_of_connect_four_on_a_small_board() -> None:
    assert len(enumerate_states(Connect4(4, 4, 4))) == 161_029


@pytest.mark.parametrize(
    "env",
    [TicTacToe(), TicTacToe(2, 4, 3), Connect4(4, 3, 3), Connect4(3, 4, 3), Connect4(2, 2, 2)],
    ids=lambda env: f"{env.name}-{env.rows}x{env.columns}",
)
def test_contract(env: RowGame) -> None:
    checked = check_env(env, limit=20_000)
    assert checked.exhaustive
    assert checked.longest <= env.horizon


@pytest.mark.parametrize("env", [Connect4(), Connect4(8, 9, 5), TicTacToe(7, 7, 5)])
def test_contract_of_large_boards(env: RowGame) -> None:
    assert not check_env(env, examples=8, limit=100).exhaustive


# ---------------------------------------------------------------------- rules in plain loops


def plain_line(board: list[list[int]], player: int, line: int) -> bool:
    """Whether a player has a line, cell by cell."""
    rows, columns = len(board), len(board[0])
    for r in range(rows):
        for c in range(columns):
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(r + k * dr, c + k * dc) for k in range(line)]
                if all(
                    0 <= i < rows and 0 <= j < columns and board[i][j] == player for i, j in cells
                ):
                    return True
    return False


@st.composite
def games(draw: st.DrawFn) -> RowGame:
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(2, 8))
    line = draw(st.integers(2, min(5, max(rows, columns))))
    env: RowGame = draw(st.sampled_from([Connect4, TicTacToe]))(rows, columns, line)
    if draw(st.booleans()):
        env.layout = ManyNumbers(rows, columns, line)
    return env


@given(env=games(), seed=st.integers(0, 10_000))
def test_a_game_goes_by_the_rules(env: RowGame, seed: int) -> None:
    """Legal moves, whose turn it is, lines and ends, against a board of lists."""
    generator = torch.Generator().manual_seed(seed)
    board = [[0] * env.columns for _ in range(env.rows)]
    state, stones = env.initial(1), 0
    while True:
        ended = any(plain_line(board, player, env.line) for player in (1, 2))
        full = stones == env.rows * env.columns
        assert env.encode(state).tolist() == [[cell for row in board for cell in row]]
        assert bool(env.is_terminal(state)) == (ended or full)
        legal = env.forward_mask(state)[0].nonzero().flatten().tolist()
        if ended or full:
            winner = 2 - stones % 2  # who made the last move
            expected = 0 if not ended else 1 if winner == 1 else -1
            assert int(env.result(state)) == expected
            assert float(env.log_reward(state)) == 10.0 * expected
            assert legal == []
            break
        mover = 1 + stones % 2
        assert int(env.mover(state)) == {1: 1, 2: -1}[mover]
        if isinstance(env, Connect4):
            assert legal == [c for c in range(env.columns) if board[-1][c] == 0]
        else:
            flat = [cell for row in board for cell in row]
            assert legal == [i for i, cell in enumerate(flat) if cell == 0]
        move = legal[int(torch.randint(len(legal), (1,), generator=generator))]
        if isinstance(env, Connect4):
            row, column = next(r for r in range(env.rows) if board[r][move] == 0), move
        else:
            row, column = divmod(move, env.columns)
        board[row][column] = mover
        state, stones = env.step(state, torch.tensor([move])), stones + 1


@given(env=games(), seed=st.integers(0, 10_000))
def test_keys_tell_boards_apart(env: RowGame, seed: int) -> None:
    """Positions of random games have equal keys exactly where their boards are equal."""
    generator = torch.Generator().manual_seed(seed)
    states, seen = env.initial(60), []
    for _ in range(env.horizon):
        seen.append(states)
        states = states[~env.is_terminal(states)]
        if not len(states):
            break
        weight = torch.rand(env.forward_mask(states).shape, generator=generator)
        states = env._step(states, weight.where(env.forward_mask(states), -1.0).argmax(1))
    every = torch.cat(seen)
    keys, boards = env.key(every), env.encode(every)
    if env.num_keys is not None:
        assert bool(((keys >= 0) & (keys < env.num_keys)).all())
    _, by_key = torch.unique(keys, return_inverse=True)
    _, by_board = torch.unique(boards, dim=0, return_inverse=True)
    pairs = torch.stack([by_key, by_board], 1).unique(dim=0)
    assert len(pairs) == len(by_key.unique()) == len(by_board.unique())


def test_tall_boards_need_no_table() -> None:
    """Keys of columns too tall for a table are those of small ones."""
    tall, games_ = TicTacToe(13, 2, 3), [[0, 1, 2, 25], [24], []]
    states = tall.play(games_)
    place = 3 ** torch.arange(13).repeat_interleave(2) * 3 ** (13 * torch.arange(2)).repeat(13)
    assert torch.equal(tall.key(states), (tall.encode(states) * place).sum(1))
    small = TicTacToe(3, 2, 3)
    states = small.play([[0, 1, 2, 5], [4], []])
    place = 3 ** torch.arange(3).repeat_interleave(2) * 3 ** (3 * torch.arange(2)).repeat(3)
    assert torch.equal(small.key(states), (small.encode(states) * place).sum(1))


# ---------------------------------------------------------------------- symmetries


def test_tictactoe_has_eight_symmetries(all_of_tictactoe: StateGraph[Tensor]) -> None:
    """T2.5: images are positions of the game, move by move, and 765 differ by more than that."""
    graph = all_of_tictactoe
    env: Any = graph.env
    assert env.num_symmetries == 8
    check_images(env, graph)
    keys = torch.stack([env.key(env.image(graph.states, g)) for g in range(8)], 1)
    assert len(keys.amin(1).unique()) == 765
    corner = env.play([[0, 1, 3]])  # of no symmetry: eight different images
    assert len({int(env.key(env.image(corner, g))) for g in range(8)}) == 8


@pytest.mark.parametrize("env", [TicTacToe(2, 4, 3), Connect4(3, 4, 3), Connect4(3, 3, 3)])
def test_images_of_other_boards(env: RowGame) -> None:
    check_images(env, enumerate_states(env))


def check_images(env: RowGame, graph: StateGraph[Tensor]) -> None:
    states, moves = graph.states, env.move_images()
    assert moves.shape == (env.num_symmetries, env.num_actions)
    before, after = states[graph.parent], states[graph.child]
    for which in range(env.num_symmetries):
        seen = env.image(states, which)
        graph.rows(seen)  # refuses what is no position
        assert torch.equal(env.is_terminal(seen), env.is_terminal(states))
        assert torch.equal(seen[:, -2:], states[:, -2:])
        renamed = moves[which]
        assert sorted(renamed.tolist()) == list(range(env.num_actions))
        assert torch.equal(env.forward_mask(seen)[:, renamed], env.forward_mask(states))
        stepped = env.step(env.image(before, which), renamed[graph.action])
        assert torch.equal(stepped, env.image(after, which))
    assert torch.equal(env.image(states, 0), states)


# ---------------------------------------------------------------------- what people and nets see


def test_boards_as_text() -> None:
    env = TicTacToe()
    states = env.play([[4, 0, 8], []])
    assert env.show(states) == ["O../.X./..X", ".../.../..."]
    assert env.board_text(states)[0] == " O 2 3\n 4 X 6\n 7 8 X"
    assert env.move_text(4) == "5"
    drop = Connect4(4, 4)
    states = drop.play([[1, 1, 2]])
    assert drop.show(states) == ["..../..../.O../.XX."]
    assert drop.board_text(states) == [" . . . .\n . . . .\n . O . .\n . X X .\n 1 2 3 4"]
    assert drop.move_text(0) == "1"


def test_planes_of_a_board() -> None:
    env = Connect4(4, 5)
    states = env.play([[1, 1, 2], [0, 4]])
    planes = env.planes(states)
    assert planes.shape == (2, 5, 4, 5)
    first, second = torch.zeros(4, 5), torch.zeros(4, 5)
    first[0, 1] = first[0, 2] = second[1, 1] = 1
    torch.testing.assert_close(planes[0, :2], torch.stack([first, second]))
    assert planes[:, 2].unique(dim=1).flatten(1).amax(1).tolist() == [1, 0]
    torch.testing.assert_close(planes[:, 3, 0, 0], torch.tensor([3 / 20, 2 / 20]))
    assert bool((planes[:, 4] == 1).all())


@pytest.mark.parametrize("layout", [OneNumber(4, 4, 3), ManyNumbers(4, 4, 3)])
def test_lines_in_numbers(layout: Layout) -> None:
    """Columns do not run into each other; stones of columns are what was put there."""
    boards = {
        (0b1110, 0, 0, 0): True,
        (0b0001, 0b0010, 0b0100, 0): True,
        (0, 0b0100, 0b0010, 0b0001): True,
        (0b1000, 0b1000, 0b1000, 0): True,
        (0b1100, 0b0001, 0, 0): False,
        (0b0001, 0b0100, 0b0010, 0): False,
        (0b0010, 0b0001, 0b1000, 0): False,
        (0b0100, 0b1000, 0b0001, 0): False,
    }
    columns = torch.tensor(list(boards))
    stones = layout.of_columns(columns)
    assert stones.shape == (len(boards), layout.numbers)
    assert torch.equal(layout.columns_of(stones).long(), columns)
    assert layout.has_line(stones).tolist() == list(boards.values())


def test_large_boards_have_a_number_for_each_column() -> None:
    assert isinstance(Connect4(6, 7).layout, OneNumber)
    assert isinstance(Connect4(7, 8).layout, ManyNumbers)
    assert Connect4(6, 7).initial(3).shape == (3, 4)
    assert Connect4(7, 8).initial(3).shape == (3, 18)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 column, got rows=0"):
        Connect4(0, 4)
    with pytest.raises(ConfigError, match="1 to 30 rows"):
        Connect4(31, 4)
    with pytest.raises(ConfigError, match="got line=5"):
        TicTacToe(3, 4, 5)
    with pytest.raises(ConfigError, match="scale must be positive"):
        TicTacToe(scale=0.0)
    env = Connect4(2, 2, 2)
    with pytest.raises(IllegalActionError, match="legal: \\[1\\]"):
        env.step(env.play([[0, 0]]).clone()[:1], torch.tensor([0]))
    with pytest.raises(IllegalActionError, match="legal: \\[\\]"):
        env.play([[0, 1, 0, 1]])  # over after the third move

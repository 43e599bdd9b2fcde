"""Games of uneven branching and of chance."""

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import enumerate_states
from gflow.environment.movers import CHANCE
from gflow.envs.games import Nim, Pig
from gflow.errors import ConfigError
from gflow.testing import check_env

HEAPS = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@pytest.mark.slow
@given(heaps=HEAPS, last_loses=st.booleans())
def test_contract_of_nim(heaps: list[int], last_loses: bool) -> None:
    env = Nim(heaps, last_loses)
    checked = check_env(env)
    assert checked.exhaustive
    assert checked.longest == sum(heaps)
    listed = env.all_states()
    assert torch.equal(env.key(listed), torch.arange(env.num_keys or 0))


@given(heaps=HEAPS, last_loses=st.booleans())
def test_perfect_nim(heaps: list[int], last_loses: bool) -> None:
    """Who wins, by plain recursion over heaps, and which moves keep it."""

    @cache
    def wins(left: tuple[int, ...]) -> bool:
        if not any(left):
            return last_loses
        return any(not wins(after) for after in nexts(left))

    def nexts(left: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [
            (*left[:i], heap - take, *left[i + 1 :])
            for i, heap in enumerate(left)
            for take in range(1, heap + 1)
        ]

    env = Nim(heaps, last_loses)
    graph = enumerate_states(env)
    states = graph.states[~graph.can_end]
    lefts = [tuple(row[:-1]) for row in states.tolist()]
    assert env.winning(states).tolist() == [wins(left) for left in lefts]
    best = env.best_moves(states)
    for left, row in zip(lefts, best.tolist(), strict=True):
        chosen = {env.move_text(a) for a, good in enumerate(row) if good}
        wanted = {
            f"{take} from heap {i + 1}"
            for i, heap in enumerate(left)
            for take in range(1, heap + 1)
            if not wins(left) or not wins((*left[:i], heap - take, *left[i + 1 :]))
        }
        assert chosen == wanted


def test_who_takes_the_last_match() -> None:
    for last_loses, sign in ((False, 1), (True, -1)):
        env = Nim((1, 2), last_loses)
        ends = env.play([[0, 2, 2], [0, 3]])  # the first player takes the last one, then the second
        assert env.is_terminal(ends).tolist() == [True, True]
        assert env.result(ends).tolist() == [sign, -sign]
    assert env.show(env.play([[0]])) == ["0 2, second to move"]
    assert env.board_text(env.play([[0]])) == ["heap 1: -\nheap 2: ||"]


def test_nim_refuses() -> None:
    with pytest.raises(ConfigError, match="at least one heap"):
        Nim(())
    with pytest.raises(ConfigError, match="more than fit in 62 bits"):
        Nim((1000,) * 7)


@pytest.mark.slow
@given(target=st.integers(1, 5), sides=st.integers(2, 4), turns=st.integers(1, 2))
def test_contract_of_pig(target: int, sides: int, turns: int) -> None:
    env = Pig(target, sides, turns)
    checked = check_env(env)
    assert checked.exhaustive
    assert checked.longest <= env.horizon


def test_the_longest_game_of_pig() -> None:
    env = Pig(6, 4, 3)
    assert int(enumerate_states(env).depth.max()) == env.horizon == 36


def test_rules_of_pig() -> None:
    env = Pig(target=6, sides=4, turns=2)
    three, one, four = 2, 0, 3
    # The first player rolls a 3 and holds; the second a 3 and then a 1; the first a 3, which wins.
    moves = [0, three, 1, 0, three, 0, one, 0, three]
    states = env.play([moves[:k] for k in range(len(moves) + 1)])
    rows = states.tolist()
    assert rows[0] == [0, 0, 0, 0, 0]
    assert rows[1] == [0, 0, 0, 0, 1]
    assert rows[2] == [0, 0, 3, 0, 0]
    assert rows[3] == [3, 0, 0, 1, 0]
    assert rows[5] == [3, 0, 3, 1, 0]
    assert rows[7] == [3, 0, 0, 2, 0]
    assert rows[9] == [6, 0, 0, 3, 0]
    over = env.is_terminal(states)
    assert over.tolist() == [False] * 9 + [True]
    assert env.mover(states)[:9].tolist() == [1, CHANCE, 1, -1, CHANCE, -1, CHANCE, 1, CHANCE]
    assert env.result(states[-1:]).tolist() == [1]
    assert env.forward_mask(states[[0, 2, 1, 9]]).int().tolist() == [
        [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0],
    ]  # fmt: skip
    torch.testing.assert_close(env.chance_law(states[1:2]).table(), torch.full((1, 4), 0.25).log())
    near = env.play([[0, 1, 0, three, 1, 0, one, 0, one]])  # at five points a one wins nothing
    assert near.tolist() == [[5, 0, 0, 3, 0]]
    drawn = env.play([[0, one, 0, one, 0, four, 1, 0, four, 1]])
    assert env.is_terminal(drawn).tolist() == [True]
    assert env.result(drawn).tolist() == [0]
    assert env.show(env.play([[0, three], [0]])) == [
        "0 : 0, first to roll or hold with 3 this turn", "0 : 0, the die rolls",
    ]  # fmt: skip
    assert (env.move_text(0), env.move_text(1), env.move_text(3)) == ("roll", "hold", "4")


def test_pig_refuses() -> None:
    with pytest.raises(ConfigError, match="a die of at least 2 sides"):
        Pig(sides=1)
    with pytest.raises(ConfigError, match="do not fit in 62 bits"):
        Pig(target=10**6, turns=10**6)

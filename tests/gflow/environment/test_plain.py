"""Plain environments in batches are the environments that they describe."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gflow
from gflow.envs import HyperGrid
from gflow.errors import ConfigError, IllegalActionError
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objectives import TrajectoryBalance
from gflow.plain import PlainEnvironment, vectorise
from gflow.plain.base import Row
from gflow.plain.moves import ListedMoves, Moves
from gflow.state import as_tuples
from gflow.testing import check_env
from gflow.training.trainer import TrainConfig, Trainer


class Cells(PlainEnvironment):
    """A grid one cell at a time: a step along an axis, or a stop."""

    def __init__(self, dim: int = 2, side: int = 4) -> None:
        self.sizes, self.num_actions, self.stop_action = (side,) * dim, dim + 1, dim
        self.horizon = dim * (side - 1) + 1
        self.grid = HyperGrid(dim=dim, side=side)

    def initial(self) -> Row:
        return (0,) * len(self.sizes)

    def actions(self, state: Row) -> Iterable[int]:
        return [self.num_actions - 1] + [k for k, x in enumerate(state) if x + 1 < self.sizes[k]]

    def step(self, state: Row, action: int) -> Row:
        return tuple(x + (k == action) for k, x in enumerate(state))

    def log_reward(self, state: Row) -> float:
        return float(self.grid.log_reward(torch.tensor([state])))


class CellsAndParents(Cells):
    """The same, which need not be listed."""

    def parents(self, state: Row) -> Iterable[tuple[Row, int]]:
        for k, x in enumerate(state):
            if x:
                yield tuple(y - (j == k) for j, y in enumerate(state)), k


class Totals(PlainEnvironment):
    """Numbers that grow by 1, 2 or, doubly named, by 2 again, until they are `most` or more."""

    num_actions = 3

    def __init__(self, most: int = 4) -> None:
        self.most, self.sizes, self.horizon = most, (most + 2,), most

    def initial(self) -> Row:
        return (0,)

    def actions(self, state: Row) -> Iterable[int]:
        return (2, 0, 1) if state[0] < self.most else ()

    def step(self, state: Row, action: int) -> Row:
        return (state[0] + (1, 2, 2)[action],)

    def log_reward(self, state: Row) -> float:
        return 0.5 * state[0]


class Fans(PlainEnvironment):
    """Three states from which one action leads to one object: ranks among backward actions."""

    sizes, num_actions, horizon = (3, 4), 3, 2

    def initial(self) -> Row:
        return (0, 0)

    def actions(self, state: Row) -> Iterable[int]:
        return range(3) if state[0] == 0 else ([0] if state[0] == 1 else [])

    def step(self, state: Row, action: int) -> Row:
        return (1, action) if state[0] == 0 else (2, 3)

    def log_reward(self, state: Row) -> float:
        return 1.0


@given(dim=st.integers(1, 3), side=st.integers(2, 4), told=st.booleans())
def test_cells_one_at_a_time_are_a_hypergrid(dim: int, side: int, told: bool) -> None:
    plain = (CellsAndParents if told else Cells)(dim, side)
    env = vectorise(plain)
    mine, theirs = (_law(gflow.enumerate_states(each)) for each in (env, plain.grid))
    assert mine.keys() == theirs.keys()
    assert all(abs(mine[cell] - theirs[cell]) < 1e-12 for cell in mine)
    assert env.num_keys == side**dim


def _law(graph: StateGraph[torch.Tensor]) -> dict[Any, float]:
    """Log-probabilities by object."""
    objects = as_tuples(graph.states[graph.objects])
    return dict(zip(objects, graph.log_target().tolist(), strict=True))


@given(
    plain=st.one_of(
        st.builds(Cells, st.integers(1, 2), st.integers(2, 3)),
        st.builds(CellsAndParents, st.integers(1, 2), st.integers(2, 3)),
        st.builds(Totals, st.integers(1, 5)),
        st.builds(Fans),
    )
)
def test_plain_environments_keep_the_rules(plain: PlainEnvironment) -> None:
    check_env(vectorise(plain))


def test_two_actions_with_one_child_are_one_move() -> None:
    env = vectorise(Totals(4))
    classes = env.forward_classes(torch.tensor([[0], [5]]))
    assert classes is not None
    assert classes.tolist() == [[0, 1, 1], [0, 1, 2]]
    assert env.backward_mask(torch.tensor([[0], [1], [2], [5]])).tolist() == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
        [False, True, False],
    ]
    both = env.backward_action(torch.tensor([[0], [0]]), torch.tensor([1, 2]))
    assert both.tolist() == [1, 1]


def test_parents_by_one_action_have_ranks() -> None:
    env = vectorise(Fans())
    assert env.num_backward_actions == 9
    end = torch.tensor([[2, 3]] * 3)
    slots = torch.tensor([0, 3, 6])
    parents = env.backstep(end, slots)
    assert parents.tolist() == [[1, 0], [1, 1], [1, 2]]
    assert env.forward_action(end, slots).tolist() == [0, 0, 0]
    assert env.backward_action(parents, torch.zeros(3, dtype=torch.int64)).tolist() == [0, 3, 6]


def test_states_that_are_listed_are_asked_about_once() -> None:
    asked: list[Row] = []

    class Counted(Cells):
        def actions(self, state: Row) -> Iterable[int]:
            asked.append(state)
            return super().actions(state)

    env = vectorise(Counted())
    assert len(asked) == len(set(asked)) == 16
    policy = gflow.MLPPolicy(env, 8, 1)
    Trainer(env, policy, TrajectoryBalance(), TrainConfig(batch_size=8)).train(3)
    assert len(asked) == 16


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Cells, CellsAndParents])
def test_plain_environments_are_learned(kind: type[Cells]) -> None:
    torch.manual_seed(0)
    env = vectorise(kind())
    policy = gflow.MLPPolicy(env, 64, 2)
    config = TrainConfig(batch_size=32, lr=3e-3, log_z_lr=0.1)
    Trainer(env, policy, TrajectoryBalance(), config).train(400)
    graph = gflow.enumerate_states(env)
    learned = graph.terminal_distribution(policy)
    assert float(total_variation(learned, graph.log_target())) < 0.1


def test_without_a_list_keys_are_digits_or_hashes() -> None:
    few, many = CellsAndParents(2, 4), CellsAndParents(2, 4)
    assert vectorise(few).key(torch.tensor([[1, 2]])).tolist() == [6]
    many.sizes = (4,) * 32  # 64 bits
    env = vectorise(many)
    assert env.num_keys is None
    rows = torch.zeros(2, 32, dtype=torch.int64)
    rows[1, 31] = 1
    first, second = env.key(rows).tolist()
    assert first != second


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gflow.plain.moves.REMEMBERED", 3)
    moves = Moves(CellsAndParents(1, 8))
    assert [moves.legal((x,)) for x in range(8)] == [(0, 1)] * 7 + [(1,)]
    assert len(moves._legal) <= 3
    listed = ListedMoves(Cells(1, 8), 8)
    assert len(listed._legal) == 8


def broken(**parts: Any) -> PlainEnvironment:
    """Cells of which some functions are replaced."""
    base = CellsAndParents if "parents" in parts else Cells
    plain: PlainEnvironment = type("Broken", (base,), parts)()
    return plain


@pytest.mark.parametrize(
    ("plain", "error", "says"),
    [
        (broken(initial=lambda self: [0, 0]), ConfigError, r"initial\(\) gave \[0, 0\]"),
        (broken(initial=lambda self: (0, 4)), ConfigError, r"sizes = \(4, 4\)"),
        (broken(initial=lambda self: (0,)), ConfigError, "tuple of 2 whole numbers"),
        (broken(step=lambda self, s, a: (0.5, 0)), ConfigError, r"step\(\(0, 0\), 0\) gave"),
        (broken(step=lambda self, s, a: s), ConfigError, "stays in that state"),
        (broken(actions=lambda self, s: [3]), IllegalActionError, "3 is no action"),
        (broken(actions=lambda self, s: [True]), IllegalActionError, "True is no action"),
        (broken(step=lambda self, s, a: (3 - s[0], 1)), ConfigError, "round in a circle"),
        (broken(parents=lambda self, s: [((0, 0), 0)]), ConfigError, "does not lead there"),
    ],
)
def test_what_is_no_environment_is_refused(
    plain: PlainEnvironment, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        vectorise(plain).backward_mask(torch.tensor([[1, 2]]))


def test_parents_that_are_left_out_are_noticed() -> None:
    env = vectorise(broken(parents=lambda self, s: []))
    with pytest.raises(ConfigError, match=r"leads from \(0, 0\) to \(1, 0\), and parents"):
        env.backward_action(torch.tensor([[0, 0]]), torch.tensor([0]))


def test_parents_twice_and_by_one_action_are_refused() -> None:
    def twice(self: Cells, state: Row) -> Iterable[tuple[Row, int]]:
        return [((0, 0), 0)] * 2 if state == (1, 0) else []

    with pytest.raises(ConfigError, match="names a parent twice"):
        vectorise(broken(parents=twice)).backward_mask(torch.tensor([[1, 0]]))
    fans = Fans()
    fans.parents = lambda state: [((1, k), 0) for k in range(3)]  # type: ignore[method-assign]
    kind = type("FansAndParents", (Fans,), {"parents": lambda self, s: fans.parents(s)})
    with pytest.raises(ConfigError, match="from several states"):
        vectorise(kind()).backward_mask(torch.tensor([[2, 3]]))


def test_too_many_states_to_list_are_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"more than limit=15 states.*Define `parents"):
        vectorise(Cells(), limit=15)
    assert vectorise(Cells(), limit=16).num_keys == 16


def test_what_a_plain_environment_lacks_is_named() -> None:
    class Bare(Cells):
        def __init__(self) -> None:
            self.sizes, self.num_actions = (2,), 1

    with pytest.raises(ConfigError, match="Bare has no `horizon`"):
        vectorise(Bare())
    odd = Cells()
    odd.stop_action = 0
    with pytest.raises(ConfigError, match="stop_action=0 must be the last action"):
        vectorise(odd)

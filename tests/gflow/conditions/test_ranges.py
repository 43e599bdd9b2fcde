"""Ranges as conditions: how they are written, drawn and read, and the law they ask for."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import gflow
from gflow import enumerate_states
from gflow.conditions.range_draws import OPEN, RangeDraw, RangeEncoder
from gflow.conditions.ranges import RangeConditions, RangeFactor
from gflow.conditions.temperature import Temperature
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError, IncompatibleError, ShapeError, UnknownNameError
from gflow.ranges import FLOOR, Quantity, Range, log_factor, read_range

KNOWN = {
    "first": Quantity("first", 0, 4, 0.5),
    "sum": Quantity("sum", 0, 8, 2.0, whole=True),
}


class Grid(HyperGrid):
    """A grid whose cells have a first coordinate and a sum."""

    beta = 2.0

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        return KNOWN

    def measured(self, states: Any, names: Sequence[str]) -> Tensor:
        columns = {"first": states[:, 0], "sum": states.sum(1)}
        return torch.stack([columns[name] for name in names], 1).to(torch.get_default_dtype())


def grid() -> Grid:
    return Grid(2, 5, Corners(5, 0.1))


# ---------------------------------------------------------------------- as written


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("first 2..3", Range("first", 2, 3, 0.5)),
        ("FIRST -1.5 .. 3", Range("first", -1.5, 3, 0.5)),
        ("sum ..4", Range("sum", -math.inf, 4, 2)),
        ("sum 4..", Range("sum", 4, math.inf, 2)),
        ("sum 4", Range("sum", 4, 4, 2)),
        ("first 1e-1...5 width 0.2", Range("first", 0.1, 0.5, 0.2)),
    ],
)
def test_ranges_are_read_as_people_write_them(text: str, wanted: Range) -> None:
    found = read_range(text, KNOWN)
    assert found == wanted
    assert read_range(f"{found} width {found.width}", KNOWN) == found


def test_a_name_alone_is_its_usual_range_where_that_is_meant() -> None:
    assert read_range("sum", KNOWN, bare=True) == Range("sum", 0, 8, 2.0)
    with pytest.raises(ConfigError, match=r"'sum' has no end"):
        read_range("sum", KNOWN)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("first 3..2", ConfigError, "write the smaller number first, first 2..3"),
        ("first 2-3", ConfigError, r"as in 'logP 2..3'"),
        ("first ..", ConfigError, "has no end"),
        ("2..3", ConfigError, "must be a name and two numbers"),
        ("first 2..3 width 0", ConfigError, "must be positive"),
        ("third 2..3", UnknownNameError, "first"),
    ],
)
def test_what_is_no_range_is_refused(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_range(text, KNOWN)


@given(
    low=st.floats(-5, 5), length=st.floats(0, 5), width=st.floats(0.1, 3), value=st.floats(-20, 20)
)
def test_the_factor_is_one_inside_and_falls_by_e_per_width(
    low: float, length: float, width: float, value: float
) -> None:
    one = Range("first", low, low + length, width)
    away = 0.0 if low <= value <= low + length else min(abs(value - low), abs(value - low - length))
    assert one.log_factor(value) == pytest.approx(-away / width)
    assert one.log_factor(low - width) == pytest.approx(-1)
    assert one.log_factor(low) == one.log_factor(low + length) == 0
    two = Range("sum", 0, 1, 2.0)
    both = log_factor((one, two), (value, 4.0))
    assert both == pytest.approx(one.log_factor(value) - 1.5)


# ---------------------------------------------------------------------- drawn and read


@given(seed=st.integers(0, 99), repeat=st.integers(1, 3))
def test_draws_are_ranges_of_their_lengths(seed: int, repeat: int) -> None:
    ranges = [Range("first", 0, 4, 0.5), Range("sum", 0, 8, 2.0)]
    draw = RangeDraw(ranges, [False, True], 0.1, 0.4, 0.3, 0.2, repeat)
    drawn = draw(60, torch.Generator().manual_seed(seed))
    assert torch.equal(drawn, draw(60, torch.Generator().manual_seed(seed)))
    assert drawn.shape == (60, 4)
    assert torch.equal(drawn[::repeat].repeat_interleave(repeat, 0)[:60], drawn)
    low, high = drawn.chunk(2, 1)
    closed = (low > -OPEN) & (high < OPEN)
    assert bool((low <= high).all())
    length, middle = high - low, (high + low) / 2
    first = closed[:, 0]
    assert bool(((length[first, 0] >= 0.4 - 1e-5) & (length[first, 0] <= 1.6 + 1e-5)).all())
    assert bool(((middle[first, 0] >= -1e-5) & (middle[first, 0] <= 4 + 1e-5)).all())
    whole = drawn[:, [1, 3]][closed[:, 1]]
    assert torch.equal(whole, whole.round()), "ends of counts are whole, so one lies inside"


def test_ends_are_left_open_as_often_as_is_said() -> None:
    draw = RangeDraw([Range("first", 0, 4, 0.5)], [False], 0.1, 0.4, 0.3, 0.2)
    low, high = draw(20_000, torch.Generator().manual_seed(0)).T
    neither = float(((low == -OPEN) & (high == OPEN)).double().mean())
    assert neither == pytest.approx(0.3 + 0.7 * 0.04, abs=0.012)
    assert float((low == -OPEN).double().mean()) == pytest.approx(0.3 + 0.7 * 0.2, abs=0.012)
    assert float((high == OPEN).double().mean()) == pytest.approx(0.3 + 0.7 * 0.2, abs=0.012)


def test_ends_are_read_by_marks_over_where_they_are_drawn() -> None:
    code = RangeEncoder([Range("first", 0, 4, 1.0), Range("sum", 0, 8, 1.0)], 0.25, 4)
    assert code.out_features == 16
    marks = code(torch.tensor([[-1.0, 4.0, OPEN, 10.0], [-OPEN, -2.0, 2.0, 6.0]]))
    filled = marks.view(2, 4, 4).sum(2)
    # the last mark fills one gap beyond the end
    assert filled[0].tolist() == [0.0, 1.5, 4.0, 3.0]
    assert filled[1].tolist() == [0.0, 0.0, 1.5, pytest.approx(2.0)]


def test_conditions_say_the_ends_of_what_is_asked() -> None:
    told = RangeConditions(of=("first", "sum"))
    asked = told.condition_of(told.applied(grid()), ["sum 2..6"])
    assert asked.tolist() == [-OPEN, 2.0, OPEN, 6.0]
    assert told.condition_of(grid(), ["first 1..", "sum ..6"]).tolist() == [1.0, -OPEN, OPEN, 6.0]
    with pytest.raises(ConfigError, match="one range of sum, got two"):
        told.condition_of(grid(), ["sum 2..6", "sum 3..4"])
    with pytest.raises(IncompatibleError, match="trained for ranges of first.*--condition-of"):
        RangeConditions(of=("first",)).condition_of(grid(), ["sum 2..6"])


# ---------------------------------------------------------------------- the law


def by_hand(asked: list[float], cells: Tensor, reward: Tensor) -> Tensor:
    low, high = asked[:2], asked[2:]
    away = [
        (torch.relu(low[k] - v) + torch.relu(v - high[k])) / width
        for k, (v, width) in enumerate(((cells[:, 0].double(), 0.5), (cells.sum(1).double(), 2.0)))
    ]
    factor = (-(away[0] + away[1])).exp().clamp(min=FLOOR)
    weight = (reward.exp().sqrt() * factor) ** 2  # the reward of the grid is that at beta = 2
    return weight / weight.sum()


@pytest.mark.parametrize("asked", [[1.0, 2.0, 2.0, 4.0], [-OPEN, -OPEN, 0.0, 3.0]])
def test_the_law_of_each_range_is_exact(asked: list[float]) -> None:
    env = grid()
    told = RangeConditions(of=("first", "sum")).applied(env)
    graph, cells = enumerate_states(told), enumerate_states(env)
    states = cells.states[cells.objects]
    wanted = by_hand(asked, states, env.log_reward(states))
    at = graph.told(torch.tensor(asked))
    torch.testing.assert_close(at.log_target().exp(), wanted)
    flows = at.exact_flows()
    reached = at.terminal_log_prob(flows.log_pf, flows.log_stop)
    torch.testing.assert_close(reached.exp(), wanted)


def test_without_ends_the_reward_is_what_it_was() -> None:
    env = grid()
    conditions = RangeConditions(of=("first", "sum"))
    reference = conditions.reference(env)
    assert reference is not None
    told = enumerate_states(conditions.applied(env)).told(reference[0])
    torch.testing.assert_close(told.log_target(), enumerate_states(env).log_target())
    assert RangeConditions(of=("sum",), free=0.0, open_end=0.0).reference(env) is None


def test_ranges_that_were_never_drawn_are_met_after_training() -> None:
    told = RangeConditions(of=("first", "sum"))
    trained = gflow.fit(grid(), "tb", condition=told, steps=150, batch_size=64, lr=5e-3, width=64)
    graph = enumerate_states(told.applied(grid()))
    asked = trained.ranges("first 1..2", "sum 2..4")
    at = graph.told(asked.double())
    learned = at.terminal_distribution(trained.policy).exp()
    off = float((learned - at.log_target().exp()).abs().sum() / 2)
    other = graph.told(trained.ranges("sum 6..7").double())
    assert off < 0.2
    assert float((learned - other.log_target().exp()).abs().sum() / 2) > 0.7
    assert trained.metrics["asked_hits"] > 0.35
    cells = trained.sample(200, condition=asked)
    inside = told.inside(trained.env, cells, asked.expand(200, -1))
    by_eye = (cells[:, 0] >= 1) & (cells[:, 0] <= 2) & (cells.sum(1) >= 2) & (cells.sum(1) <= 4)
    assert torch.equal(inside, by_eye)
    assert float(inside.double().mean()) > 0.7


# ---------------------------------------------------------------------- what is refused


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="says no quantities"):
        RangeConditions(of=("first",)).applied(HyperGrid(2, 3))
    with pytest.raises(IncompatibleError, match="take the place"):
        RangeConditions(of=("first",)).applied(Temperature().applied(grid()))
    with pytest.raises(ConfigError, match="each quantity once"):
        RangeConditions(of=("first", "first 1..2")).applied(grid())
    with pytest.raises(ConfigError, match="an interval with two ends, got 'sum 2..'"):
        RangeConditions(of=("sum 2..",)).applied(grid())
    with pytest.raises(ConfigError, match="narrow <= wide"):
        RangeConditions(narrow=0.5, wide=0.4)
    several: Any = landscape_grid(("branin", "currin"), 4)
    several.__class__ = type("Measured", (type(several),), dict(vars(Grid)))
    with pytest.raises(IncompatibleError, match="several scores"):
        RangeConditions(of=("first",)).environment(several)
    factor = RangeFactor(grid(), [Range("sum", 0, 1, 1.0)])
    with pytest.raises(ShapeError, match=r"shape \(3, 2\), lower ends"):
        factor(grid().initial(3), torch.zeros(3, 4))
    with pytest.raises(ShapeError, match="a condition is needed"):
        factor(grid().initial(3), None)
    plain = gflow.fit(grid(), "tb", steps=1, width=8)
    with pytest.raises(IncompatibleError, match="told no ranges"):
        plain.ranges("sum 2..3")

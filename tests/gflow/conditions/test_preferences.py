"""Samplers of preferences and goals: their range, their law, and a table that learns."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.conditions.draws import ConditionSampler
from gflow.conditions.preferences import (
    DirichletPreferences,
    FocusTable,
    PreferenceEncoder,
    UniformDirections,
    simplex_grid,
)
from gflow.conditions.temperatures import GammaBeta
from gflow.errors import ConfigError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "draw",
    [
        DirichletPreferences(3, beta=GammaBeta()),
        UniformDirections(3, beta=GammaBeta()),
        FocusTable(simplex_grid(3, 2), beta=GammaBeta()),
    ],
)
def test_draws_are_of_the_generator_alone(draw: ConditionSampler) -> None:
    before = torch.get_rng_state()
    value = draw(7, seeded())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(value, draw(7, seeded()))
    assert not torch.equal(value, draw(7, seeded(1)))
    assert value.shape == (7, 4)
    assert bool((value >= 0).all())


def test_dirichlet_moments() -> None:
    """Mean 1/K and variance (K - 1) / (K^2 (K alpha + 1)); Gamma: mean and variance 16."""
    value = DirichletPreferences(3, 1.5, GammaBeta(16.0, 1.0))(40_000, seeded())
    weights, beta = value[:, :3], value[:, 3]
    torch.testing.assert_close(weights.sum(1), torch.ones(len(value)))
    torch.testing.assert_close(weights.mean(0), torch.full((3,), 1 / 3), atol=5e-3, rtol=0)
    torch.testing.assert_close(weights.var(0), torch.full((3,), 2 / 9 / 5.5), atol=2e-3, rtol=0)
    assert float(beta.mean()) == pytest.approx(16, abs=0.1)
    assert float(beta.var()) == pytest.approx(16, abs=0.6)
    scaled = GammaBeta(4.0, 0.5)(40_000, seeded())
    assert float(scaled.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(scaled.var()) == pytest.approx(1.0, abs=0.05)


@given(count=st.integers(1, 9), repeat=st.integers(1, 4))
def test_repeated_draws(count: int, repeat: int) -> None:
    for draw in (
        DirichletPreferences(2, beta=GammaBeta(), repeat=repeat),
        UniformDirections(2, GammaBeta(), repeat),
    ):
        value = draw(count, seeded())
        assert value.shape == (count, 3)
        for row in range(count):
            first = row - row % repeat
            if first + repeat > count:  # left over: with the last draw that is whole
                first = max(0, first - repeat)
            assert torch.equal(value[row], value[first])
        assert len(value.unique(dim=0)) == max(1, count // repeat)


def test_directions_fill_the_quarter_circle_evenly() -> None:
    value = UniformDirections(2)(10_000, seeded())
    torch.testing.assert_close(value.norm(dim=1), torch.ones(len(value)))
    counts = torch.histc(torch.atan2(value[:, 1], value[:, 0]), 10, 0.0, torch.pi / 2)
    assert ((counts - 1000) ** 2 / 1000).sum() < 33.7  # chi-square, 9 degrees, 1 in 10 000


def batch(scores: list[list[float]], condition: list[list[float]]) -> Any:
    return SimpleNamespace(scores=torch.tensor(scores), condition=torch.tensor(condition))


def test_the_table_learns_what_is_tried_in_vain() -> None:
    table = FocusTable(torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]]), infeasible=0.0)
    low, middle, high = table.directions.tolist()
    assert table.weights.tolist() == [1, 1, 1]
    table.observe(None, batch([[0.5, 0.5]], [low]), {})  # aimed low, hit the middle
    assert table.weights.tolist() == [0, 1, 1]
    drawn = table(200, seeded())
    assert not bool((drawn[:, 0] > 0.9).any())
    assert {tuple(row) for row in drawn.tolist()} == {tuple(middle), tuple(high)}
    table.observe(None, batch([[0.9, 0.0]], [[0.6, 0.8]]), {})  # a direction not in the table
    assert table.tried.tolist() == [True, False, False]
    assert table.weights.tolist() == [1, 1, 1], "what was reached at last is feasible"
    other = FocusTable(table.directions, infeasible=0.0)
    other.load_state_dict(table.state_dict())
    assert torch.equal(other.tried, table.tried)
    assert torch.equal(other.reached, table.reached)
    saved = table.state_dict()
    other.load_state_dict(saved)
    other.observe(None, batch([[0.0, 0.9]], [high]), {})
    assert saved["tried"].tolist() == table.tried.tolist() == [True, False, False]


def test_a_table_without_hope_goes_on() -> None:
    table = FocusTable(torch.eye(2), infeasible=0.0)
    table.observe(None, batch([[0.0, 0.0]] * 2, [[1.0, 0.0], [0.0, 1.0]]), {})
    assert bool(table.tried.all())
    assert not bool(table.reached.any())
    assert table(5, seeded()).shape == (5, 2)
    with pytest.raises(ConfigError, match="no scores or no conditions"):
        table.observe(None, SimpleNamespace(scores=None, condition=None), {})  # type: ignore[arg-type]


@given(num=st.integers(1, 4), parts=st.integers(1, 5))
def test_the_grid_has_all_multiples(num: int, parts: int) -> None:
    grid = simplex_grid(num, parts)
    steps = (grid * parts).round()
    torch.testing.assert_close(grid * parts, steps)
    assert bool((steps >= 0).all())
    assert bool((steps.sum(1) == parts).all())
    assert len(grid.unique(dim=0)) == len(grid) == math.comb(parts + num - 1, num - 1)


def test_the_encoder_marks_beta_only() -> None:
    code = PreferenceEncoder(2, beta=True, low=0.0, high=10.0, size=11)
    got = code(torch.tensor([[0.3, 0.7, 2.5]]))
    assert got.shape == (1, code.out_features) == (1, 13)
    assert got[0, :2].tolist() == [0.3, 0.7]
    torch.testing.assert_close(got[0, 2:].sum(), torch.tensor(2.5))
    plain = PreferenceEncoder(2)
    given = torch.tensor([[0.3, 0.7]])
    assert torch.equal(plain(given), given)
    assert plain.out_features == 2


@pytest.mark.parametrize(
    "build",
    [
        lambda: DirichletPreferences(0),
        lambda: DirichletPreferences(2, alpha=0.0),
        lambda: DirichletPreferences(2, repeat=0),
        lambda: GammaBeta(0.0),
        lambda: UniformDirections(0),
        lambda: UniformDirections(2, repeat=0),
        lambda: FocusTable(torch.zeros(1, 2)),
        lambda: FocusTable(torch.eye(2), cosine=1.0),
        lambda: simplex_grid(2, 0),
    ],
)
def test_nonsense_is_refused(build: Any) -> None:
    with pytest.raises(ConfigError):
        build()

"""Scalarizations against their formulas in plain Python, at the edge of the cone, and near zero."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.errors import ConfigError, ShapeError
from gflow.rewards.scalarizations import Goals, LogProduct, LogSum, Preferences, cosine_similarity

vectors = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)


@given(scores=vectors, weights=vectors, beta=st.floats(0.5, 20.0))
def test_weighted_sums(scores: list[float], weights: list[float], beta: float) -> None:
    u, w = torch.tensor([scores]), torch.tensor(weights)
    mean = sum(a * b for a, b in zip(scores, weights, strict=True)) / sum(weights)
    wanted = torch.tensor([beta * math.log(mean)])
    torch.testing.assert_close(LogSum(w, beta, low=-1e9)(u), wanted)
    share = (w / w.sum())[None]
    torch.testing.assert_close(Preferences(beta, low=-1e9)(u, share), wanted)
    drawn = torch.cat([share, torch.tensor([[beta]])], 1)
    torch.testing.assert_close(Preferences(None, low=-1e9)(u, drawn), wanted)
    torch.testing.assert_close(LogSum()(u), torch.tensor([math.log(sum(scores) / 3)]))
    product = math.prod(a ** (b / sum(weights)) for a, b in zip(scores, weights, strict=True))
    wanted = torch.tensor([beta * math.log(product)])
    torch.testing.assert_close(LogProduct(w, beta, low=-1e9)(u), wanted)
    plain = torch.tensor([math.log(math.prod(scores)) / 3])
    torch.testing.assert_close(LogProduct()(u), plain)


def test_each_row_reads_its_own_condition() -> None:
    scores = torch.tensor([[0.2, 0.8], [0.2, 0.8]])
    got = Preferences(2.0)(scores, torch.eye(2))
    torch.testing.assert_close(got, 2 * torch.tensor([0.2, 0.8]).log())


def test_zero_and_negative_scores_stay_above_the_floor() -> None:
    scores = torch.tensor([[0.0, 0.0], [-1.0, 0.5]])
    for value in (
        LogSum(beta=2.0, low=-30.0)(scores),
        LogProduct(beta=2.0, low=-30.0)(scores),
        Preferences(2.0, low=-30.0)(scores, torch.full((2, 2), 0.5)),
        Goals(low=-30.0)(scores, torch.ones(2, 2)),
    ):
        assert value.tolist() == [-30.0, -30.0]


def turned(angle: float) -> torch.Tensor:
    return torch.tensor([[math.cos(angle), math.sin(angle)]])


@given(start=st.floats(0.3, 1.2), turn=st.floats(0.0, 0.29), length=st.floats(0.1, 2.0))
def test_the_cone_of_a_goal(start: float, turn: float, length: float) -> None:
    """R = mean(u) c^gamma with c^gamma = 1 on the axis and the limit at the edge; none outside."""
    goal = Goals(cosine=0.98, limit=0.2, beta=3.0, low=-50.0)
    scores = length * turned(start)
    got = float(goal(scores, 7.0 * turned(start + turn)))
    cosine = math.cos(turn)
    if cosine < 0.98 - 1e-12:
        assert got == -50
    elif cosine > 0.98 + 1e-12:
        factor = 0.2 ** (math.log(cosine) / math.log(0.98))
        assert got == pytest.approx(3 * math.log(float(scores.mean()) * factor), abs=1e-9)


def test_the_limit_is_met_at_the_edge() -> None:
    goal, scores = Goals(), turned(0.7)
    axis = float(goal(scores, turned(0.7)))
    edge = float(goal(scores, turned(0.7 + math.acos(0.98) - 1e-9)))
    assert edge - axis == pytest.approx(math.log(0.2), abs=1e-6)
    assert float(goal(scores, turned(0.7 + math.acos(0.98) + 1e-9))) == -75
    flat = Goals(limit=1.0)
    assert float(flat(scores, turned(0.8))) == pytest.approx(float(flat(scores, turned(0.7))))


def test_beta_may_come_with_the_goal() -> None:
    scores = turned(0.5)
    drawn = torch.cat([turned(0.5), torch.tensor([[4.0]])], 1)
    got = Goals(beta=None)(scores, drawn)
    torch.testing.assert_close(got, Goals(beta=4.0)(scores, turned(0.5)))
    assert Goals(beta=None).condition_dim(2) == 3
    assert Goals().condition_dim(2) == Preferences().condition_dim(2) == 2
    assert Preferences(None).condition_dim(4) == 5
    assert LogSum().condition_dim(4) == 0


def test_cosine_of_nothing_is_zero() -> None:
    got = cosine_similarity(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0]] * 2))
    torch.testing.assert_close(got, torch.tensor([0.0, 0.6]))


@pytest.mark.parametrize("kind", [LogSum, LogProduct])
def test_weights_are_as_many_as_scores(kind: Any) -> None:
    rule = kind(torch.tensor([1.0, 2.0, 1.0]))
    assert rule(torch.ones(4, 3)).shape == (4,)
    with pytest.raises(ShapeError, match=r"2 scores need as many weights, got 3"):
        rule(torch.ones(4, 2))


@pytest.mark.parametrize("rule", [Preferences(), Goals(), Preferences(None)])
def test_a_missing_or_narrow_condition_is_refused(rule: Any) -> None:
    scores, wrong = torch.ones(4, 2), torch.ones(4, 1)
    with pytest.raises(ShapeError, match=r"2 scores.* need a condition of shape .* got none"):
        rule(scores)
    with pytest.raises(ShapeError, match=r"got shape \(4, 1\).*gflow.conditions.preferences"):
        rule(scores, wrong)


@pytest.mark.parametrize(
    "build",
    [
        lambda: LogSum(beta=0.0),
        lambda: LogProduct(torch.ones(2, 2)),
        lambda: LogSum(torch.tensor([1.0, 0.0])),
        lambda: Preferences(-1.0),
        lambda: Goals(cosine=1.0),
        lambda: Goals(limit=0.0),
    ],
)
def test_nonsense_is_refused(build: Any) -> None:
    with pytest.raises(ConfigError, match="must"):
        build()

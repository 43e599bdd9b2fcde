"""Ratings against known ones, against OpenSpiel's, and against the truth that games came from."""

import math

import pyspiel  # noqa: F401  (its types are registered before the ratings are asked for)
import pytest
import torch
from open_spiel.python.algorithms import elo as theirs

from gflow.arena.elo import SCALE, expected_score, fit_elo
from gflow.errors import ConfigError, ShapeError


def table(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)


NONE = torch.zeros(2, 2)


def test_three_to_one_is_400_log10_3() -> None:
    """75 : 25 is 190.85 points; OpenSpiel says 190.80."""
    found = fit_elo(table([0, 75], [25, 0]), NONE, reference=1, prior=0)
    assert float(found.elo[0]) == pytest.approx(190.8485, abs=1e-3)
    assert float(found.elo[1]) == 0
    given = theirs.compute_ratings_from_matrices(
        torch.tensor([[0, 75], [25, 0]]).numpy(), torch.zeros(2, 2).long().numpy()
    )
    assert float(found.elo[0]) == pytest.approx(float(given[0] - given[1]), abs=0.1)


def test_ten_to_one_is_400_points() -> None:
    assert float(expected_score(torch.tensor(400.0))) == pytest.approx(10 / 11)


def test_draws_count_half() -> None:
    plain = fit_elo(table([0, 60], [40, 0]), NONE, prior=0)
    drawn = fit_elo(table([0, 50], [30, 0]), table([0, 20], [20, 0]), prior=0)
    assert torch.allclose(plain.elo, drawn.elo)


def test_against_open_spiel() -> None:
    """Five players with wins and draws; both fits have their own tolerance."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        wins = torch.randint(1, 30, (5, 5), generator=generator).fill_diagonal_(0)
        draws = torch.randint(0, 20, (5, 5), generator=generator)
        draws = (draws + draws.T).fill_diagonal_(0)
        ours = fit_elo(wins, draws, prior=0).elo
        given = torch.as_tensor(
            theirs.compute_ratings_from_matrices(wins.numpy(), draws.numpy())
        ).double()
        assert torch.allclose(ours - ours.mean(), given - given.mean(), atol=0.5)


def test_intervals_hold_the_truth_19_times_in_20() -> None:
    truth = torch.tensor([0.0, 150.0, -100.0, 300.0])
    beats = torch.sigmoid((truth[:, None] - truth[None]) * SCALE)
    upper = torch.triu(torch.ones(4, 4), 1) > 0
    inside, mean = torch.zeros(4), torch.zeros(4)
    torch.manual_seed(1)
    for _ in range(400):
        won = torch.binomial(torch.full((4, 4), 60.0), beats)
        wins = torch.where(upper, won, torch.where(upper.T, 60 - won.T, 0))
        found = fit_elo(wins, torch.zeros(4, 4), prior=0)
        inside += (found.low <= truth) & (truth <= found.high)
        mean += found.elo / 400
    assert (mean - truth).abs().max() < 10
    assert bool(((inside[1:] > 0.91 * 400) & (inside[1:] < 0.985 * 400)).all()), inside
    assert float(found.error[0]) == 0


def test_the_reference_shifts_all_alike() -> None:
    wins = table([0, 7, 9], [3, 0, 6], [1, 4, 0])
    draws = torch.zeros(3, 3)
    zero, two = fit_elo(wins, draws, 0), fit_elo(wins, draws, 2)
    assert torch.allclose(zero.elo - zero.elo[2], two.elo)
    assert float(two.elo[2]) == 0
    assert float(zero.error[2]) == pytest.approx(float(two.error[0]))


def test_who_never_lost_has_a_finite_rating() -> None:
    """The prior is one drawn game of each pair: 100.5 to 0.5."""
    found = fit_elo(table([0, 100], [0, 0]), NONE, reference=1)
    assert float(found.elo[0]) == pytest.approx(400 * math.log10(201), rel=1e-9)
    with pytest.raises(ConfigError, match="player 1 took no point from player 0"):
        fit_elo(table([0, 100], [0, 0]), NONE, prior=0)


def test_players_who_never_met_are_refused() -> None:
    wins = table([0, 5, 0, 0], [5, 0, 0, 0], [0, 0, 0, 5], [0, 0, 5, 0])
    with pytest.raises(ConfigError, match="no finite rating fits"):
        fit_elo(wins, torch.zeros(4, 4))
    with pytest.raises(ShapeError, match="must be"):
        fit_elo(wins, torch.zeros(3, 3))

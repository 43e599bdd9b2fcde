import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import enumerate_states
from gflow.envs import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError, ShapeError
from gflow.metrics import (
    ModeCounter,
    corner_regions,
    diversity,
    greedy_modes,
    hamming_distances,
    mean_pairwise_distance,
    mean_reward_accuracy,
    relative_mean_error,
    top_k_mean,
    unique_fraction,
)


@pytest.mark.parametrize(
    ("side", "dim", "cells"), [(8, 2, 4), (8, 4, 16), (20, 2, 16), (64, 2, 144)]
)
def test_modes_of_the_hypergrid(side: int, dim: int, cells: int) -> None:
    corners = Corners(side, r0=1e-3)
    env = HyperGrid(dim, side, corners)
    states = enumerate_states(env).states
    regions = ModeCounter(corners.is_mode, lambda s: corner_regions(s, side))
    modes = ModeCounter(corners.is_mode, env.key)
    assert modes.update(states) == cells
    assert regions.update(states) == 2**dim
    assert regions.update(states) == 0  # nothing new
    assert (len(modes), len(regions)) == (cells, 2**dim)


@pytest.mark.parametrize(("side", "upper"), [(4, [0, 0, 1, 1]), (5, [0, 0, 0, 1, 1]), (2, [0, 1])])
def test_orthants_begin_above_the_middle(side: int, upper: list[int]) -> None:
    """Of an even side half the values are above it; of an odd one the middle value is not."""
    values = torch.arange(side)
    assert corner_regions(values[:, None], side).tolist() == upper
    pairs = torch.cartesian_prod(values, values)
    wanted = [upper[a] + 2 * upper[b] for a, b in pairs.tolist()]
    assert corner_regions(pairs, side).tolist() == wanted


def test_modes_add_up_over_batches() -> None:
    found: ModeCounter[Tensor] = ModeCounter(lambda s: s[:, 0] > 1, lambda s: s[:, 0])
    assert found.update(torch.tensor([[0], [1]])) == 0
    assert found.update(torch.tensor([[2], [2], [3]])) == 2
    assert found.update(torch.tensor([[3], [4]])) == 1
    assert found.seen == {2, 3, 4}
    wide: ModeCounter[Tensor] = ModeCounter(lambda s: s > 1, lambda s: s[:, 0])
    with pytest.raises(ShapeError, match=r"must return \(2,\) bool, got \(2, 1\)"):
        wide.update(torch.tensor([[0], [1]]))


@given(bits=st.lists(st.integers(0, 63), min_size=1, max_size=12), data=st.data())
def test_greedy_modes_are_good_apart_and_maximal(bits: list[int], data: st.DataObject) -> None:
    codes = torch.tensor([[b >> i & 1 for i in range(6)] for b in bits])
    scores = torch.tensor(
        data.draw(st.lists(st.floats(0, 1), min_size=len(bits), max_size=len(bits)))
    )
    alike = 1 - hamming_distances(codes) / 6
    chosen = greedy_modes(scores, 0.3, alike, cutoff=0.7)
    assert chosen == greedy_modes(scores, 0.3, lambda i, rows: alike[i, rows], cutoff=0.7)
    assert all(scores[i] >= 0.3 for i in chosen)
    assert all(alike[i, j] < 0.7 for i, j in itertools.combinations(chosen, 2))
    assert all(a >= b for a, b in itertools.pairwise(scores[chosen].tolist()))
    for i in set(range(len(bits))) - set(chosen):  # every other one is bad or near a better one
        assert scores[i] < 0.3 or any(alike[i, j] >= 0.7 and scores[j] >= scores[i] for j in chosen)


def test_greedy_modes_at_the_limits() -> None:
    """A score at the threshold is good enough; a similarity at the cutoff is too much."""
    alike = torch.tensor([[1.0, 0.7, 0.2], [0.7, 1.0, 0.2], [0.2, 0.2, 1.0]])
    assert greedy_modes(torch.tensor([3.0, 2.0, 1.0]), 1.0, alike, cutoff=0.7) == [0, 2]
    assert greedy_modes(torch.tensor([1.0, 1.0, 0.5]), 1.0, alike, cutoff=0.8) == [0, 1]


def test_top_k_counts_objects_once() -> None:
    values, keys = torch.tensor([5.0, 5.0, 3.0, 1.0]), torch.tensor([7, 7, 8, 9])
    assert float(top_k_mean(values, keys, k=2)) == 4
    assert float(top_k_mean(values, torch.arange(4), k=2)) == 5
    assert float(top_k_mean(values, keys, k=100)) == 3
    with pytest.raises(ConfigError, match="k must be at least 1"):
        top_k_mean(values, keys, k=0)


@given(value=st.lists(st.floats(-10, 10), min_size=1, max_size=20), k=st.integers(1, 20))
def test_top_k_is_the_highest_k(value: list[float], k: int) -> None:
    best = sorted(value, reverse=True)[:k]
    found = top_k_mean(torch.tensor(value), torch.arange(len(value)), k)
    assert float(found) == pytest.approx(sum(best) / len(best))


def test_a_hamming_pair_is_one_apart_not_half() -> None:
    assert float(mean_pairwise_distance(hamming_distances(torch.tensor([[0], [1]])))) == 1
    with pytest.raises(ConfigError, match="at least two"):
        mean_pairwise_distance(torch.zeros(1, 1))


@given(words=st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=2, max_size=8))
def test_pairwise_means(words: list[tuple[int, ...]]) -> None:
    apart = [
        sum(a != b for a, b in zip(v, w, strict=True)) for v, w in itertools.combinations(words, 2)
    ]
    table = hamming_distances(torch.tensor(words))
    assert float(mean_pairwise_distance(table)) == pytest.approx(sum(apart) / len(apart))
    assert float(diversity(1 - table / 4)) == pytest.approx(sum(apart) / len(apart) / 4)


def test_means_and_their_errors() -> None:
    assert float(mean_reward_accuracy(0.5, 2.0)) == 25
    assert float(mean_reward_accuracy(3.0, 2.0)) == 100
    assert float(relative_mean_error(3.0, 2.0)) == 0.5
    assert float(relative_mean_error(torch.tensor(1.0), 2.0)) == -0.5
    with pytest.raises(ConfigError, match="must be positive, got 0"):
        relative_mean_error(1.0, 0.0)


def test_unique_fraction() -> None:
    assert float(unique_fraction(torch.tensor([1, 1, 2, 3]))) == 0.75
    assert math.isclose(float(unique_fraction(torch.arange(3))), 1)
    with pytest.raises(ConfigError, match="no objects"):
        unique_fraction(torch.zeros(0, dtype=torch.int64))

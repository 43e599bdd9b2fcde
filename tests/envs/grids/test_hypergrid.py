"""Hypergrids: masks and steps by brute force, rewards by their formulas, sums in closed form."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import Sampler, TabularPolicy, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import (
    LANDSCAPES,
    Corners,
    Cosine,
    CosineProduct,
    Deceptive,
    GridReward,
    Independent,
    Landscape,
    MultiScale,
    Sparse,
)
from gflow.envs.grids.task import HypergridTask
from gflow.errors import ConfigError, IllegalActionError
from gflow.rewards.wrappers import Tempered
from gflow.testing import check_env
from gflow.testing.strategies import hypergrids

Cell = tuple[int, ...]


def cells_of(dim: int, side: int) -> list[Cell]:
    return list(itertools.product(range(side), repeat=dim))


# ---------------------------------------------------------------------- structure


@settings(max_examples=25)
@given(dim=st.integers(1, 3), side=st.integers(2, 5), ending=st.sampled_from(["free", "forced"]))
def test_masks_and_steps_are_those_of_the_definition(dim: int, side: int, ending: Any) -> None:
    """E-7, E-8: every cell, every action, against plain tuples."""
    env = HyperGrid(dim, side, ending=ending)
    top = side - 1
    reachable = [
        c for c in cells_of(dim, side) if ending == "free" or sum(x == top for x in c) <= 1
    ]
    states = torch.tensor(reachable)
    forward, backward = env.forward_mask(states), env.backward_mask(states)
    for row, cell in enumerate(reachable):
        done = ending == "forced" and top in cell
        ups = [not done and x < top for x in cell]
        downs = [x > 0 and (not done or x == top) for x in cell]
        assert forward[row].tolist() == [*ups, not done]
        assert backward[row].tolist() == downs
        for i in range(dim):
            if ups[i]:
                child = env.step(states[row][None], torch.tensor([i]))
                assert tuple(child[0].tolist()) == (*cell[:i], cell[i] + 1, *cell[i + 1 :])
                assert torch.equal(env.backstep(child, torch.tensor([i])), states[row][None])
            if downs[i]:
                parent = env.backstep(states[row][None], torch.tensor([i]))
                assert tuple(parent[0].tolist()) == (*cell[:i], cell[i] - 1, *cell[i + 1 :])
    terminal = torch.tensor([ending == "forced" and top in c for c in reachable])
    assert torch.equal(env.is_terminal(states), terminal)
    assert torch.equal(env.is_initial(states), (states == 0).all(1))
    assert bool(env.can_end(states).all()), "every cell is an object"
    graph = enumerate_states(env)
    assert sorted(map(tuple, graph.states.tolist())) == sorted(reachable)


@settings(max_examples=20)
@given(dim=st.integers(1, 4), side=st.integers(2, 6))
def test_keys_number_the_cells(dim: int, side: int) -> None:
    env = HyperGrid(dim, side)
    cells = torch.tensor(cells_of(dim, side))
    keys = env.key(cells)
    assert sorted(keys.tolist()) == list(range(side**dim))
    assert env.num_keys == side**dim
    assert torch.equal(env.cells(keys), cells)
    listed = env.all_states()
    if listed is not None:
        assert torch.equal(env.key(listed), torch.arange(side**dim))


def test_grids_too_large_for_keys_say_so() -> None:
    env = HyperGrid(62, 2)
    assert env.has_keys
    assert env.num_keys == 2**62
    assert int(env.key(torch.ones(1, 62, dtype=torch.int64))) == 2**62 - 1
    env = HyperGrid(63, 2)
    assert not env.has_keys
    assert env.num_keys is None
    assert HyperGrid(2, 3).has_keys, "other grids keep their keys"


@settings(max_examples=20)
@given(dim=st.integers(1, 3), side=st.integers(2, 5), ending=st.sampled_from(["free", "forced"]))
def test_closed_form_of_the_maximum_entropy_policy(dim: int, side: int, ending: Any) -> None:
    """B-7: coordinates over their sum, against counts of trajectories."""
    env = HyperGrid(dim, side, ending=ending)
    graph = enumerate_states(env)
    torch.testing.assert_close(
        graph.log_pb(TabularPolicy(graph, "maxent")), graph.max_entropy_log_pb()
    )
    factorial = [math.factorial(n) for n in range(dim * side + 1)]
    ways = [factorial[sum(c)] / math.prod(factorial[x] for x in c) for c in graph.states.tolist()]
    if ending == "free":
        torch.testing.assert_close(
            graph.log_num_trajectories(), torch.tensor(ways).log(), atol=1e-9, rtol=1e-9
        )


@settings(max_examples=15)
@given(env=hypergrids())
def test_every_grid_obeys_the_rules_of_environments(env: HyperGrid) -> None:
    check_env(env)


def test_actions_that_are_not_legal_are_refused() -> None:
    env = HyperGrid(2, 3)
    cells = torch.tensor([[0, 0], [2, 1]])
    with pytest.raises(
        IllegalActionError,
        match=r"forward action 0 is illegal in row 1 .*\(2, 1\); legal: \[1, 2\]",
    ):
        env.step(cells, torch.tensor([0, 0]))
    with pytest.raises(IllegalActionError, match=r"given the stop action 2\. Stopping changes no"):
        env.step(cells, torch.tensor([1, 2]))
    with pytest.raises(IllegalActionError, match=r"backward action 1 is illegal in row 0"):
        env.backstep(cells, torch.tensor([1, 1]))
    with pytest.raises(IllegalActionError, match="forward action 7 is illegal"):
        env.step(cells, torch.tensor([7, 1]))
    with pytest.raises(ValueError, match=r"must have shape \(2,\), got \(1,\)"):
        env.step(cells, torch.tensor([1]))


def test_steps_write_to_nothing_they_were_given() -> None:
    env = HyperGrid(2, 3)
    cells, actions = torch.tensor([[0, 1], [1, 1]]), torch.tensor([1, 0])
    child = env.step(cells, actions)
    env.backstep(child, actions)
    assert cells.tolist() == [[0, 1], [1, 1]]
    assert actions.tolist() == [1, 0]
    assert child.tolist() == [[0, 2], [2, 1]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HyperGrid(0, 3), "need dim >= 1 and side >= 2, got 0 and 3"),
        (lambda: HyperGrid(2, 1), "need dim >= 1 and side >= 2, got 2 and 1"),
        (lambda: HyperGrid(2, 3, ending="soft"), "must be 'free' or 'forced', got 'soft'"),  # type: ignore[arg-type]
        (lambda: HyperGrid(2, 4, Corners(5)), "is for side 5, the grid has side 4"),
        (lambda: Corners(4, r0=0.0), r"Corners: r0 must be positive, got 0\.0"),
        (lambda: Sparse(2), "needs side >= 3"),
        (lambda: MultiScale(2, base=3), "base must be even"),
        (lambda: MultiScale(2, weights=(1.0,)), "need 2 weights, got 1"),
        (lambda: Landscape(4, {"hill": 1.0}), "unknown function 'hill'; known: branin"),
    ],
)
def test_nonsense_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


# ---------------------------------------------------------------------- rewards


def bell(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def by_formula(reward: Any, cell: Cell) -> float:
    """Each reward from the table of the specification, one cell at a time."""
    side = reward.side
    a = [abs(s / (side - 1) - 0.5) for s in cell]
    x = [2 * s / (side - 1) - 1 for s in cell]
    ring = all(t > 0.25 + 1e-12 for t in a)
    mode = all(0.3 + 1e-12 < t < 0.4 - 1e-12 for t in a)
    match reward:
        case Corners():
            return 0.02 + 0.5 * ring + 2.0 * mode
        case Cosine():
            return 0.02 + 0.5 * math.prod((math.cos(50 * t) + 1) * bell(5 * t) for t in a)
        case CosineProduct():
            return math.prod((math.cos(50 * t) + 1) * bell(5 * t) for t in x) + 0.01
        case Deceptive():
            return 0.02 + 0.1 - 0.1 * all(t > 0.1 + 1e-12 for t in a) + 2.0 * mode
        case Sparse():
            hits = {1: 0, side - 2: 0}
            for s in cell:
                if s not in hits:
                    return 1e-3
            return 1.0 if side - 2 in cell else 1e-3
        case _:  # MultiScale(2, (1, 2), base=2)
            total, passing = 0.02, True
            digits = [(s // 2, s % 2) for s in cell]
            passing = all(d[0] < 1 for d in digits)
            total += passing
            passing = passing and all((d[1] + d[0]) % 2 < 1 for d in digits)
            return total + 2.0 * passing


def rewards(side: int) -> list[GridReward]:
    found: list[GridReward] = [
        Corners(side, 0.02), Cosine(side, 0.02), CosineProduct(side), Deceptive(side, 0.02),
    ]  # fmt: skip
    if side >= 3:
        found.append(Sparse(side, 1e-3))
    if side == 4:
        found.append(MultiScale(2, (1.0, 2.0), r0=0.02, base=2))
    return found


@settings(max_examples=20)
@given(dim=st.integers(1, 3), side=st.integers(2, 12))
def test_rewards_and_partition_functions_by_brute_force(dim: int, side: int) -> None:
    cells = cells_of(dim, side)[:: 1 if dim < 3 else 7]
    everything = torch.tensor(cells_of(dim, side))
    for reward in rewards(side):
        wanted = torch.tensor([by_formula(reward, cell) for cell in cells])
        states = torch.tensor(cells)
        torch.testing.assert_close(reward.value(states), wanted)
        env = HyperGrid(dim, side, reward)
        torch.testing.assert_close(env.log_reward(states), wanted.log())
        total = reward.value(everything).sum().log().item()
        assert abs(env.log_partition() - total) < 1e-9  # type: ignore[operator]


@settings(max_examples=15)
@given(
    levels=st.integers(1, 3), base=st.sampled_from([2, 4]), dim=st.integers(1, 2),
    weights=st.lists(st.floats(0, 5), min_size=3, max_size=3),
)  # fmt: skip
def test_closed_form_of_the_multi_scale_reward(
    levels: int, base: int, dim: int, weights: list[float]
) -> None:
    reward = MultiScale(levels, tuple(weights[:levels]), base=base)
    cells = torch.tensor(cells_of(dim, base**levels))
    assert abs(reward.value(cells).sum().log().item() - reward.log_partition(dim)) < 1e-9  # type: ignore[operator]
    passed = (reward.value(cells) > reward.r0 + 1e-12).sum()
    if all(w > 1e-6 for w in weights[:levels]):
        assert passed == (base // 2) ** dim * base ** ((levels - 1) * dim)


@pytest.mark.parametrize("side", [8, 10, 16, 21])
def test_bands_at_their_thresholds(side: int) -> None:
    """E-7: strict inequalities; a cell exactly on a threshold belongs to neither band."""
    reward = Corners(side, 0.1)
    for s in range(side):
        numerator = abs(2 * s - (side - 1))  # a = numerator / (2 (side - 1)), exactly
        ring = 4 * numerator > 2 * (side - 1)
        mode = 10 * numerator > 6 * (side - 1) and 10 * numerator < 8 * (side - 1)
        wanted = 0.1 + 0.5 * ring + 2.0 * mode
        assert abs(reward.value(torch.tensor([[s]])).item() - wanted) < 1e-12
        assert bool(reward.is_mode(torch.tensor([[s]]))) == (ring and mode)


def test_only_free_grids_with_their_own_reward_know_their_partition_function() -> None:
    assert HyperGrid(2, 4, ending="forced").log_partition() is None
    assert HyperGrid(2, 4, Tempered(Corners(4), 2.0)).log_partition() is None
    assert HyperGrid(2, 4, Landscape(4)).log_partition() is None


def test_large_grids_stay_exact() -> None:
    """2^60 cells: the sum is known although nobody can count."""
    reward = MultiScale(levels=5, base=4, r0=1e-3)
    log_z = HyperGrid(6, reward.side, reward).log_partition()
    terms = [reward.r0 * 4.0**30] + [2.0 ** (6 * t) * 4.0 ** (6 * (5 - t)) for t in range(1, 6)]
    assert abs(log_z - math.log(sum(terms))) < 1e-12  # type: ignore[operator]


def test_landscapes_add_up_and_stay_positive() -> None:
    cells = torch.tensor(cells_of(2, 9))
    names = sorted(LANDSCAPES)
    weights = dict(zip(names, (1.0, 0.5, 2.0, 0.25, 3.0), strict=True))
    reward = Landscape(9, weights, floor=1e-2)
    x, y = (2 * cells.double() / 8 - 1).unbind(1)
    wanted = sum(w * LANDSCAPES[n](x, y) for n, w in weights.items()) + 1e-2
    torch.testing.assert_close(reward.value(cells), wanted)
    negative = Landscape(9, {"branin": -1.0})
    assert bool((negative.value(cells) >= 1e-6 * (1 - 1e-12)).all())
    with pytest.raises(ConfigError, match="defined for dim=2, got 3"):
        reward.value(torch.zeros(1, 3, dtype=torch.int64))


def test_landscapes_at_known_points() -> None:
    """Branin's minimum 0.397887 at (pi, 2.275) becomes its maximum; Beale vanishes at (3, 0.5)."""
    a, b = math.pi, 2.275
    x, y = torch.tensor([(a + 5) / 7.5 - 1]), torch.tensor([b / 7.5 - 1])
    best = 1 - 0.397887 / 308.13
    assert abs(LANDSCAPES["branin"](x, y).item() - best) < 1e-6
    assert abs(LANDSCAPES["beale"](torch.tensor([3.0]), torch.tensor([0.5])).item()) < 1e-12
    assert LANDSCAPES["sphere"](torch.tensor([1.0]), torch.tensor([-1.0])).item() == 1.0


def test_rewards_are_in_the_default_precision_and_computed_in_double() -> None:
    torch.set_default_dtype(torch.float32)
    env = HyperGrid(2, 8, Sparse(8))
    value = env.log_reward(torch.tensor([[6, 1], [0, 0]]))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, torch.tensor([0.0, math.log(1e-12)]))
    policy = TabularPolicy(enumerate_states(env))
    batch = Sampler(env).forward(policy, 5, generator=torch.Generator().manual_seed(0))
    assert batch.log_reward.dtype == torch.float32
    found: Tensor = enumerate_states(env).log_target()
    assert found.dtype == torch.float64


# ---------------------------------------------------------------------- many coordinates


def test_partition_functions_beyond_all_floats() -> None:
    """Z of 4^512 cells is no float; its logarithm is."""
    dim = 512
    everything, corners = dim * math.log(4), dim * math.log(2)

    def both(low: float, high: float) -> float:
        wanted = torch.tensor([math.log(low) + everything, math.log(high) + corners])
        return float(wanted.double().logsumexp(0))

    for low in (0.1, 1e-154):  # 1e-154 of all cells is as much as the corners
        assert Corners(4, low, 0.5).log_partition(dim) == pytest.approx(both(low, 0.5))
        assert Sparse(4, low).log_partition(dim) == pytest.approx(both(low, 1.0))
        assert MultiScale(1, (3.0,), low).log_partition(dim) == pytest.approx(both(low, 3.0))
    # Where all cells are far from the middle, what is added everywhere is taken away everywhere.
    deceptive = Deceptive(4, 1e-5, 0.1).log_partition(dim)
    assert deceptive == pytest.approx(math.log(1e-5) + everything)


def test_independent_coordinates_by_brute_force() -> None:
    dim, side = 3, 4
    reward = Independent(side, dim, spread=0.7, seed=3)
    cells = torch.tensor(cells_of(dim, side))
    target = reward(cells).softmax(0)
    assert reward.log_partition(dim) == pytest.approx(float(reward(cells).logsumexp(0)))
    for coordinate in range(dim):
        for value in range(side):
            share = target[cells[:, coordinate] == value].sum()
            assert float(reward.marginals()[coordinate, value]) == pytest.approx(float(share))
    torch.testing.assert_close(reward.value(cells), reward(cells).exp())
    assert HyperGrid(dim, side, reward).log_partition() == reward.log_partition(dim)
    with pytest.raises(ConfigError, match="is for 3 coordinates, the grid has 2"):
        HyperGrid(2, side, reward)


def test_grids_of_many_coordinates_are_sampled_and_measured() -> None:
    task = HypergridTask(dim=512, side=4, reward="independent")
    exact = task.grid_reward().marginals()  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(0)
    cells = torch.multinomial(exact, 400, replacement=True, generator=generator).T

    class Context:
        best = None

    near = task.metrics(Context(), cells)["marginal_tv"]  # type: ignore[arg-type]
    far = task.metrics(Context(), cells.flip(-1))["marginal_tv"]  # type: ignore[arg-type]
    assert near < 0.04
    assert far > 0.2

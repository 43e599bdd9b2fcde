"""Environments told what to build: rewards, widths, log Z, encoders, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, enumerate_states
from gflow.envs import HyperGrid
from gflow.envs.cubes.box import Box
from gflow.envs.games.tictactoe import TicTacToe
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import GraphBatch
from gflow.envs.pairs.composition import Product
from gflow.envs.sequences.env import Autoregressive
from gflow.envs.sets.sets import FixedSizeSets
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.outcomes import (
    OutcomeConditioned,
    OutcomeEncoder,
    OutcomeReward,
    VisitedOutcomes,
    outcomes_of,
    success_rate,
    wander,
)
from gflow.outcomes.tables import OutcomeTables
from gflow.testing import check_env

GRID = HyperGrid(2, 3)
CELLS = torch.tensor([[0, 0], [2, 1], [1, 2], [2, 2]])


def total(cells: Tensor) -> Tensor:
    """How far from the origin: several cells share an outcome."""
    return cells.sum(-1, keepdim=True)


def log_sharing(outcomes: Tensor) -> Tensor:
    """Log of how many of the nine cells have each sum."""
    return torch.tensor([1.0, 2, 3, 2, 1]).log()[outcomes[:, 0].long()]


def test_the_reward_is_one_for_what_was_asked_and_the_floor_else() -> None:
    told = OutcomeConditioned(GRID, floor=1e-4)
    assert isinstance(told, HyperGrid)
    assert (told.condition_dim, told.name) == (2, "OutcomeConditioned(HyperGrid)")
    asked = torch.tensor([[0.0, 0], [2, 1], [2, 1], [0, 2]])
    got = told.log_reward(CELLS, asked).exp()
    assert torch.allclose(got, torch.tensor([1.0, 1.0, 1e-4, 1e-4]))
    assert torch.equal(outcomes_of(told, CELLS), CELLS.double())
    known = told.known_log_z(asked, 4)
    assert known is not None
    assert known.tolist() == [0.0] * 4
    check_env(told, condition=torch.tensor([2.0, 1.0]))


def test_items_that_no_features_are_can_be_outcomes_through_what_policies_read() -> None:
    told = OutcomeConditioned(FixedSizeSets(4, 2))
    sets = torch.tensor([[True, True, False, False], [False, True, True, False]])
    assert outcomes_of(told, sets).tolist() == [[1, 1, 0, 0], [0, 1, 1, 0]]


def test_objects_may_share_an_outcome() -> None:
    told = OutcomeConditioned(GRID, total, floor=0.0, log_count=log_sharing)
    assert told.condition_dim == 1
    asked = torch.tensor([[3.0]] * 4)
    assert told.reward(CELLS, asked).exp().tolist() == [0, 1, 1, 0]
    for outcome in range(5):
        one = torch.tensor([[float(outcome)]])
        known = told.known_log_z(one, 1)
        assert known is not None
        exact = enumerate_states(told).exact_flows(condition=one).log_z
        assert float(known[0]) == pytest.approx(exact)
    assert OutcomeConditioned(GRID, total).known_log_z(asked, 4) is None
    assert OutcomeConditioned(GRID, anchored=False).known_log_z(asked, 4) is None


class Odd:
    """Outcomes of wrong shapes."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __call__(self, cells: Tensor) -> Tensor:
        return torch.zeros(self.shape)


CUBE = GraphBatch.from_edges([3], [[(0, 1), (1, 2)]])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: OutcomeConditioned(TicTacToe()), IncompatibleError, "not all moves are the agent"),
        (lambda: OutcomeConditioned(Box()), IncompatibleError, "condition on a score"),
        (lambda: OutcomeConditioned(IndependentSet(CUBE)), IncompatibleError, "own condition says"),
        (lambda: OutcomeConditioned(GRID, Odd((1,))), ShapeError, r"must be \(B, C\)"),
        (lambda: OutcomeConditioned(GRID, Odd((3, 2))), ShapeError, r"here \(1, C\), got \(3, 2\)"),
        (lambda: OutcomeConditioned(GRID, floor=1.0), ConfigError, "floor"),
        (lambda: OutcomeConditioned(GRID).reward(CELLS), ConfigError, "no outcome was asked for"),
        (lambda: outcomes_of(GRID, CELLS), IncompatibleError, r"OutcomeConditioned\(env\)"),
        (lambda: OutcomeEncoder(GRID), IncompatibleError, r"OutcomeConditioned\(env\)"),
        (lambda: OutcomeEncoder(OutcomeConditioned(GRID, total)), IncompatibleError, "features"),
        (lambda: VisitedOutcomes(torch.zeros(0, 2)), ConfigError, "at least one"),
        (
            lambda: OutcomeTables(enumerate_states(GRID), CELLS.double()).places(
                torch.tensor([[0.0, 1.0]])
            ),
            IncompatibleError,
            r"\[0.0, 1.0\] is not among the 4",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_several_states_of_one_object_need_an_outcome_that_says_which() -> None:
    class Shared(HyperGrid):
        def log_multiplicity(self, states: Tensor) -> Tensor:
            return torch.zeros(len(states))

    with pytest.raises(IncompatibleError, match="several finished states stand for one object"):
        OutcomeConditioned(Shared(2, 3))
    assert OutcomeConditioned(Shared(2, 3), total).condition_dim == 1
    assert OutcomeConditioned(Product(HyperGrid(1, 3), HyperGrid(1, 2))).condition_dim == 4


def test_encoders_read_outcomes_as_features() -> None:
    told = OutcomeConditioned(Autoregressive("ABC", 2, FunctionReward(total)))
    encoder = OutcomeEncoder(told, 8)
    rows = encoder(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    assert encoder.out_features == 8
    assert torch.allclose(rows[0], encoder.table[2] + encoder.table[4])
    assert torch.allclose(rows[1], encoder.table[0] + encoder.table[6])
    policy = MLPPolicy(told, 16, condition_encoder=encoder)
    states, asked = told.initial(2), torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    logits = policy(told, states, asked).forward_logits
    assert not torch.allclose(logits[0], logits[1])


def test_random_moves_end_in_every_object_and_ask_for_no_reward() -> None:
    def never(states: Tensor) -> Tensor:
        raise AssertionError("a reward was asked for")

    env = HyperGrid(2, 3, FunctionReward(never))
    found = wander(env, 500, torch.Generator().manual_seed(0))
    assert found.shape == (500, 2)
    assert len(torch.unique(found, dim=0)) == 9
    # By the first move: a third of the walks stop at once.
    assert float((found == 0).all(-1).double().mean()) == pytest.approx(1 / 3, abs=0.07)
    forced = wander(Autoregressive("AB", 3, FunctionReward(never)), 4)
    assert bool((forced < 2).all())


def test_visited_outcomes_are_different_ones_and_the_oldest_go() -> None:
    store = VisitedOutcomes(torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]), capacity=3)
    assert store.table.tolist() == [[1, 2], [0, 0]]
    store.add(torch.tensor([[0.0, 0.0], [3.0, 3.0], [4.0, 4.0], [3.0, 3.0]]))
    assert store.table.tolist() == [[0, 0], [3, 3], [4, 4]]
    assert len(store) == 3
    store.add(torch.tensor([[1.0, 2.0]]))  # forgotten, so new again
    assert store.table.tolist() == [[3, 3], [4, 4], [1, 2]]
    drawn = store(300, torch.Generator().manual_seed(0))
    assert torch.unique(drawn, return_counts=True, dim=0)[1].min() > 70
    other = VisitedOutcomes(torch.zeros(1, 2), capacity=3, repeat=2)
    other.load_state_dict(store.state_dict())
    other.add(torch.tensor([[3.0, 3.0]]))
    assert torch.equal(other.table, store.table)
    drawn = other(5, torch.Generator().manual_seed(1))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[2], drawn[4])


def test_success_is_the_share_of_trajectories_that_build_what_they_were_told() -> None:
    told = OutcomeConditioned(GRID, floor=0.0)
    graph = enumerate_states(told)
    every = outcomes_of(told, graph.states)
    exact = OutcomeTables.solved(graph, every)
    assert success_rate(told, exact, every, 3).tolist() == [1.0] * 9
    untrained = OutcomeTables(graph, every)
    rate = success_rate(told, untrained, every, 400, torch.Generator().manual_seed(0))
    chance = graph.terminal_distribution(untrained, every[:1]).exp()
    assert torch.allclose(rate, chance.to(rate), atol=0.08)


def test_rewards_say_whose_they_are() -> None:
    assert repr(OutcomeReward(GRID)) == "OutcomeReward(HyperGrid)"


class Symmetric(HyperGrid):
    """A grid whose objects would be counted twice."""

    def log_symmetry(self, states: Tensor) -> Tensor:
        return torch.full((len(states),), 0.5)


def test_flows_are_not_anchored_where_objects_are_counted_by_their_symmetries() -> None:
    """log Z(y) is minus the log-symmetry then, which a condition does not tell."""
    env = OutcomeConditioned(Symmetric(1, 3), floor=0.0)
    given = torch.tensor([[1.0]])
    exact = enumerate_states(env).exact_flows(condition=given).log_z
    assert exact == pytest.approx(-0.5)
    assert env.known_log_z(given, 1) is None
    assert OutcomeConditioned(HyperGrid(1, 3)).known_log_z(given, 1) is not None

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import DiscreteEnvironment, MLPPolicy, enumerate_states
from gflow.environment.discrete import DiscreteEnvironment as Base
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.pairs.composition import PairState, Product, Stack
from gflow.envs.pairs.pair import SumOfRewards
from gflow.envs.sets.bags import Bags
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import IncompatibleError
from gflow.rewards.base import FunctionReward
from gflow.rewards.wrappers import TemperatureConditional
from gflow.state import take
from gflow.testing import TableEnvironment, all_trajectories, check_env
from gflow.testing.slipping import SlippingGrid
from gflow.testing.strategies import random_dags

PARTS: list[DiscreteEnvironment[Any]] = [
    HyperGrid(2, 2),
    HyperGrid(2, 3, ending="forced"),
    FixedSizeSets(3, 2, AdditiveEnergy(torch.tensor([0.3, -0.2, 0.9]))),
    Bags(2, 2),
    EnergyModel(IsingReward(1, 2, 0.3, 0.1)),
    # Two actions to one child, both kinds of ends.
    TableEnvironment(
        [[1, 1, 2], [3, 2], [3], []], [0.1, 0.5, -0.3, 0.2], [False, True, True, False], False
    ),
]

parts = st.one_of(st.sampled_from(PARTS), random_dags(max_states=6))


def finished_apart(env: DiscreteEnvironment[Any]) -> tuple[int, int]:
    """Numbers of states and objects, where being stopped in a state is a state of its own."""
    graph = enumerate_states(env)
    if env.stop_action is None:
        return len(graph), len(graph.objects)
    stops = env.forward_mask(graph.states)[:, env.stop_action]
    return len(graph) + int(stops.sum()), len(graph.objects)


def lengths(env: DiscreteEnvironment[Any]) -> list[int]:
    """Lengths of all trajectories, stops included."""
    length: list[int] = all_trajectories(env).length.tolist()
    return length


@pytest.mark.slow
@given(first=parts, second=parts)
def test_product(first: DiscreteEnvironment[Any], second: DiscreteEnvironment[Any]) -> None:
    env = Product(first, second)
    checked = check_env(env, limit=5000)
    assert checked.exhaustive
    (states, _), (others, _) = finished_apart(first), finished_apart(second)
    assert checked.num_states == states * others
    assert checked.longest == first.horizon + second.horizon == env.horizon


@pytest.mark.slow
@given(first=parts, second=parts)
def test_stack(first: DiscreteEnvironment[Any], second: DiscreteEnvironment[Any]) -> None:
    env = Stack(first, second)
    checked = check_env(env, limit=5000)
    assert checked.exhaustive
    (states, objects), (others, _) = finished_apart(first), finished_apart(second)
    assert checked.num_states == states - objects + objects * others
    assert checked.longest == first.horizon + second.horizon == env.horizon


@settings(max_examples=15)
@given(first=random_dags(max_states=5), second=random_dags(max_states=4))
def test_number_of_trajectories(
    first: DiscreteEnvironment[Any], second: DiscreteEnvironment[Any]
) -> None:
    """Two ways of k and l steps are interleaved in C(k + l, k) ways, or stacked in one."""
    ways = [(k, m) for k in lengths(first) for m in lengths(second)]
    interleaved = sum(math.comb(k + m, k) for k, m in ways)
    assert len(all_trajectories(Product(first, second), 100_000)) == interleaved
    assert len(all_trajectories(Stack(first, second), 100_000)) == len(ways)


@pytest.mark.parametrize("kind", [Product, Stack])
@pytest.mark.parametrize("first", PARTS, ids=lambda env: env.name)
def test_default_reward_makes_independent_objects(
    kind: Any, first: DiscreteEnvironment[Any]
) -> None:
    """The joint law is the product of the two laws, and Z the product of both."""
    second = PARTS[4]
    env = kind(first, second)
    graph, one, two = enumerate_states(env), enumerate_states(first), enumerate_states(second)
    objects = graph.objects
    pairs = PairState(
        graph.states.first[objects], graph.states.second[objects], graph.states.stopped[objects]
    )
    laws = []
    for part, states in ((one, pairs.first), (two, pairs.second)):
        law = torch.full((len(part),), -torch.inf)
        law[part.objects] = part.log_target()
        laws.append(law[part.rows(states)])
    torch.testing.assert_close(graph.log_target(), laws[0] + laws[1])
    log_z = one.exact_flows().log_z + two.exact_flows().log_z
    assert graph.exact_flows().log_z == pytest.approx(log_z)
    if first.log_partition() is not None:
        assert env.log_partition() == pytest.approx(log_z)


@pytest.mark.parametrize("kind", [Product, Stack])
def test_reward_of_both_objects(kind: Any) -> None:
    """A set and a cell that like to agree: log R counts where bit i says what coordinate i is."""

    def agreement(pair: PairState) -> Tensor:
        alike: Tensor = pair.first[:, :2] == (pair.second > 0)
        return alike.sum(-1).to(torch.get_default_dtype())

    env = kind(FixedSizeSets(3, 2), HyperGrid(2, 2), FunctionReward(agreement))
    check_env(env)
    graph = enumerate_states(env)
    # Sets {0,1}, {0,2}, {1,2} agree with 4 cells in 2, 1, 1, 0 places: 3 (1 + e)^2 in all.
    assert graph.exact_flows().log_z == pytest.approx(math.log(3 * (1 + math.e) ** 2))
    assert env.log_partition() is None


def test_compositions_compose() -> None:
    inner = Stack(PARTS[0], PARTS[2])
    env = Product(inner, PARTS[1])
    checked = check_env(env, limit=10_000)
    assert checked.num_states == finished_apart(inner)[0] * finished_apart(PARTS[1])[0]
    assert env.show(env.initial(1)) == ["<<(0, 0) | {}> | (0, 0)>"]
    logits = MLPPolicy(env, width=4)(env, env.initial(3)).forward_logits
    assert logits.shape == (3, env.num_actions)


@pytest.mark.parametrize("kind", [Product, Stack])
@pytest.mark.parametrize("first", PARTS[:3], ids=lambda env: env.name)
def test_all_states_are_in_the_order_of_their_keys(
    kind: Any, first: DiscreteEnvironment[Any]
) -> None:
    env = kind(first, PARTS[4])
    listed = env.all_states()
    assert first.num_keys is not None
    assert env.num_keys == first.num_keys * 9 * (2 if first.stop_action is not None else 1)
    reached = enumerate_states(env).states
    # Keys of impossible pairs may stand for any state, but it must exist.
    assert bool(torch.isin(env.key(listed), env.key(reached)).all())
    found = listed.first[env.key(reached)]
    assert torch.equal(found, reached.first)
    assert torch.equal(listed.second[env.key(reached)], reached.second)
    assert torch.equal(listed.stopped[env.key(reached)], reached.stopped)


def test_keys_are_given_up_where_a_part_has_none_or_they_overflow() -> None:
    large = FixedSizeSets(40, 2)
    env = Product(large, large)
    assert not env.has_keys
    assert env.num_keys is None
    assert env.all_states() is None
    assert not check_env(env, examples=4).exhaustive
    assert Product(FixedSizeSets(30, 2), FixedSizeSets(30, 2)).has_keys


class Unencoded(TableEnvironment):
    """A part that does not encode to categorical features."""

    feature_sizes = ()

    def __init__(self) -> None:
        super().__init__([[1, 2], [3], [3], []], [0.0] * 4)
        self.feature_sizes = ()


def test_parts_without_features_are_encoded_side_by_side() -> None:
    env = Product(Unencoded(), PARTS[0])
    assert env.feature_sizes == ()
    one, two, marks = env.encode(env.initial(2))
    assert (one.shape, two.shape, marks.shape) == ((2, 1), (2, 2), (2, 1))
    check_env(env)


def test_conditions_are_dealt_to_the_parts() -> None:
    first = FixedSizeSets(3, 1, TemperatureConditional(AdditiveEnergy(torch.arange(3.0))))
    first.condition_dim = 1
    env = Product(first, PARTS[4])
    assert env.condition_dim == 1
    check_env(env)
    both = Product(first, first)
    pair = enumerate_states(both).states
    pair = PairState(pair.first[-1:], pair.second[-1:], pair.stopped[-1:])
    got = both.log_reward(pair, torch.tensor([[2.0, 10.0]]))
    energies = torch.arange(3.0)
    expected = -2 * (pair.first * energies).sum(-1) - 10 * (pair.second * energies).sum(-1)
    torch.testing.assert_close(got, expected)
    assert isinstance(both.reward, SumOfRewards)


class Twins(TableEnvironment):
    """A part that says how often its objects are counted."""

    def log_symmetry(self, states: Tensor) -> Tensor:
        return states.double()


def test_symmetries_add() -> None:
    twins = Twins([[1, 2], [], []], [0.0] * 3)
    for env, factor in ((Product(twins, twins), 2), (Product(twins, PARTS[3]), 1)):
        pair = env.step(env.initial(1), torch.tensor([1]))
        if factor == 2:
            pair = env.step(pair, torch.tensor([env.first.num_actions + 1]))
        symmetry = Base.target_log_reward(env, pair) - env.log_reward(pair)
        torch.testing.assert_close(symmetry, torch.tensor([-2.0 * factor]))


class Shared(HyperGrid):
    """Cells that stand for the same object as others do."""

    def log_multiplicity(self, states: Tensor) -> Tensor:
        return (states[:, 0] + 2).double().log()


def test_what_stands_for_one_object_shares_its_reward_in_pairs_too() -> None:
    plain, shared = HyperGrid(2, 3), Shared(2, 3)
    for pair in (Product(plain, shared), Stack(shared, plain), Product(shared, shared)):
        graph = enumerate_states(pair)
        objects = take(graph.states, graph.objects)
        parts = [
            env.log_reward(states)
            for env, states in ((pair.first, objects.first), (pair.second, objects.second))
        ]
        torch.testing.assert_close(pair.log_reward(objects), parts[0] + parts[1])
        assert pair.log_multiplicity(objects) is not None
    assert Product(plain, plain).log_multiplicity(objects) is None


@pytest.mark.parametrize("kind", [Product, Stack])
@pytest.mark.parametrize("place", [0, 1])
def test_moves_of_chance_are_not_taken_for_the_agents(kind: Any, place: int) -> None:
    parts: list[Any] = [HyperGrid(1, 3), HyperGrid(1, 3)]
    parts[place] = SlippingGrid(2, 3)
    with pytest.raises(IncompatibleError, match=f"{kind.__name__}: some moves of SlippingGrid are"):
        kind(*parts)

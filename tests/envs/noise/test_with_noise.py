"""`WithNoise` keeps the contract of environments around any environment, with any kernel."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import DiscreteEnvironment, MLPPolicy, Sampler, enumerate_states
from gflow.environment.movers import AGENT, CHANCE
from gflow.envs.cubes.box import Box
from gflow.envs.graphs.small_graphs import SmallGraphs
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.envs.noise import (
    FunctionKernel,
    Kernel,
    NoisyState,
    StickyMoves,
    StochasticGrid,
    TableKernel,
    TokenNoise,
    WithNoise,
)
from gflow.envs.pairs.composition import Product
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength
from gflow.envs.sets.bags import Bags
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.rewards.base import FunctionReward
from gflow.rewards.scalarizations import Preferences
from gflow.rewards.wrappers import TemperatureConditional
from gflow.testing import TableEnvironment, check_env
from gflow.testing.slipping import SlippingGrid
from gflow.testing.strategies import hypergrids, random_dags

ONES: FunctionReward[Any] = FunctionReward(lambda s: (s == 1).sum(-1).double(), partial=True)
ALLOWED = torch.tensor([[True, True, False], [False, True, True], [True, False, False]])
INNER: dict[str, DiscreteEnvironment[Any]] = {
    "grid": HyperGrid(2, 3),
    "grid-forced": HyperGrid(2, 4, ending="forced"),
    "left-to-right": Autoregressive("abc", 3, ONES),
    "allowed": Autoregressive("abc", 3, ONES, ALLOWED),
    "variable-length": VariableLength("ab", 3, ONES, min_length=1),
    "prepend-append": PrependAppend("ab", 3, ONES),
    "any-order": AnyOrder("ab", 3, ONES),
    "sets": FixedSizeSets(4, 2, AdditiveEnergy(torch.arange(4.0))),
    "bags": Bags(2, 3),
    "small-graphs": SmallGraphs(3),
    "product": Product(HyperGrid(1, 2), FixedSizeSets(3, 1)),
    "doubled": TableEnvironment(
        [[1, 1, 2], [3, 2], [3], []], [0.1, 0.5, -0.3, 0.2], [False, True, True, False], False
    ),
}


def moves_of(env: DiscreteEnvironment[Any]) -> int:
    return env.num_actions - (env.stop_action is not None)


@st.composite
def tables(draw: st.DrawFn, size: int) -> TableKernel:
    """Tables in which the intended action is always possible, and others may not be."""
    rows = [[draw(st.sampled_from([0, 0, 1, 3])) for _ in range(size)] for _ in range(size)]
    weight = torch.tensor(rows, dtype=torch.float64) + torch.eye(size)
    return TableKernel(weight / weight.sum(1, keepdim=True))


@st.composite
def noisy(draw: st.DrawFn, inner: st.SearchStrategy[DiscreteEnvironment[Any]]) -> WithNoise:
    env = draw(inner)
    kinds: list[st.SearchStrategy[Kernel]] = [
        st.floats(0, 1).map(TokenNoise),
        st.floats(0, 1).map(StickyMoves),
        tables(moves_of(env)),
    ]
    return WithNoise(env, draw(st.one_of(kinds)))


def distinct_moves(env: DiscreteEnvironment[Any]) -> tuple[int, Tensor]:
    """Number of states, and how many different children each has."""
    graph = enumerate_states(env)
    return len(graph), torch.bincount(graph.parent, minlength=len(graph))


@pytest.mark.parametrize("alpha", [0.3, 1.0])
@pytest.mark.parametrize("name", INNER)
def test_noise_everywhere_doubles_the_turns(name: str, alpha: float) -> None:
    """Each state and each of its k moves is a state; a move can be executed from k announced."""
    inner = INNER[name]
    env = WithNoise(inner, TokenNoise(alpha))
    checked = check_env(env, limit=20_000)
    states, moves = distinct_moves(inner)
    assert checked.exhaustive
    assert checked.num_states == states + int(moves.sum())
    assert checked.num_transitions >= int((moves + moves**2).sum())
    if inner.forward_classes(inner.initial(1)) is None:
        assert checked.num_transitions == int((moves + moves**2).sum())
    assert checked.longest <= env.horizon
    if not name.startswith("grid-forced"):
        assert checked.longest == env.horizon


@pytest.mark.parametrize("name", INNER)
def test_without_noise_the_intended_is_executed(name: str) -> None:
    inner = INNER[name]
    checked = check_env(WithNoise(inner, TokenNoise(0.0)), limit=20_000)
    states, moves = distinct_moves(inner)
    assert checked.num_states == states + int(moves.sum())


@pytest.mark.slow
@settings(max_examples=150)
@given(env=noisy(st.one_of(random_dags(max_states=7), st.sampled_from(list(INNER.values())))))
def test_any_environment_with_any_kernel(env: WithNoise) -> None:
    assert check_env(env, limit=20_000).exhaustive


@pytest.mark.slow
@settings(max_examples=25)
@given(env=noisy(hypergrids(max_dim=2, max_side=4)))
def test_hypergrids_with_any_kernel(env: WithNoise) -> None:
    assert check_env(env, limit=20_000).exhaustive


def test_probabilities_of_what_is_executed() -> None:
    """By hand: on an open cell, at the edge, and in a string of three letters."""
    cells = NoisyState(torch.tensor([[0, 1], [2, 1], [0, 1]]), torch.tensor([1, 2, 0]))
    replaced = WithNoise(HyperGrid(2, 3), TokenNoise(0.2))
    table = replaced.chance_law(cells).table().exp()
    torch.testing.assert_close(table[:2], torch.tensor([[0.9, 0.1, 0], [0, 1.0, 0]]))
    sticky = StochasticGrid(2, 3, stick=0.5)
    table = sticky.chance_law(cells).table().exp()
    torch.testing.assert_close(table[:2], torch.tensor([[0.75, 0.25, 0], [0, 1.0, 0]]))
    assert sticky.mover(cells).tolist() == [CHANCE, CHANCE, AGENT]
    assert sticky.forward_mask(cells).int().tolist() == [[1, 1, 0], [0, 1, 0], [1, 1, 1]]
    calm = StickyMoves(0.5)(HyperGrid(3, 3), torch.tensor([[2, 0, 1]]), torch.tensor([2]))
    assert calm.exp().tolist() == [[0, 0, 1, 0]]  # one coordinate at the edge, three axes
    word = WithNoise(Autoregressive("abc", 2, ONES), TokenNoise(0.3))
    said = word.step(word.initial(1), torch.tensor([2]))
    table = word.chance_law(said).table().exp()
    torch.testing.assert_close(table[0], torch.tensor([0.1, 0.1, 0.8]))
    short = WithNoise(Autoregressive("abc", 3, ONES, ALLOWED), TokenNoise(0.3))
    said = short.step(short.initial(1), torch.tensor([1]))
    torch.testing.assert_close(
        short.chance_law(said).table().exp()[0], torch.tensor([0.15, 0.85, 0])
    )


def test_equal_moves_are_announced_as_one() -> None:
    """Two actions to one child: said and executed together, their probabilities added."""
    children = [[1, 1, 2], [-1, 3, 2], [-1, 3], []]
    inner = TableEnvironment(children, [0.1, 0.5, -0.3, 0.2], None, merge_parents=False)
    table = torch.tensor([[0.0, 0.5, 0.5], [0.1, 0.2, 0.7], [0.0, 0.4, 0.6]])
    env = WithNoise(inner, TableKernel(table))
    check_env(env)
    said = env.step(env.initial(2), torch.tensor([1, 2]))
    assert said.announced.tolist() == [1, 3]
    assert env.forward_mask(said).tolist() == [[False, True, True]] * 2
    table = env.chance_law(said).table().exp()[:, 1:]
    torch.testing.assert_close(table, torch.tensor([[0.5, 0.5], [0.4, 0.6]]))


def test_a_table_is_shared_out_among_what_is_legal() -> None:
    table = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    env = WithNoise(Autoregressive("abc", 3, ONES, ALLOWED), TableKernel(table))
    said = env.step(env.initial(2), torch.tensor([0, 1]))
    found = env.chance_law(said).table().exp()
    wanted = torch.tensor([[5 / 8, 3 / 8, 0], [1 / 9, 8 / 9, 0]])
    torch.testing.assert_close(found, wanted.to(found.dtype))


def test_a_function_is_a_kernel_and_support_matters() -> None:
    """A kernel that always executes the next axis: the intended one is never executed."""

    def other(env: DiscreteEnvironment[Any], states: Tensor, intended: Tensor) -> Tensor:
        axes = torch.arange(env.num_actions)
        swapped = torch.where((states == env.side - 1).any(1), intended, 1 - intended)  # type: ignore[attr-defined]
        return torch.where(axes == swapped[:, None], 0.0, -torch.inf)

    env = WithNoise(HyperGrid(2, 3), FunctionKernel(other))
    checked = check_env(env)
    assert checked.num_states == 9 + 12
    said = env.step(env.initial(1), torch.tensor([0]))
    assert env.forward_mask(said).tolist() == [[False, True, False]]
    assert env.step(said, torch.tensor([1])).inner.tolist() == [[0, 1]]


def test_keys_go_to_the_end_of_62_bits_and_hashes_beyond() -> None:
    inner = Autoregressive("ACGT", 29, ONES)
    assert inner.has_keys
    env = WithNoise(inner, TokenNoise(0.1))
    assert env.num_keys == inner.num_keys * 5  # type: ignore[operator]
    beyond = WithNoise(Autoregressive("ACGT", 30, ONES), TokenNoise(0.1))
    assert beyond.inner.has_keys
    assert beyond.num_keys is None
    assert beyond.has_keys
    some = beyond.step(beyond.initial(4), torch.arange(4))
    assert len(set(beyond.key(some).tolist())) == 4
    assert check_env(beyond, examples=8, limit=200).num_states > 100
    without = WithNoise(Autoregressive("ACGT", 40, ONES), TokenNoise(0.1))
    assert not without.inner.has_keys
    assert not without.has_keys


def test_listed_states_stand_in_the_place_of_their_keys() -> None:
    env = WithNoise(INNER["variable-length"], TokenNoise(0.1))
    listed = env.all_states()
    assert listed is not None
    keys = env.key(listed)
    assert len(keys) == env.num_keys == 45
    real = keys == torch.arange(45)
    graph = enumerate_states(env)
    assert int(real.sum()) == len(graph) == 15 + 14
    assert bool(real[env.key(graph.states)].all())
    assert bool(env.is_initial(NoisyState(listed.inner[~real], listed.announced[~real])).all())
    assert WithNoise(SmallGraphs(3), TokenNoise(0.1)).all_states() is not None


def test_the_reward_is_that_of_the_environment() -> None:
    inner = INNER["left-to-right"]
    env = WithNoise(inner, TokenNoise(0.4))
    graph, plain = enumerate_states(env), enumerate_states(inner)
    objects = graph.states.inner[graph.objects]
    wanted = plain.log_reward()[plain.rows(objects)]
    torch.testing.assert_close(graph.log_reward()[graph.objects], wanted)
    assert len(objects) == 27
    assert env.has_partial
    half = env.step(env.initial(1), torch.tensor([1]))
    torch.testing.assert_close(env.partial_log_reward(half), inner.partial_log_reward(half.inner))


class Twins(HyperGrid):
    """Cells that stand for the same object in pairs."""

    def log_multiplicity(self, states: Tensor) -> Tensor:
        return torch.full((len(states),), math.log(2.0))

    def object_key(self, states: Tensor) -> Tensor:
        return self.key(states) // 2


def test_states_that_share_an_object_share_its_reward() -> None:
    inner = Twins(2, 3)
    env = WithNoise(inner, TokenNoise(0.1))
    cells = torch.tensor([[1, 2], [0, 1]])
    quiet = NoisyState(cells, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(env.target_log_reward(quiet), inner.target_log_reward(cells))
    assert env.object_key(quiet).tolist() == inner.object_key(cells).tolist()
    assert not torch.equal(env.target_log_reward(quiet), HyperGrid(2, 3).log_reward(cells))


def test_conditions_and_scores_are_passed_on() -> None:
    inner = HyperGrid(2, 3, TemperatureConditional(HyperGrid(2, 3).reward))
    inner.condition_dim = 1
    env = WithNoise(inner, TokenNoise(0.1))
    check_env(env, condition=torch.tensor([2.0]))
    cells, beta = torch.tensor([[1, 2]]), torch.tensor([[3.0]])
    quiet = NoisyState(cells, torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(env.log_reward(quiet, beta), inner.log_reward(cells, beta))
    several = landscape_grid(side=4, scalarization=Preferences())
    noise = WithNoise(several, TokenNoise(0.1))
    check_env(noise)
    assert (noise.num_scores, noise.condition_dim) == (2, 2)
    torch.testing.assert_close(noise.scores(quiet), several.scores(cells))
    weights = torch.tensor([[0.3, 0.7]])
    given = noise.target_from_scores(quiet, noise.scores(quiet), weights)
    torch.testing.assert_close(given, several.log_reward(cells, weights))


def test_policies_read_what_is_announced() -> None:
    env = WithNoise(HyperGrid(2, 3), TokenNoise(0.1))
    states = env.step(env.initial(2), torch.tensor([0, 1]))
    assert env.encode(states).tolist() == [[0, 0, 1], [0, 0, 2]]
    assert env.feature_sizes == (3, 3, 3)
    torch.manual_seed(0)
    logits = MLPPolicy(env, width=8)(env, states).forward_logits
    assert not torch.allclose(logits[0], logits[1])


def test_noise_has_the_frequencies_of_its_kernel() -> None:
    env = WithNoise(Autoregressive("abcd", 1, ONES), TokenNoise(0.4))
    torch.manual_seed(0)
    policy = MLPPolicy(env, width=4)
    batch = Sampler(env).forward(policy, 20_000, generator=torch.Generator().manual_seed(0))
    said, done = batch.actions[:, 0], batch.actions[:, 1]
    assert float((said == done).double().mean()) == pytest.approx(0.7, abs=0.015)
    wrong = done[said != done]
    assert float(torch.bincount(wrong, minlength=4).min()) > 0


class TestRefusals:
    def test_movers(self) -> None:
        with pytest.raises(IncompatibleError, match="some moves of SlippingGrid are not"):
            WithNoise(SlippingGrid(), TokenNoise(0.1))

    def test_states_that_are_written_in_several_ways(self) -> None:
        class Labelled(HyperGrid):
            def log_symmetry(self, states: Tensor) -> Tensor:
                return states.sum(-1).double()

        with pytest.raises(IncompatibleError, match="a state of Labelled can be written in sev"):
            WithNoise(Labelled(2, 3), TokenNoise(0.1))

    def test_environments_without_moves_back(self) -> None:
        class Onward(DiscreteEnvironment[Tensor]):
            num_actions, horizon, reward = 2, 1, ONES

            def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
                return torch.zeros(batch_size, 1, dtype=torch.int64, device=device)

            def is_initial(self, states: Tensor) -> Tensor:
                return states[:, 0] == 0

            def forward_mask(self, states: Tensor) -> Tensor:
                return (states == 0).expand(-1, 2)

            def _step(self, states: Tensor, actions: Tensor) -> Tensor:
                return actions[:, None] + 1

        assert not Onward.has_backward
        with pytest.raises(IncompatibleError, match="Onward defines no moves back"):
            WithNoise(Onward(), TokenNoise(0.1))

    def test_moves_with_densities(self) -> None:
        with pytest.raises(IncompatibleError, match="WithNoise counts actions.*Box have densities"):
            WithNoise(Box(), TokenNoise(0.1))  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
    def test_probabilities(self, value: float) -> None:
        with pytest.raises(ConfigError, match="TokenNoise: alpha is a probability"):
            TokenNoise(value)
        with pytest.raises(ConfigError, match="StickyMoves: p is a probability"):
            StickyMoves(value)

    def test_tables(self) -> None:
        with pytest.raises(ConfigError, match="each row with the sum 1"):
            TableKernel(torch.tensor([[0.5, 0.4], [0.0, 1.0]]))
        with pytest.raises(ConfigError, match="square table"):
            TableKernel(torch.ones(2, 3) / 3)
        env = WithNoise(HyperGrid(2, 3), TableKernel(torch.eye(3)))
        with pytest.raises(ConfigError, match="HyperGrid has 2 actions beside the stop"):
            env.forward_mask(env.initial(1))

    def test_shapes(self) -> None:
        flat = FunctionKernel(lambda env, states, intended: torch.zeros(len(intended)))
        env = WithNoise(HyperGrid(2, 3), flat)
        with pytest.raises(ShapeError, match=r"FunctionKernel\(<lambda>\) must give \(B, A\)"):
            env.forward_mask(env.initial(1))

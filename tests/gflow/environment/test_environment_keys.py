"""Keys that do not fit are refused where they enter, and hashes are the remedy."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward, MLPPolicy, enumerate_states
from gflow.environment.keys import LARGEST_KEY, hash_rows
from gflow.envs import HyperGrid, Product
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.errors import ConfigError, IncompatibleError
from gflow.objectives import TrajectoryBalance
from gflow.sampling.sampler import Sampler
from gflow.testing import TableEnvironment, check_env
from gflow.training.trainer import TrainConfig, Trainer


class Subsets(DiscreteEnvironment[Tensor]):
    """Subsets of two of n items, keyed by bits or by a hash."""

    def __init__(self, n: int, hashed: bool = False):
        self.num_actions = self.num_backward_actions = self.n = n
        self.horizon, self.feature_sizes, self.hashed = 2, (2,) * n, hashed
        self.num_keys = None if hashed else 2**n
        self.reward = FunctionReward(lambda s: (s * torch.linspace(0, 1, n)).sum(-1))

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.zeros(batch_size, self.n, dtype=torch.int64, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        return (states == 0) & (states.sum(-1, keepdim=True) < 2)

    def backward_mask(self, states: Tensor) -> Tensor:
        return states == 1

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], 1)

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter(1, actions[:, None], 0)

    def key(self, states: Tensor) -> Tensor:
        return hash_rows(states) if self.hashed else (states * 2 ** torch.arange(self.n)).sum(-1)


@pytest.mark.parametrize("n", [63, 80, 2000])
def test_keys_that_do_not_fit_are_refused_with_what_to_do(n: int) -> None:
    for use in (enumerate_states, Sampler):
        with pytest.raises(ConfigError, match=rf"num_keys takes {n} bits.*hash_rows\(states\)"):
            use(Subsets(n))


def test_the_largest_keys_still_work() -> None:
    assert len(enumerate_states(Subsets(62))) == 1 + 62 + 62 * 61 // 2
    assert Subsets(62).num_keys == LARGEST_KEY


def test_colliding_keys_are_named_and_no_cycle_is_blamed() -> None:
    env = Subsets(80)
    env.num_keys = None
    with pytest.raises(IncompatibleError, match=r"share the key 0.*hash_rows"):
        enumerate_states(env)


def test_real_cycles_are_still_cycles() -> None:
    env = TableEnvironment([[1], [2], [3], []], [0.0] * 4)
    env._children[2, 0] = 1
    with pytest.raises(IncompatibleError, match=r"cycle: the state .* reached from itself"):
        enumerate_states(env)


@pytest.mark.slow
def test_hashes_make_exact_answers_possible_again() -> None:
    env = Subsets(80, hashed=True)
    graph = enumerate_states(env)
    assert len(graph) == 1 + 80 + 80 * 79 // 2
    assert check_env(env, limit=4000).exhaustive


def test_without_a_key_everything_else_works() -> None:
    env = Subsets(80)
    env.has_keys = False  # type: ignore[misc]
    torch.manual_seed(0)
    policy = MLPPolicy(env, width=8)
    trainer = Trainer(env, policy, TrajectoryBalance(), TrainConfig(steps=3, batch_size=8))
    trainer.train()
    assert not check_env(env, examples=8, limit=200).exhaustive
    with pytest.raises(IncompatibleError, match="exceed 62 bits"):
        enumerate_states(env)


@pytest.mark.parametrize(
    "env",
    [
        HyperGrid(40, 4),
        FixedSizeSets(70, 3, AdditiveEnergy(torch.ones(70))),
        Product(HyperGrid(20, 4), HyperGrid(20, 4)),
    ],
    ids=lambda env: env.name,
)
def test_our_own_environments_do_without(env: DiscreteEnvironment[Any]) -> None:
    assert not env.has_keys
    assert env.num_keys is None
    Sampler(env)


@given(rows=st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=2, max_size=30))
def test_hashes_are_equal_exactly_for_equal_rows(rows: list[list[int]]) -> None:
    states = torch.tensor(rows)
    same = (states[:, None] == states).all(-1)
    for kind in (states, states.double() / 3, states == 1):
        same = (kind[:, None] == kind).all(-1)
        found = hash_rows(kind)
        assert torch.equal(found[:, None] == found, same)


def test_minus_zero_is_zero() -> None:
    assert len(set(hash_rows(torch.tensor([[0.0], [-0.0]])).tolist())) == 1

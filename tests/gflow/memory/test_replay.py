"""Replay against a list: which trajectories are kept, which are drawn, and with what law."""

from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gflow import Sampler, TabularPolicy, Trajectories, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError
from gflow.memory.columns import narrowest
from gflow.memory.replay import ReplayBuffer

ENV = HyperGrid(2, 3)
FLAT = TabularPolicy(enumerate_states(ENV), "uniform")

Kept = tuple[tuple[int, ...], float]


def sample(count: int, seed: int) -> Trajectories[Any]:
    return Sampler(ENV).forward(FLAT, count, generator=torch.Generator().manual_seed(seed))


def kept(batch: Any) -> list[Kept]:
    """Actions and rewards of the trajectories of a batch or a buffer."""
    if batch.length is None:
        return []
    return [
        (tuple(batch.actions[k, :n].tolist()), float(batch.log_reward[k]))
        for k, n in enumerate(batch.length.tolist())
    ]


class ReplayModel(RuleBasedStateMachine):
    """The buffer does what a sorted or a rotating list does."""

    @initialize(
        capacity=st.integers(1, 6),
        keep=st.sampled_from(["recent", "best"]),
        law=st.sampled_from(["uniform", "reward", "rank", "top", "tenth"]),
    )
    def start(self, capacity: int, keep: Any, law: Any) -> None:
        self.buffer = ReplayBuffer(ENV, capacity, keep, law)
        self.capacity, self.keep, self.law = capacity, keep, law
        self.model: list[Kept] = []

    @rule(count=st.integers(1, 5), seed=st.integers(0, 50))
    def add(self, count: int, seed: int) -> None:
        batch = sample(count, seed)
        self.buffer.add(batch)
        self.model += kept(batch)
        if self.keep == "best" and len(self.model) > self.capacity:
            self.model.sort(key=lambda entry: entry[1])  # stable: of equal ones the older goes
        self.model = self.model[-self.capacity :]

    @rule(count=st.integers(1, 8), seed=st.integers(0, 50))
    def draw(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        before = torch.get_rng_state()
        if not self.model:
            with pytest.raises(ConfigError, match="nothing was added yet"):
                self.buffer.sample(Sampler(ENV), count, generator)
            return
        drawn = self.buffer.sample(Sampler(ENV), count, generator)
        assert len(drawn) == count
        assert set(kept(drawn)) <= set(self.model)
        states = drawn.final_states
        torch.testing.assert_close(drawn.log_reward, ENV.log_reward(states))
        assert torch.equal(torch.get_rng_state(), before)

    @rule()
    def save_and_load(self) -> None:
        other = ReplayBuffer(ENV, self.capacity, self.keep, self.law)
        other.load_state_dict(self.buffer.state_dict())
        self.buffer = other

    @invariant()
    def holds_what_the_list_holds(self) -> None:
        assert len(self.buffer) == len(self.model) <= self.capacity
        assert sorted(kept(self.buffer)) == sorted(self.model)
        order = self.buffer.order
        if order is not None:  # OP-9: no slot that was written over is still listed as it was
            assert sorted(order.slots.tolist()) == list(range(len(self.model)))
            if self.model:
                assert torch.equal(order.values, self.buffer.log_reward[order.slots])
            assert torch.equal(order.values, order.values.sort().values)


ReplayModel.TestCase.settings = settings(max_examples=20, stateful_step_count=12)
TestReplay = ReplayModel.TestCase


def fill(keep: Any) -> tuple[ReplayBuffer, torch.Tensor]:
    """A buffer of four trajectories with rewards 1 : 2 : 3 : 10."""
    buffer = ReplayBuffer(ENV, 4, keep)
    actions = torch.tensor([[2, 0, 0], [0, 2, 0], [1, 2, 0], [0, 1, 2]])
    rewards = torch.tensor([1.0, 2.0, 3.0, 10.0])
    batch = Sampler(ENV).along(actions, torch.tensor([1, 2, 2, 3]), log_reward=rewards.log())
    buffer.add(batch)
    return buffer, rewards


@pytest.mark.parametrize("keep", ["recent", "best"])
def test_draws_have_their_distribution(keep: Any) -> None:
    """Uniform from the recent, by reward from the best; chi-square, 1 in 10 000."""
    buffer, rewards = fill(keep)
    drawn = buffer.sample(Sampler(ENV), 4000, torch.Generator().manual_seed(0))
    counts = torch.stack([(drawn.log_reward == r.log()).sum() for r in rewards])
    weight = rewards if keep == "best" else torch.ones(4)
    expected = 4000 * weight / weight.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 21.1


def test_the_given_reward_is_kept_and_not_computed_again() -> None:
    buffer, rewards = fill("recent")
    drawn = buffer.sample(Sampler(ENV), 50, torch.Generator().manual_seed(0))
    assert set(drawn.log_reward.tolist()) <= set(rewards.log().tolist())


class Conditional(HyperGrid):
    condition_dim = 1


def test_conditions_are_kept_with_their_trajectories() -> None:
    env = Conditional(2, 3)
    buffer = ReplayBuffer(env, 5)
    batch = sample(8, 0)
    condition = torch.arange(8.0)[:, None]
    conditional = Sampler(env).along(batch.actions, batch.length, condition=condition)
    buffer.add(conditional)
    drawn = buffer.sample(Sampler(env), 30, torch.Generator().manual_seed(0))
    assert drawn.condition is not None
    known = kept(batch)
    for entry, value in zip(kept(drawn), drawn.condition[:, 0].tolist(), strict=True):
        assert value >= 3, "the first three were dropped"
        assert entry == known[int(value)]


def test_trajectories_of_different_padding_fit_together() -> None:
    buffer = ReplayBuffer(ENV, 100)
    wide = [
        Sampler(ENV, "static").forward(FLAT, 3, generator=torch.Generator().manual_seed(seed))
        for seed in range(4)
    ]
    narrow = [Sampler(ENV).along(b.actions, b.length) for b in wide]
    assert {b.actions.shape[1] for b in wide} != {b.actions.shape[1] for b in narrow}
    for batch in wide + narrow:
        buffer.add(batch)
    assert buffer.actions.shape == (24, ENV.horizon)
    assert kept(buffer)[:12] == kept(buffer)[12:]


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="capacity must be at least 1, got 0"):
        ReplayBuffer(ENV, 0)
    with pytest.raises(ConfigError, match="top must be at least 1, got 0"):
        ReplayBuffer(ENV, 3, top=0)
    with pytest.raises(ConfigError, match="keep must be one of recent, best, diverse, got 'worst'"):
        ReplayBuffer(ENV, 3, "worst")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ReplayBuffer: draw must be .*got 'luck'"):
        ReplayBuffer(ENV, 3, draw="luck")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rebuild must be one of actions, backward"):
        ReplayBuffer(ENV, 3, rebuild="memory")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(2, "int8"), (128, "int8"), (129, "int16"), (1 << 15, "int16"), ((1 << 15) + 1, "int32")],
)
def test_actions_are_kept_in_few_bytes_that_hold_them_all(count: int, dtype: str) -> None:
    found = narrowest(count)
    assert found is getattr(torch, dtype)
    assert int(torch.tensor([count - 1]).to(found)) == count - 1

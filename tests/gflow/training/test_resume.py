"""Resuming trajectories from any state: what is kept is kept, the rest is the policy's."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    Exploration,
    FunctionReward,
    MLPPolicy,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import Autoregressive, VariableLength
from gflow.errors import ConfigError, ShapeError
from gflow.policies.transformer import CausalTransformer
from gflow.testing.strategies import random_dags

REWARD: FunctionReward[Tensor] = FunctionReward(
    lambda s: (s == 0).sum(-1).to(torch.get_default_dtype())
)
PLANS: list[dict[str, Any]] = [
    {"plan": "ragged", "share": True},
    {"plan": "ragged", "share": False},
    {"plan": "static"},
    {},
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(env: DiscreteEnvironment[Any], seed: int = 0) -> TabularPolicy:
    policy = TabularPolicy(enumerate_states(env))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=seeded(seed))
    return policy


def moves(batch: Trajectories[Any]) -> Tensor:
    """(B,) transitions that are not stops."""
    return batch.length - batch.stopped.long()


def somewhere(batch: Trajectories[Any], seed: int) -> Tensor:
    """(B,) a number of moves that each trajectory has."""
    return (torch.rand(len(batch), generator=seeded(seed)) * (moves(batch) + 1)).long()


def replayed(env: DiscreteEnvironment[Any], batch: Trajectories[Any]) -> None:
    """Legal from the source to the end, with the rewards of the objects."""
    again = Sampler(env).along(batch.actions, batch.length, condition=batch.condition)
    width = again.actions.shape[1]
    assert torch.equal(again.stopped, batch.stopped)
    assert torch.equal(again.backward_actions, batch.backward_actions[:, :width])
    assert bool((batch.actions[~batch.mask] == 0).all())
    torch.testing.assert_close(again.log_reward, batch.log_reward)
    for time in range(width + 1):
        assert torch.equal(again.states_at(time), batch.states_at(time))


@settings(max_examples=25)
@given(env=random_dags(), how=st.sampled_from(PLANS), seed=st.integers(0, 99))
def test_what_is_kept_is_kept(env: Any, how: dict[str, Any], seed: int) -> None:
    policy, sampler = scattered(env), Sampler(env, **how)
    batch = sampler.forward(policy, 30, generator=seeded(seed))
    keep = somewhere(batch, seed)
    found = sampler.resume(policy, batch, keep, generator=seeded(seed + 1))
    replayed(env, found)
    assert found.complete is None
    assert bool((found.length >= keep).all())
    for k, c in enumerate(keep.tolist()):
        assert torch.equal(found.actions[k, :c], batch.actions[k, :c])
    assert torch.equal(found.state_index.unique(), torch.arange(found.num_states))


@pytest.mark.parametrize("how", PLANS, ids=str)
@pytest.mark.parametrize("limit", [1, 2])
def test_cut_ones_can_be_completed_and_cut_again(how: dict[str, Any], limit: int) -> None:
    """In pieces or at once, objects have the same law."""
    env = HyperGrid(2, 3)
    policy, sampler = scattered(env), Sampler(env, **how)
    generator = seeded(4)
    batch = sampler.forward(policy, 20_000, limit=limit, generator=generator)
    rounds = 0
    while batch.complete is not None and not bool(batch.complete.all()):
        rest = batch.select((~batch.complete).nonzero().squeeze(1))
        assert bool((rest.length == limit * (rounds + 1)).all())
        more = sampler.resume(policy, rest, rest.length, limit=limit, generator=generator)
        assert bool((more.length <= rest.length + limit).all())
        batch = Trajectories.join([batch.whole, more])
        rounds += 1
    assert rounds == -(-env.horizon // limit) - 1
    graph = policy.graph
    found = torch.bincount(graph.rows(batch.whole.final_states), minlength=9).double() / 20_000
    law = graph.terminal_distribution(policy).exp()
    sigma = (law * (1 - law) / 20_000).sqrt()
    assert float(((found - law) / sigma).abs().max()) < 4.5
    torch.testing.assert_close(batch.log_reward, env.log_reward(batch.final_states))


def test_finished_objects_that_are_kept_stay() -> None:
    env = Autoregressive("ab", 3, REWARD)
    policy = scattered(env)
    batch = Sampler(env).forward(policy, 10, generator=seeded())
    same = Sampler(env).resume(policy, batch, batch.length, generator=seeded(1))
    assert torch.equal(same.actions, batch.actions)
    assert torch.equal(same.final_states, batch.final_states)


def test_it_explores_as_told() -> None:
    env = HyperGrid(1, 6)
    policy = scattered(env)
    with torch.no_grad():
        policy.forward_table[:, 0] = -1e4  # it always stops
    batch = Sampler(env).forward(policy, 500, generator=seeded())
    none = torch.zeros(500, dtype=torch.int64)
    how = Exploration(epsilon=1.0)
    far = Sampler(env).resume(policy, batch, none, exploration=how, generator=seeded())
    near = Sampler(env).resume(policy, batch, none, generator=seeded())
    assert bool((near.length == 1).all())
    assert 0.4 < float((far.length == 1).double().mean()) < 0.6


@pytest.mark.parametrize("kind", [Autoregressive, VariableLength])
def test_policies_with_a_memory_go_on_from_anywhere(kind: Any) -> None:
    """Rows at different positions, of a transformer that remembers rollouts from the source."""
    torch.manual_seed(0)
    env = kind("ab", 3, REWARD)
    policy = CausalTransformer(env, 8, 1, 2)
    sampler, generator = Sampler(env), seeded(2)
    batch = sampler.forward(policy, 20_000, generator=generator)
    keep = somewhere(batch, 0).minimum(batch.length - 1)
    found = sampler.resume(policy, batch, keep, generator=generator)
    replayed(env, found)
    graph = enumerate_states(env)
    law = graph.terminal_distribution(policy).exp()
    place = torch.zeros(len(graph), dtype=torch.int64)
    place[graph.objects] = torch.arange(len(law))
    # If all are equally long, what is kept has its own law and so has the whole.
    source = torch.zeros(20_000, dtype=torch.int64)
    again = [sampler.resume(policy, batch, source, generator=generator)]
    if kind is Autoregressive:
        again.append(found)
    for whole in again:
        counts = torch.bincount(place[graph.rows(whole.final_states)], minlength=len(law)).double()
        sigma = (20_000 * law * (1 - law)).sqrt()
        assert float(((counts - 20_000 * law) / sigma).abs().max()) < 4.5
    assert evaluate(env, policy, found).log_pf.shape == found.actions.shape


def test_conditions_are_those_of_the_trajectories() -> None:
    env = HyperGrid(2, 3)
    env.reward, env.condition_dim = _Scaled(), 1
    policy = MLPPolicy(env, width=8, depth=1, generator=seeded())
    condition = torch.arange(12.0)[:, None]
    batch = Sampler(env).forward(policy, 12, condition=condition, generator=seeded())
    found = Sampler(env).resume(policy, batch, somewhere(batch, 1), generator=seeded(1))
    replayed(env, found)
    assert found.owner is not None
    for k, n in enumerate(found.length.tolist()):
        assert bool((found.owner[found.state_index[k, : n + 1]] == k).all())
    assert found.condition is condition


class _Scaled(FunctionReward[Tensor]):
    def __init__(self) -> None:
        super().__init__(lambda s: s.sum(-1).double())

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return states.sum(-1) * condition.squeeze(-1)


def test_what_cannot_be_resumed_is_refused() -> None:
    env = HyperGrid(1, 4)
    policy, sampler = scattered(env), Sampler(env)
    batch = sampler.forward(policy, 5, generator=seeded())
    with pytest.raises(ConfigError, match="a stop cannot be kept"):
        sampler.resume(policy, batch, batch.length)
    with pytest.raises(ConfigError, match="trajectory 0 cannot be resumed after -1"):
        sampler.resume(policy, batch, torch.full((5,), -1))
    with pytest.raises(ShapeError, match=r"\(5,\), got \(3,\)"):
        sampler.resume(policy, batch, torch.zeros(3, dtype=torch.int64))

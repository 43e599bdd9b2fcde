"""Langevin chains as local search: whose turn it is, what is remembered, and that it adds up."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.behaviours.base import Sampling
from gflow.behaviours.langevin import LangevinSearch
from gflow.conditions.draws import TableCondition
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.targets import Gaussian, Target
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.objectives import LogPartitionVariance, TrajectoryBalance
from gflow.sampling.sampler import Sampler
from gflow.training.trainer import TrainConfig, Trainer


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Shifted(Target):
    """N(c, I) for the condition c."""

    dim, condition_dim = 2, 2

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return -(x - condition).square().sum(-1) / 2 - math.log(2 * math.pi)


def search(**settings: Any) -> LangevinSearch:
    return LangevinSearch(**{"period": 4, "steps": 30, "burn_in": 10, "step_size": 0.1, **settings})


def far_world() -> Diffusion:
    return Diffusion(Gaussian([6.0, -6.0], 0.3), Brownian(1.0), 8)


def test_batches_take_turns_and_the_chains_find_what_the_policy_does_not() -> None:
    env = far_world()
    policy = DiffusionPolicy(env, width=8)
    behaviour = search()
    behaviour.check(env, TrajectoryBalance())
    sampling = Sampling(policy, Sampler(env), generator=seeded())
    batches = [behaviour.collect(sampling, 32) for _ in range(8)]
    assert behaviour.seen is not None
    assert behaviour.found is not None
    assert len(behaviour.seen) == 4 * 32
    fresh = torch.cat([b.log_reward for b in batches[::2]])
    found = torch.cat([b.log_reward for b in batches[1::2]])
    assert float(found.mean()) > float(fresh.mean()) + 50
    known = {tuple(row) for row in behaviour.found.objects.x.tolist()}
    for batch in batches[1::2]:
        assert {tuple(row) for row in batch.final_states.x.tolist()} <= known
        torch.testing.assert_close(batch.log_reward, env.log_reward(batch.final_states))
        assert bool((batch.states_at(0).x == 0).all())
        assert evaluate(env, policy, batch).log_pf.shape == (32, 8)
    assert 0.3 < behaviour.metrics["acceptance"] < 0.9
    assert behaviour.metrics["found"] == len(behaviour.found)


def test_searches_come_every_period_and_go_on_with_their_step_size() -> None:
    env = far_world()
    behaviour = search(period=6)
    behaviour.check(env, TrajectoryBalance())
    sampling = Sampling(DiffusionPolicy(env, width=8), Sampler(env), generator=seeded())
    sizes, steps = [], []
    for _ in range(14):
        behaviour.collect(sampling, 16)
        assert behaviour.found is not None
        sizes.append(len(behaviour.found))
        steps.append(behaviour.step_size)
    grew = [k + 1 for k in range(1, 14) if sizes[k] > sizes[k - 1]]
    assert grew == [2, 6, 12]
    assert len(set(steps)) == 4


@pytest.mark.parametrize("beta", [1.0, 25.0])
def test_chains_run_at_their_own_temperature(beta: float) -> None:
    """On N(0, I) they settle at a variance of 1 / beta."""
    env = Diffusion(Gaussian([0.0, 0.0], 1.0), Brownian(1.0), 4)
    behaviour = search(period=2, steps=300, burn_in=200, beta=beta)
    behaviour.check(env, TrajectoryBalance())
    sampling = Sampling(DiffusionPolicy(env, width=8), Sampler(env), generator=seeded())
    for _ in range(2):
        behaviour.collect(sampling, 64)
    assert behaviour.found is not None
    x = behaviour.found.objects.x
    assert len(x) > 1000
    assert float(x.square().mean()) == pytest.approx(1 / beta, rel=0.25)


def test_the_best_of_both_memories_are_drawn_most() -> None:
    """By rank: the mean of what is drawn is well above that of what is remembered."""
    env = Diffusion(Gaussian([0.0, 0.0], 1.0), Brownian(1.0), 4)
    behaviour = search(period=100)
    behaviour.check(env, TrajectoryBalance())
    sampling = Sampling(DiffusionPolicy(env, width=8), Sampler(env), generator=seeded())
    for _ in range(2):
        behaviour.collect(sampling, 400)
    assert behaviour.seen is not None
    assert behaviour.found is not None
    for memory in (behaviour.seen, behaviour.found):
        rows = memory.rows(2000, seeded(1))
        every = memory.log_reward
        assert float(every[rows].mean()) > float(every.mean()) + 0.3 * float(every.std())
        assert len(rows.unique()) > 100
    drawn = behaviour.collect(sampling, 400), behaviour.collect(sampling, 400)
    assert float(drawn[1].log_reward.mean()) > float(behaviour.found.log_reward.mean()) + 0.2


def test_conditions_stay_with_their_objects() -> None:
    """D12: stored points, conditions and log-rewards belong together."""
    env = Diffusion(Shifted(), Brownian(1.0), 5)
    policy = DiffusionPolicy(env, width=8)
    table = torch.tensor([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0]])
    behaviour = search(period=2, steps=80, burn_in=60)
    behaviour.check(env, LogPartitionVariance())
    condition = TableCondition(table, repeat=4)
    sampling = Sampling(policy, Sampler(env), condition=condition, generator=seeded())
    for _ in range(4):
        batch = behaviour.collect(sampling, 24)
    memory = behaviour.found
    assert memory is not None
    states = env.objects(memory.objects.x)
    torch.testing.assert_close(memory.log_reward, env.log_reward(states, memory.condition))
    assert float((memory.objects.x - memory.condition).norm(dim=1).mean()) < 2.5
    torch.testing.assert_close(
        batch.log_reward, env.log_reward(batch.final_states, batch.condition)
    )


def test_conditional_variance_is_the_mean_over_its_groups() -> None:
    """D12: the order of conditions does not matter, groups are compared within."""
    env = Diffusion(Shifted(), Brownian(1.0), 5)
    policy = DiffusionPolicy(env, width=8, generator=seeded())
    table = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    given = table.repeat_interleave(4, 0)
    batch = Sampler(env).forward(policy, 12, condition=given, generator=seeded(1))
    objective = LogPartitionVariance()
    whole = objective(evaluate(env, policy, batch))
    shuffled = batch.select(torch.randperm(12, generator=seeded(2)))
    torch.testing.assert_close(objective(evaluate(env, policy, shuffled)), whole)
    parts = [batch.select(torch.arange(4 * k, 4 * k + 4)) for k in range(3)]
    each = torch.stack([objective(evaluate(env, policy, part)) for part in parts])
    torch.testing.assert_close(each.mean(), whole)


def test_a_stopped_search_goes_on_to_the_same_numbers() -> None:
    def trainer() -> Trainer:
        torch.manual_seed(0)
        env = far_world()
        config = TrainConfig(batch_size=16, noise=0.2, noise_steps=20)
        policy = DiffusionPolicy(env, width=8)
        return Trainer(env, policy, TrajectoryBalance(), config, behaviour=search())

    whole = trainer()
    for _ in range(7):
        whole.train_step()
    state = copy.deepcopy(whole.state_dict())
    expected = [whole.train_step() for _ in range(5)]
    again = trainer()
    again.load_state_dict(state)
    assert [again.train_step() for _ in range(5)] == expected


def test_what_has_no_gradient_is_refused() -> None:
    env = HyperGrid(2, 4)
    with pytest.raises(IncompatibleError, match="follow the gradient of a density"):
        search().check(env, TrajectoryBalance())
    with pytest.raises(ConfigError, match=r"burn_in must lie in \[0, 30\)"):
        search(burn_in=30)
    with pytest.raises(ConfigError, match="step_size must be positive"):
        search(step_size=0.0)

"""Batches that come back to the front."""

import pytest
import torch

from gflow import MLPPolicy, Sampler
from gflow.behaviours.base import Sampling
from gflow.behaviours.front import FrontReplay
from gflow.conditions.preferences import DirichletPreferences
from gflow.envs.grids.landscapes import landscape_grid
from gflow.errors import ConfigError
from gflow.memory.pareto import ParetoArchive, non_dominated
from gflow.objectives import TrajectoryBalance
from gflow.rewards.scalarizations import Preferences
from gflow.training.trainer import TrainConfig, Trainer


def test_a_share_of_the_batch_ends_in_the_archive() -> None:
    env = landscape_grid(side=8, scalarization=Preferences(2.0))
    archive = ParetoArchive(env)
    behaviour = FrontReplay(archive, share=0.25)
    policy = MLPPolicy(env, 8, 1, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(
        policy, Sampler(env), condition=DirichletPreferences(2), generator=generator
    )
    first = behaviour.collect(sampling, 16)
    assert first.scores is not None
    best = first.final_states[non_dominated(first.scores)]
    assert torch.equal(archive.states.unique(dim=0), best.unique(dim=0))
    known = {tuple(row) for row in archive.states.tolist()}
    second = behaviour.collect(sampling, 16)
    assert len(second) == 16
    known |= {tuple(row) for row in archive.states.tolist()}
    assert all(tuple(row) in known for row in second.final_states[12:].tolist())
    torch.testing.assert_close(second.scores, env.scores(second.final_states))
    torch.testing.assert_close(
        second.log_reward, env.target_log_reward(second.final_states, second.condition)
    )
    assert second.condition is not None
    assert len(second.condition.unique(dim=0)) == 16
    other = FrontReplay(ParetoArchive(env), share=0.25)
    other.load_state_dict(behaviour.state_dict())
    assert torch.equal(other.archive.scores, archive.scores)


def test_it_trains_and_refuses_nonsense() -> None:
    env = landscape_grid(side=8)
    behaviour = FrontReplay(ParetoArchive(env, capacity=5))
    policy = MLPPolicy(env, 16, 1)
    config = TrainConfig(steps=3, batch_size=20)
    record = Trainer(env, policy, TrajectoryBalance(), config, behaviour=behaviour).train()
    assert record["loss"] > 0
    assert 0 < len(behaviour.archive) <= 5
    with pytest.raises(ConfigError, match="share must lie"):
        FrontReplay(behaviour.archive, share=1.0)

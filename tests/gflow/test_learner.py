"""What learners remember."""

import pytest
import torch

from gflow import MLPPolicy, Sampler
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError
from gflow.learner import BatchMemory

ENV = HyperGrid(2, 4, Corners(4, 0.1))


def remembered(count: int, capacity: int = 5) -> BatchMemory:
    memory, policy = BatchMemory(ENV, capacity), MLPPolicy(ENV, 8)
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        memory.add(Sampler(ENV).forward(policy, 3, generator=generator))
    return memory


def test_batches_come_where_they_are_wanted_and_stay_there() -> None:
    memory, generator = remembered(1), torch.Generator()
    kept = memory.draw(generator)
    assert memory.draw(generator, "cpu") is kept
    moved = memory.draw(generator, "meta")
    assert moved.length.device.type == moved.states.device.type == "meta"
    assert memory.draw(generator, "meta") is moved


def test_the_oldest_are_forgotten_and_nothing_cannot_be_drawn() -> None:
    memory = remembered(7)
    assert len(memory) == 5
    again = BatchMemory(ENV, 5)
    with pytest.raises(ConfigError, match="nothing was added"):
        again.draw(torch.Generator())
    again.load_state_dict(memory.state_dict())
    for one, other in zip(memory.batches, again.batches, strict=True):
        assert torch.equal(one.actions, other.actions)
        assert torch.equal(one.states, other.states)

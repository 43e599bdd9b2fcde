"""What learners remember."""

from typing import Any

import pytest
import torch

from gflow import MLPPolicy, Sampler, Trainer
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError
from gflow.learner import BatchMemory, Learner
from gflow.objectives import TrajectoryBalance
from gflow.rewards.base import FunctionReward

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


class Rising(FunctionReward[Any]):
    """log R = level times the sum of the coordinates."""

    def __init__(self) -> None:
        super().__init__(lambda states: self.level * states.sum(-1))
        self.level, self.calls = 1.0, 0

    def __call__(self, states: Any, condition: torch.Tensor | None = None) -> torch.Tensor:
        self.calls += 1
        return super().__call__(states, condition)


def test_what_an_older_reward_scored_is_scored_anew_once_and_only_where_asked() -> None:
    reward = Rising()
    env = HyperGrid(2, 4, reward)
    memory, generator = BatchMemory(env, 5), torch.Generator()
    batch = Sampler(env).forward(MLPPolicy(env, 8), 6, generator=torch.Generator().manual_seed(0))
    memory.add(batch)
    reward.level, reward.version = 3.0, reward.version + 1
    calls = reward.calls
    assert torch.equal(memory.draw(generator, scored=False).log_reward, batch.log_reward)
    assert reward.calls == calls
    again = BatchMemory(env, 5)
    again.load_state_dict(memory.state_dict())
    for each in (memory, again):
        calls = reward.calls
        for _ in range(2):
            drawn = each.draw(generator)
            torch.testing.assert_close(drawn.log_reward, 3 * batch.log_reward)
            assert torch.equal(drawn.actions, batch.actions)
        assert reward.calls == calls + 1


class Lifting(Learner):
    """Raises the level of the reward, and remembers what rewards it was shown."""

    def __init__(self, reward: Rising) -> None:
        self.module, self.reward = torch.nn.Linear(1, 1), reward
        self.optimizer = torch.optim.SGD(self.module.parameters(), 0.1)
        self.seen: list[torch.Tensor] = []

    def learn(self, env: Any, policy: Any, batch: Any, generator: Any) -> dict[str, torch.Tensor]:
        self.seen.append(batch.log_reward / batch.final_states.sum(-1).clamp(min=1))
        self.reward.level, self.reward.version = self.reward.level + 1, self.reward.version + 1
        return {}


def test_a_learner_sees_what_the_one_before_it_changed() -> None:
    reward = Rising()
    env = HyperGrid(2, 4, reward)
    first, second = Lifting(reward), Lifting(reward)
    Trainer(env, MLPPolicy(env, 8), TrajectoryBalance(), learners=[first, second]).train(2)
    assert [float(one.seen[0].max()) for one in (first, second)] == [1.0, 2.0]
    assert [float(one.seen[1].max()) for one in (first, second)] == [3.0, 4.0]

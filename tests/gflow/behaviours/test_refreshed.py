"""A memory filled at first and refreshed at intervals: what enters it when, and what is drawn."""

from typing import Any

import pytest
import torch

from gflow import MLPPolicy, Sampler
from gflow.behaviours.base import Sampling
from gflow.behaviours.refreshed import Refreshed
from gflow.behaviours.replay import memory_of
from gflow.envs.torus.env import Torus
from gflow.envs.torus.policy import TorusPolicy
from gflow.envs.torus.targets import ramachandran
from gflow.errors import ConfigError, IncompatibleError
from gflow.memory.replay import ReplayBuffer
from gflow.objectives import TrajectoryBalance
from gflow.sampling.exploration import Exploration
from gflow.tasks.options import RunConfig
from gflow.tasks.registry import task_class
from gflow.testing.slipping import SlippingGrid
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.trainer import TrainConfig, Trainer

ICE = SlippingGrid(2, 3, slip=0.2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sampling_with(seed: int = 1, **options: Any) -> Sampling:
    policy = MLPPolicy(ICE, 8, generator=seeded())
    return Sampling(policy, Sampler(ICE), generator=seeded(seed), **options)


def trainer(**settings: Any) -> Trainer:
    policy = MLPPolicy(ICE, 16, backward="uniform", generator=seeded())
    config = TrainConfig(batch_size=16, temperature=2.0, **settings)
    behaviour = Refreshed(40, 20, 3, 50)
    return Trainer(ICE, policy, TrajectoryBalance(), config, behaviour=behaviour)


def test_it_is_filled_before_the_first_batch_and_refreshed_every_third() -> None:
    behaviour = Refreshed(initial=40, added=20, every=3, capacity=70)
    calls: list[tuple[int, int]] = []
    sampling = sampling_with()
    fresh = sampling.sampler.forward

    def spy(policy: Any, count: int, **options: Any) -> Any:
        calls.append((behaviour.batches, count))
        return fresh(policy, count, **options)

    sampling.sampler.forward = spy  # type: ignore[method-assign]
    sizes = []
    for _ in range(8):
        assert len(behaviour.collect(sampling, 16)) == 16
        sizes.append(behaviour.metrics["remembered"])
    assert calls == [(0, 16), (0, 16), (0, 8), (3, 16), (3, 4), (6, 16), (6, 4)]
    assert sizes == [40, 40, 40, 60, 60, 60, 70, 70]


def test_without_additions_what_was_sampled_first_is_all_there_is() -> None:
    behaviour = Refreshed(initial=24, added=0, every=2, capacity=24)
    sampling = sampling_with()
    for _ in range(6):
        behaviour.collect(sampling, 8)
    assert behaviour.metrics == {"remembered": 24.0}


def test_batches_repeat_what_is_remembered_with_the_moves_of_chance() -> None:
    """Uniformly: 4,000 draws from 20 trajectories, each within five standard deviations of 200."""
    behaviour = Refreshed(initial=20, added=20, every=1000, capacity=20)
    sampling = sampling_with(exploration=Exploration(epsilon=1.0))
    batch = behaviour.collect(sampling, 4000)
    buffer = behaviour.buffer
    assert buffer is not None
    known = [tuple(row) for row in buffer.actions.tolist()]
    pad = ICE.horizon - batch.actions.shape[1]
    drawn = torch.nn.functional.pad(batch.actions, (0, pad)).tolist()
    for path in set(known):
        wanted = 4000 * known.count(path) / 20
        assert abs(sum(tuple(row) == path for row in drawn) - wanted) < 5 * wanted**0.5
    assert {tuple(row) for row in drawn} <= set(known), "slips included: none is drawn anew"
    torch.testing.assert_close(batch.log_reward, ICE.log_reward(batch.final_states))


def test_it_samples_as_the_trainer_explores_and_with_the_policy_as_it_is() -> None:
    one = trainer()
    before = [p.clone() for p in one.policy.parameters()]
    one.train(3)
    buffer = memory_of(one.behaviour)
    assert isinstance(buffer, ReplayBuffer)
    first = buffer.actions.clone()
    assert any(bool((a != b).any()) for a, b in zip(before, one.policy.parameters(), strict=True))
    sampler, explored = Sampler(ICE), Exploration(temperature=2.0)
    again = MLPPolicy(ICE, 16, backward="uniform", generator=seeded())
    generator, rows = seeded(), []
    for size in (16, 16, 8):
        batch = sampler.forward(again, size, exploration=explored, generator=generator)
        rows.append(torch.nn.functional.pad(batch.actions, (0, 9 - batch.actions.shape[1])))
    assert torch.equal(first, torch.cat(rows)), "the untrained policy, tempered"
    one.train(1)
    assert len(buffer) == 50
    assert torch.equal(buffer.actions[10:40], first[10:]), "the oldest ten are gone"


def test_training_resumes_to_the_same_numbers(tmp_path: Any) -> None:
    whole = trainer()
    wanted = [whole.train_step()["loss"] for _ in range(11)]
    first = trainer()
    first.train(5)
    save_checkpoint(tmp_path / "c.pt", first.state_dict(), {})
    other = trainer()
    other.load_state_dict(load_checkpoint(tmp_path / "c.pt"))
    assert [other.train_step()["loss"] for _ in range(6)] == wanted[5:]
    assert len(set(wanted)) == len(wanted)


def test_it_is_a_behaviour_of_the_command_line() -> None:
    flags = {"behaviour": "refreshed", "initial": 64, "refreshed_every": 7, "capacity": 100}
    config = RunConfig.from_flags(task_class("hypergrid"), {**flags, "added": 10}, "help")
    made = config.behaviour.build()
    assert isinstance(made, Refreshed)
    assert (made.initial, made.added, made.every, made.capacity) == (64, 10, 7, 100)


def test_moves_with_densities_are_drawn_backward() -> None:
    env = Torus(ramachandran(), 3)
    objective = TrajectoryBalance()
    with pytest.raises(IncompatibleError, match="have densities.*rebuild='backward'"):
        Refreshed().check(env, objective)
    behaviour = Refreshed(12, 6, 2, 20, "backward")
    trainer = Trainer(
        env, TorusPolicy(env, 8, 1), objective, TrainConfig(batch_size=6), behaviour=behaviour
    )
    trainer.train(4)
    assert behaviour.metrics == {"remembered": 18.0}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="30 trajectories at once do not fit into a memory of 20"):
        Refreshed(initial=20, added=30, capacity=20)
    with pytest.raises(ConfigError, match="a memory of its own, of 50 .*Leave replay at 0"):
        trainer(replay=100)

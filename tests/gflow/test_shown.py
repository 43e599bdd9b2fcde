"""What things say of themselves."""

import pytest
import torch

import gflow
from gflow.behaviours import Replay
from gflow.behaviours.base import OnPolicy
from gflow.conditions.draws import UniformCondition
from gflow.envs import Autoregressive, FixedSizeSets, HyperGrid
from gflow.envs.sets.sets import AdditiveEnergy
from gflow.memory.best import BestObjects
from gflow.memory.replay import ReplayBuffer
from gflow.objectives import SubTrajectoryBalance
from gflow.rewards import FunctionReward
from gflow.tasks.registry import TASKS
from gflow.training import TrainConfig, Trainer


def test_what_things_are_is_said_in_a_line() -> None:
    env = HyperGrid(2, 4)
    assert repr(env) == "HyperGrid(side=4, reward=Corners(side=4))"
    assert repr(SubTrajectoryBalance(lam=0.8)) == "SubTrajectoryBalance(lam=0.8)"
    assert repr(SubTrajectoryBalance()) == "SubTrajectoryBalance()"
    assert repr(gflow.Sampler(env)) == f"Sampler(env={env!r})"
    assert repr(UniformCondition(1.0, 4.0)) == "UniformCondition(low=1, high=4)"
    assert repr(OnPolicy()) == "OnPolicy()"
    sets = FixedSizeSets(5, 3, AdditiveEnergy(torch.zeros(5)))
    assert repr(sets).startswith("FixedSizeSets(")
    assert "tensor" not in repr(sets)
    policy = gflow.MLPPolicy(env, 16)
    count = sum(p.numel() for p in policy.parameters())
    assert f"MLPPolicy(\n  {count:,} parameters, backward='learned'" in repr(policy)


def test_memories_say_how_much_they_hold() -> None:
    env = HyperGrid(2, 3)
    buffer, best = ReplayBuffer(env, 10, "best"), BestObjects(env, 7)
    batch = gflow.Sampler(env).forward(
        gflow.MLPPolicy(env, 8), 6, generator=torch.Generator().manual_seed(0)
    )
    buffer.add(batch)
    assert repr(buffer).startswith("ReplayBuffer(6 held, env=HyperGrid(side=3")
    assert "capacity=10, keep='best'" in repr(buffer)
    assert repr(best) == f"BestObjects(0 held, env={env!r}, capacity=7)"
    assert "Replay(" in repr(Replay(OnPolicy(), buffer, 0.5))
    shortest, longest = int(batch.length.min()), int(batch.length.max())
    assert repr(batch).startswith(f"Trajectories(6 of {shortest} to {longest} moves, ")
    graph = gflow.enumerate_states(env)
    assert repr(graph) == f"StateGraph({env!r}, 9 states, 12 moves, 9 objects)"


def test_trainers_and_samplers_say_how_far_they_are() -> None:
    env = HyperGrid(2, 3)
    policy = gflow.MLPPolicy(env, 8, log_flow=True)
    trainer = Trainer(env, policy, SubTrajectoryBalance(), TrainConfig(steps=9, batch_size=4))
    trainer.train(2)
    count = sum(p.numel() for p in policy.parameters())
    assert repr(trainer) == (
        f"Trainer({env!r}, MLPPolicy ({count:,} parameters), SubTrajectoryBalance(), OnPolicy(), "
        f"step 2 of 9)"
    )
    trainer.stop("enough")
    assert repr(trainer).endswith("step 2 of 9, stopped: enough)")
    trained = gflow.fit(env, "tb", steps=1, width=8)
    assert repr(trained).startswith(f"Trained({env!r}, MLPPolicy (")


def test_ones_own_environment_is_shown_too() -> None:
    class Mine(HyperGrid):
        def __init__(self, size: int, note: object) -> None:
            super().__init__(2, size, FunctionReward(len))
            self.size, self.note = size, note

    assert repr(Mine(5, object())) == "Mine(size=5)"
    assert repr(Mine(5, ("a", 2))) == "Mine(size=5, note=('a', 2))"
    assert repr(Autoregressive.__new__(Autoregressive)) == "Autoregressive()", "half made"


@pytest.mark.parametrize("name", ["sets", "spins", "bags", "bits", "tictactoe", "box", "torus"])
def test_environments_of_tasks_fit_a_line(name: str) -> None:
    cls = TASKS[name]
    text = repr(cls.cheap())
    assert "\n" not in text
    assert " object at " not in text
    assert len(text) < 300

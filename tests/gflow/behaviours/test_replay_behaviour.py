"""Replay as a behaviour: what it mixes, remembers and saves, alone and with others around it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch

from gflow import MLPPolicy, Sampler
from gflow.behaviours.augmentation import BackwardAugmentation
from gflow.behaviours.base import Behaviour, Incomplete, OnPolicy, Sampling
from gflow.behaviours.front import FrontReplay
from gflow.behaviours.hindsight import Hindsight
from gflow.behaviours.local_search import LocalSearch
from gflow.behaviours.replay import Replay, memory_of, with_memory
from gflow.conditions.preferences import UniformDirections
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError
from gflow.memory.pareto import ParetoArchive
from gflow.memory.replay import ReplayBuffer
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.rewards.scalarizations import Goals
from gflow.training.checkpoint import load_checkpoint, save_checkpoint
from gflow.training.trainer import TrainConfig, Trainer

ENV = HyperGrid(2, 4, Corners(4, 0.05))


def goals() -> HyperGrid:
    return landscape_grid(("branin", "currin"), side=4, scalarization=Goals(0.9))


def trainer_of(env: HyperGrid, behaviour: Behaviour | None, **settings: Any) -> Trainer:
    policy = MLPPolicy(env, 16, log_flow=True, generator=torch.Generator().manual_seed(0))
    config = TrainConfig(**{"batch_size": 8, "epsilon": 0.1, **settings})
    draw = UniformDirections(env.num_scores) if env.condition_dim else None
    return Trainer(env, policy, DetailedBalance(), config, condition=draw, behaviour=behaviour)


def losses(trainer: Trainer, steps: int) -> list[float]:
    return [trainer.train_step()["loss"] for _ in range(steps)]


def test_settings_build_the_behaviour_that_one_would_build() -> None:
    """The same numbers from `TrainConfig(replay=...)` and from `Replay(...)` by hand."""
    by_flags = trainer_of(ENV, LocalSearch(1), replay=30, replay_keep="best", replay_fraction=0.25)
    buffer = ReplayBuffer(ENV, 30, "best")
    by_hand = trainer_of(ENV, Replay(LocalSearch(1), buffer, 0.25))
    assert losses(by_flags, 8) == losses(by_hand, 8)
    assert by_hand.replay is buffer
    assert by_flags.replay is not None
    assert by_flags.replay.log_reward.tolist() == buffer.log_reward.tolist()


def test_a_memory_is_found_wherever_it_is() -> None:
    buffer = ReplayBuffer(ENV, 30, rebuild="backward")
    found = BackwardAugmentation(Hindsight(0.3, Replay(None, buffer)), buffer)
    assert memory_of(found) is buffer
    assert memory_of(OnPolicy()) is None
    assert memory_of(Hindsight()) is None
    assert with_memory(ENV, inner := OnPolicy(), TrainConfig()) is inner


def test_its_batches() -> None:
    """All new until the memory holds a batch, then a share of old ones that are not added again."""
    buffer = ReplayBuffer(ENV, 100)
    behaviour = Replay(Incomplete(0.5), buffer, 0.25)
    policy = MLPPolicy(ENV, 8, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(policy, Sampler(ENV), generator=torch.Generator().manual_seed(1))
    sizes, seen = [], []
    for _ in range(5):
        batch = behaviour.collect(sampling, 16)
        assert len(batch) == 16
        sizes.append(len(buffer))
        assert batch.complete is not None
        seen.append(int((~batch.complete).sum()))
    assert sizes[0] <= 16, "what was cut is not remembered"
    assert all(b - a <= 12 for a, b in pairwise(sizes))
    assert seen[0] > 0


def around(env: HyperGrid, name: str) -> Behaviour:
    buffer = ReplayBuffer(env, 40, rebuild="backward")
    made: dict[str, Callable[[], Behaviour]] = {
        "search": lambda: Replay(LocalSearch(1, "random", "metropolis"), buffer),
        "hindsight inside": lambda: Replay(Hindsight(0.5), buffer),
        "hindsight outside": lambda: Hindsight(0.5, Replay(None, buffer)),
        "front outside": lambda: FrontReplay(ParetoArchive(env, 20), 0.25, Replay(None, buffer)),
        "front inside": lambda: Replay(FrontReplay(ParetoArchive(env, 20), 0.25), buffer),
        "augmented": lambda: BackwardAugmentation(Replay(None, buffer), buffer, 3, 2),
    }
    return made[name]()


@pytest.mark.parametrize(
    "name",
    ["search", "hindsight inside", "hindsight outside", "front outside", "front inside"],
)
def test_it_goes_with_others_and_resumes_to_the_same_numbers(name: str, tmp_path: Any) -> None:
    env = goals()
    whole = trainer_of(env, around(env, name))
    wanted = losses(whole, 10)
    first = trainer_of(env, around(env, name))
    first.train(6)
    assert first.replay is not None
    assert len(first.replay) > 8
    save_checkpoint(tmp_path / "c.pt", first.state_dict(), {})
    other = trainer_of(env, around(env, name))
    other.load_state_dict(load_checkpoint(tmp_path / "c.pt"))
    assert losses(other, 4) == wanted[6:]
    batch = other.sample()
    torch.testing.assert_close(
        batch.log_reward, env.log_reward(batch.final_states, batch.condition)
    )


def test_augmentation_takes_further_steps_and_its_loss_is_in_the_record() -> None:
    plain, more = trainer_of(ENV, OnPolicy()), trainer_of(ENV, around(ENV, "augmented"))
    for trainer, steps in ((plain, 1), (more, 3)):
        calls: list[int] = []
        step = trainer.optimizer.step

        def spy(*args: Any, calls: list[int] = calls, step: Any = step, **kwargs: Any) -> Any:
            calls.append(1)
            return step(*args, **kwargs)

        trainer.optimizer.step = spy  # type: ignore[method-assign]
        record = trainer.train(1)
        assert len(calls) == steps
        assert ("augmented_loss" in record) == (steps > 1)


def test_what_is_too_small_is_refused_with_the_inner_one_asked_for_its_share() -> None:
    with pytest.raises(ConfigError, match="batches of at least 8 trajectories, got 6"):
        trainer_of(ENV, Replay(LocalSearch(7), ReplayBuffer(ENV, 30), 0.25))
    with pytest.raises(ConfigError, match="remembers too little"):
        trainer_of(ENV, Replay(None, ReplayBuffer(ENV, 3), 0.25))
    with pytest.raises(ConfigError, match=r"Replay: share must lie in \[0, 1\], got 1.5"):
        Replay(None, ReplayBuffer(ENV, 3), 1.5)
    policy = MLPPolicy(ENV, 8)
    replay = Replay(None, ReplayBuffer(ENV, 30), 1.0)
    trainer = Trainer(ENV, policy, TrajectoryBalance(), TrainConfig(batch_size=8), behaviour=replay)
    trainer.train(3)
    assert len(replay.buffer) == 8, "once it is filled all comes from memory"

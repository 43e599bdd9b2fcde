"""Trainers with an M-step: what they reach, and that killed runs go on to the same numbers."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy, TrainConfig, Trainer
from gflow.behaviours.base import OnPolicy
from gflow.behaviours.local_search import LocalSearch
from gflow.em import (
    BackAndForth,
    DataEncoder,
    Dreams,
    Every,
    JointReward,
    LatentModel,
    ListedLatents,
    MStep,
    Sleep,
    Threshold,
)
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import IncompatibleError
from gflow.objectives import LogPartitionVariance, MaximumLikelihood, TrajectoryBalance
from gflow.source import Source

if TYPE_CHECKING:
    from tests.gflow.em.conftest import Tables

Build = Callable[..., Trainer]


class OneHot(torch.nn.Module):
    """Words as one of four."""

    out_features = 4

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(x[:, 0], 4).double()


@pytest.fixture
def trainer(env: AnyOrder, reward: JointReward) -> Build:
    def build(
        objective: Any = None, learners: tuple[Any, ...] = (), behaviour: Any = None, **config: Any
    ) -> Trainer:
        torch.manual_seed(0)
        policy = MLPPolicy(env, 16, condition_encoder=DataEncoder(reward.data, OneHot()))
        if objective is None:
            objective = TrajectoryBalance(
                condition_dim=1, condition_encoder=DataEncoder(reward.data, OneHot())
            )
        settings = TrainConfig(**{"batch_size": 32, "lr": 1e-2, "log_z_lr": 1e-2, **config})
        return Trainer(
            env,
            policy,
            objective,
            settings,
            condition=reward.data.sampler(),
            behaviour=behaviour,
            learners=learners,
        )

    return build


def adam(reward: JointReward, lr: float = 1e-2) -> torch.optim.Optimizer:
    return torch.optim.Adam(reward.model.parameters(), lr)


def likelihood(env: AnyOrder, reward: JointReward) -> float:
    return float(ListedLatents(env, reward).log_likelihood().mean())


def best(words: Tensor) -> float:
    share = torch.bincount(words[:, 0]) / len(words)
    return float((share * share.log()).sum())


def gap(env: AnyOrder, reward: JointReward, trainer: Trainer) -> float:
    """Mean total variation between q(z | x) and the posterior."""
    latents = ListedLatents(env, reward)
    q, p = latents.log_learned(trainer.policy).exp(), latents.log_posterior().exp()
    return float((q - p).abs().sum(1).mean()) / 2


@pytest.mark.slow
def test_em_by_trajectory_balance_fits_the_data_and_knows_the_posterior(
    env: AnyOrder, reward: JointReward, words: Tensor, trainer: Build
) -> None:
    before = likelihood(env, reward)
    assert before < best(words) - 0.2
    run = trainer(learners=(MStep(reward, adam(reward), Threshold(1.0, 0.05, 150)),))
    run.train(500)
    assert best(words) - 0.03 < likelihood(env, reward) <= best(words)
    assert gap(env, reward, run) < 0.1
    assert reward.version > 100


@pytest.mark.slow
def test_wake_sleep_fits_too(
    env: AnyOrder, reward: JointReward, words: Tensor, trainer: Build
) -> None:
    step = MStep(reward, adam(reward), rows=reward.data.sampler())
    run = trainer(MaximumLikelihood(), (step,), Dreams(reward))
    run.train(450)
    assert best(words) - 0.06 < likelihood(env, reward) <= best(words)
    assert gap(env, reward, run) < 0.15


def test_the_model_waits_while_the_loss_is_above_the_threshold(
    env: AnyOrder, reward: JointReward, trainer: Build
) -> None:
    step = MStep(reward, adam(reward), Threshold(1e-9, 0.0, 10))
    run = trainer(learners=(step,))
    run.train(5)
    assert step.steps == reward.version == 0
    assert step.pace.smoothed is not None  # type: ignore[attr-defined]
    eager = MStep(reward, adam(reward), Threshold(1e9, 1e9, 10))
    trainer(learners=(eager,)).train(5)
    assert eager.steps == reward.version == 4  # all but before the first loss


def test_memories_score_latents_by_the_model_as_it_is(
    env: AnyOrder, reward: JointReward, model: "Tables", trainer: Build
) -> None:
    run = trainer(learners=(MStep(reward, adam(reward, 0.3)),), replay=64, replay_fraction=0.5)
    run.train(6)
    assert run.replay is not None
    assert reward.version == 5
    old = run.replay.sample(run.sampler, 40, run.generator, "cpu", run.policy)
    x = reward.data.rows(old.condition)
    torch.testing.assert_close(old.log_reward, model.log_prob(x, old.final_states).detach())
    first = JointReward(type(model)(), reward.data)(old.final_states, old.condition)
    assert float((old.log_reward - first).abs().mean()) > 0.1  # the model has moved


def test_dreams_follow_batches_with_their_own_objective(
    env: AnyOrder, reward: JointReward, trainer: Build
) -> None:
    seen: list[float] = []

    class Watched(MaximumLikelihood):
        def forward(self, terms: Any) -> Tensor:
            assert terms.condition is not None
            seen.extend(terms.condition[:, 0].tolist())
            return super().forward(terms)

    sleep = Sleep(reward, Watched(), share=0.5, count=6)
    run = trainer(behaviour=sleep)
    run.train(60)
    assert len(seen) % 6 == 0
    assert 18 < len(seen) // 6 < 42
    assert min(seen) >= 7  # no row of the data among them


@pytest.mark.slow
def test_a_resumed_run_has_the_numbers_of_one_that_was_not_killed(
    env: AnyOrder, reward: JointReward, model: "Tables", trainer: Build
) -> None:
    first = {name: p.clone() for name, p in model.state_dict().items()}

    def new() -> Trainer:
        model.load_state_dict(first)
        reward.version = 0
        step = MStep(
            reward,
            adam(reward),
            Threshold(8.0, 0.5, 20),
            rows=reward.data.sampler(),
            mixing=BackAndForth(2, temperature=1.1),
        )
        behaviour = Sleep(reward, MaximumLikelihood(), share=0.5, count=4)
        return trainer(learners=(step,), behaviour=behaviour, replay=64)

    run = new()
    run.train(15)
    file = io.BytesIO()
    torch.save(run.state_dict(), file)
    middle = reward.version
    expected = [run.train_step() for _ in range(15)]
    fitted = {name: p.clone() for name, p in model.state_dict().items()}
    last = reward.version
    assert 0 < middle < last
    again = new()
    file.seek(0)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert reward.version == middle
    assert [again.train_step() for _ in range(15)] == expected
    assert reward.version == last
    assert all(torch.equal(p, fitted[name]) for name, p in model.state_dict().items())


def test_what_does_not_go_together_is_refused(
    env: AnyOrder, reward: JointReward, trainer: Build
) -> None:
    with pytest.raises(IncompatibleError, match="learns from trajectories"):
        trainer(MaximumLikelihood(), behaviour=OnPolicy())
    with pytest.raises(IncompatibleError, match="learns from its own policy"):
        trainer(behaviour=Sleep(reward, OnlyOwn()))
    inner = Sleep(reward, MaximumLikelihood())
    with pytest.raises(IncompatibleError, match="all further batches share one"):
        trainer(behaviour=Sleep(reward, MaximumLikelihood(), inner=inner))
    run = trainer(LogPartitionVariance(), behaviour=LocalSearch(1))
    assert len(run.sample()) == 32


class OnlyOwn(LogPartitionVariance):
    """Learns from nothing but its policy's own trajectories."""

    learns_from = Source.OWN


def test_models_without_samples_do_not_sleep(env: AnyOrder, words: Tensor, trainer: Build) -> None:
    class Mute(LatentModel):
        def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
            return z.sum(-1).double()

    with pytest.raises(IncompatibleError, match="defines no `sample"):
        trainer(behaviour=Sleep(JointReward(Mute(), words), MaximumLikelihood()))

    class Wild(Mute):
        def sample(self, count: int, generator: Any = None) -> tuple[Tensor, Tensor]:
            return torch.zeros(count, 1, dtype=torch.int64), torch.full((count, 2), 3)

    wild = trainer(behaviour=Sleep(JointReward(Wild(), words), MaximumLikelihood()))
    with pytest.raises(IncompatibleError, match="no finished object"):
        wild.train(1)


def test_every_is_the_default_pace(env: AnyOrder, reward: JointReward, trainer: Build) -> None:
    step = MStep(reward, adam(reward))
    assert isinstance(step.pace, Every)
    trainer(learners=(step,)).train(4)
    assert step.steps == 3

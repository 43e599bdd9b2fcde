"""What trainers tell learners, and further batches that have an objective of their own."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import Environment, MLPPolicy, Objective, Policy, TrainConfig, Trainer, Trajectories
from gflow.behaviours.augmentation import BackwardAugmentation
from gflow.behaviours.base import Around, Sampling
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import IncompatibleError
from gflow.learner import Learner
from gflow.memory.replay import ReplayBuffer
from gflow.objectives import DetailedBalance, MaximumLikelihood, TrajectoryBalance

ENV = HyperGrid(2, 3)


class Watcher(Learner):
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.module = nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.module.parameters(), 0.1)
        self.seen: list[float] = []

    def learn(
        self,
        env: Environment[Any],
        policy: Policy,
        batch: Trajectories[Any],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        self.seen.append(-1.0)
        return {}

    def observe(self, loss: Tensor) -> None:
        assert not loss.requires_grad
        self.seen.append(float(loss))


class Again(Around):
    """One further batch a step, by maximum likelihood."""

    name = "again"

    def __init__(self, objective: Objective | None) -> None:
        super().__init__()
        self.objective, self.losses = objective, 0

    @property
    def further_objective(self) -> Objective | None:
        return self.objective

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        return self.inner.collect(sampling, count)

    def further(self, sampling: Sampling) -> Iterator[Trajectories[Any]]:
        self.losses += 1
        yield sampling.fresh(4)


def test_learners_see_the_loss_of_each_batch_after_its_step() -> None:
    watcher = Watcher()
    trainer = Trainer(
        ENV, MLPPolicy(ENV, 8), TrajectoryBalance(), TrainConfig(batch_size=4), learners=[watcher]
    )
    losses = [trainer.train_step()["loss"] for _ in range(3)]
    assert watcher.seen == [x for loss in losses for x in (-1.0, pytest.approx(loss))]


def test_further_batches_are_trained_by_their_own_objective() -> None:
    config = TrainConfig(batch_size=4)

    def loss(objective: Objective | None) -> float:
        torch.manual_seed(0)
        behaviour = Again(objective)
        trainer = Trainer(ENV, MLPPolicy(ENV, 8), TrajectoryBalance(), config, behaviour=behaviour)
        record = trainer.train_step()
        terms = trainer.objective.evaluate(ENV, trainer.policy, trainer.sample())
        assert terms.log_pf.requires_grad
        return record["augmented_loss"]

    assert 0 < loss(MaximumLikelihood()) < 6  # minus log-likelihoods of nine objects
    assert loss(None) != pytest.approx(loss(MaximumLikelihood()))


def test_an_objective_of_their_own_must_fit_and_does_not_go_with_augmentation() -> None:
    with pytest.raises(IncompatibleError, match="no\\s+such head"):
        Trainer(ENV, MLPPolicy(ENV, 8), TrajectoryBalance(), behaviour=Again(DetailedBalance()))
    buffer = ReplayBuffer(ENV, 50, rebuild="backward")
    behaviour = BackwardAugmentation(Again(MaximumLikelihood()), buffer)
    with pytest.raises(IncompatibleError, match="an objective of their own"):
        Trainer(ENV, MLPPolicy(ENV, 8), TrajectoryBalance(), behaviour=behaviour)

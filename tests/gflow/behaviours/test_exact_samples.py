"""Exact samples as a behaviour."""

import pytest
import torch
from torch import Tensor

from gflow import enumerate_states
from gflow.behaviours.exact_samples import ExactSamples, draws_of
from gflow.envs.diffusion.env import Diffusion, DiffusionState
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.targets.base import Target
from gflow.envs.targets.mixture import GaussianMixture
from gflow.errors import ConfigError, IncompatibleError
from gflow.objectives import AdjointSampling, TrajectoryBalance
from gflow.training.trainer import TrainConfig, Trainer

SMALL = TrainConfig(steps=3, batch_size=8)
GRID = HyperGrid(2, 4, Corners(4, 0.05))
MIXTURE = GaussianMixture(torch.tensor([[-1.0, 0.5], [2.0, 0.0], [0.0, -1.5]]), 0.4)


class Tilted(Target):
    """A linear log-density, which nobody can sample."""

    dim = 2

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x.sum(-1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_exact_samples_end_where_the_target_was_drawn(share: float) -> None:
    env = Diffusion(MIXTURE, Brownian(2.0), 5)
    policy = DiffusionPolicy(env, 8)
    trainer = Trainer(env, policy, TrajectoryBalance(), SMALL, behaviour=ExactSamples(share=share))
    batch = trainer.sample()
    exact = round(8 * share)
    again = MIXTURE.sample(exact, seeded(SMALL.seed))
    if share == 1:
        torch.testing.assert_close(batch.final_states.x, again)
    assert len(batch) == 8
    torch.testing.assert_close(batch.log_reward, MIXTURE.log_density(batch.final_states.x))
    trainer.train()


def test_listed_objects_are_drawn_in_proportion_to_their_reward() -> None:
    graph = enumerate_states(GRID)
    drawn = draws_of(graph)(50000, seeded(0))
    law = graph.log_target().exp()
    place = torch.full((len(graph),), -1)
    place[graph.objects] = torch.arange(len(graph.objects))
    found = torch.bincount(place[graph.rows(drawn)], minlength=len(law)) / 50000
    error = (law * (1 - law) / 50000).sqrt()
    assert bool(((found - law).abs() < 4.5 * error).all())


def test_targets_that_cannot_be_sampled_are_refused() -> None:
    env = Diffusion(Tilted(), times=3)
    with pytest.raises(IncompatibleError, match=r"no exact samples. Pass a function"):
        Trainer(env, DiffusionPolicy(env, 8), TrajectoryBalance(), SMALL, behaviour=ExactSamples())

    def too_few(count: int, generator: torch.Generator | None) -> DiffusionState:
        return env.objects(torch.zeros(count - 1, 2))

    trainer = Trainer(
        env, DiffusionPolicy(env, 8), TrajectoryBalance(), SMALL, behaviour=ExactSamples(too_few)
    )
    with pytest.raises(ConfigError, match="asked for 8 objects and gave 7"):
        trainer.train_step()


def test_adjoint_sampling_may_learn_from_exact_samples() -> None:
    """Its loss on a fixed batch of them falls."""
    env = Diffusion(MIXTURE, Brownian(2.0), 5)
    policy = DiffusionPolicy(env, 8)
    trainer = Trainer(env, policy, AdjointSampling(), SMALL, behaviour=ExactSamples())
    batch = trainer.sample()
    torch.testing.assert_close(batch.final_states.x, MIXTURE.sample(8, seeded(SMALL.seed)))

    def loss() -> float:
        objective = AdjointSampling(repeats=500)  # the same times on every call
        return float(objective(objective.evaluate(env, policy, batch)).item())

    before = loss()
    for _ in range(30):
        trainer.descend(batch)
    assert loss() < 0.99 * before
    trainer.train()


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ConfigError, match="share must lie"):
        ExactSamples(share=share)

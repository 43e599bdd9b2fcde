"""Maximum likelihood on trajectories that end in samples: its loss, and where it leads."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import DiscreteEnvironment, TabularPolicy, enumerate_states, evaluate
from gflow.behaviours.data import BackwardReplay
from gflow.behaviours.exact_samples import ExactSamples, draws_of
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.mixture import gmm9
from gflow.errors import IncompatibleError
from gflow.objectives import MaximumLikelihood
from gflow.sampling.sampler import Sampler
from gflow.testing import all_trajectories
from gflow.training.trainer import TrainConfig, Trainer

SMALL = TrainConfig(steps=3, batch_size=8)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_likelihood_at_the_optimum_is_the_entropy_in_closed_form() -> None:
    """At P_F = target x P_B minus the mean log-likelihood is the entropy of that law.

    By its forward factors: d/2 log(2 pi e sigma2 dt) per step; by its backward ones: that of the
    target and of the bridges. The two are equal, and the loss is they, sample by sample up to the
    log-density itself.
    """
    dim, steps, sigma2, mean = 3, 7, 1.9, [0.4, -1.0, 2.0]
    target = Gaussian(mean, sigma2, log_constant=1.1)
    env = Diffusion(target, Brownian(sigma2), steps)
    policy, objective = DiffusionPolicy(env, 8), MaximumLikelihood()
    with torch.no_grad():
        policy.drift.last.bias.copy_(torch.tensor(mean))

    def entropy(variance: float) -> float:
        return dim / 2 * math.log(2 * math.pi * math.e * variance)

    forward = steps * entropy(sigma2 / steps)
    bridges = [sigma2 / steps * i / (i + 1) for i in range(1, steps)]
    torch.testing.assert_close(forward, entropy(sigma2) + sum(map(entropy, bridges)))
    count = 4000
    batch = Sampler(env).backward(policy, env.exact_objects(count, seeded(0)), generator=seeded(1))
    terms = objective.evaluate(env, policy, batch)
    share = objective.per_trajectory(terms).detach() * count
    assert target.log_z is not None
    exact = target.log_z - terms.log_reward - terms.log_pb.sum(-1)
    torch.testing.assert_close(share, exact)
    assert abs(share.mean() - forward) < 4 * share.std() / math.sqrt(count)
    torch.testing.assert_close(objective.log_z_estimate(terms), torch.full((count,), 1.1))


GRID = HyperGrid(2, 4, Corners(4, 0.05))


def test_the_exact_solution_has_the_greatest_likelihood() -> None:
    """On all trajectories, each with its probability: no gradient there, and one elsewhere."""
    graph = enumerate_states(GRID)
    flows = graph.exact_flows()
    batch, objective = all_trajectories(GRID), MaximumLikelihood()
    exact = evaluate(GRID, TabularPolicy.solved(graph, flows), batch)
    law = (exact.log_weight + exact.log_pf.sum(-1) - flows.log_z).exp().detach()
    torch.testing.assert_close(law.sum().item(), 1.0)

    def loss(policy: TabularPolicy) -> Tensor:
        terms = objective.evaluate(GRID, policy, batch)
        return (law * objective.per_trajectory(terms)).sum() * len(batch)

    policy = TabularPolicy.solved(graph, flows)
    best = loss(policy)
    best.backward()
    assert policy.forward_table.grad is not None
    assert policy.forward_table.grad.abs().max() < 1e-10
    torch.testing.assert_close(best.item(), -(law * law.log()).sum().item())
    with torch.no_grad():
        policy.forward_table.add_(torch.randn(policy.forward_table.shape, generator=seeded(0)))
    assert loss(policy) > best + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("env", [GRID, HyperGrid(2, 4, Corners(4, 0.05), ending="forced")])
def test_likelihood_training_finds_the_target(env: DiscreteEnvironment[Any]) -> None:
    graph = enumerate_states(env)
    policy = TabularPolicy(graph, backward="uniform")
    config = TrainConfig(steps=300, batch_size=128, lr=0.1, lr_half_life=60)
    trainer = Trainer(
        env, policy, MaximumLikelihood(), config, behaviour=ExactSamples(draws_of(graph))
    )

    def distance() -> float:
        law = graph.terminal_distribution(policy).exp()
        return float((law - graph.log_target().exp()).abs().sum() / 2)

    assert distance() > 0.2
    trainer.train()
    assert distance() < 0.04


def test_data_will_do_for_the_likelihood_and_nothing_less() -> None:
    env = Diffusion(gmm9(), Brownian(5.0), 4)
    policy, data = DiffusionPolicy(env, 8), env.exact_objects(40, seeded(0))
    objective = MaximumLikelihood()
    Trainer(env, policy, objective, SMALL, behaviour=BackwardReplay(env, data, share=1)).train()
    for behaviour in (None, BackwardReplay(env, data, share=0.5), ExactSamples(share=0.5)):
        with pytest.raises(IncompatibleError, match="end in exact samples of the target, or in da"):
            Trainer(env, policy, objective, SMALL, behaviour=behaviour)
    config = replace(SMALL, replay=64, replay_rebuild="backward")
    with pytest.raises(IncompatibleError, match="replay would mix"):
        Trainer(env, policy, objective, config, behaviour=ExactSamples())

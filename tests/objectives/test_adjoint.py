"""Adjoint sampling: what it regresses on, and where the regression leads."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gflow import FlowTerms, Policy, PolicyOutput, evaluate
from gflow.environment.density import gaussian_log_prob
from gflow.envs.diffusion.bridge import BrownianBridge
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian, OrnsteinUhlenbeck
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.targets.base import Target
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.mixture import GaussianMixture
from gflow.errors import IncompatibleError
from gflow.objectives import AdjointSampling
from gflow.objectives.adjoint import AdjointTerms
from gflow.objectives.regression import Huber
from gflow.sampling.sampler import Sampler
from gflow.training.trainer import TrainConfig, Trainer

SIGMA2 = 2.3
MIXTURE = GaussianMixture(torch.tensor([[-1.5], [0.5], [2.0]]), torch.tensor([0.3, 0.2, 0.5]))
SMALL = TrainConfig(steps=3, batch_size=8)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def oracle(x: Tensor, time: Tensor) -> Tensor:
    """(N, 1) the optimal drift (E[x_1 | x_t] - x_t) / (1 - t) to `MIXTURE`, in closed form.

    x_t | x_1 ~ N(t x_1, sigma2 t (1 - t)); each component is a Gaussian given x_t.
    """
    t = time[:, None]
    means, variances = MIXTURE.means[:, 0], MIXTURE.variances[:, 0]
    noise = SIGMA2 * t * (1 - t)
    spread = t**2 * variances + noise  # (N, K)
    share = MIXTURE.probabilities.log() - (x - t * means) ** 2 / spread / 2 - spread.log() / 2
    inside = means + t * variances / spread * (x - t * means)
    mean = (share.softmax(-1) * inside).sum(-1, keepdim=True)
    return (mean - x) / (1 - t)


class Bent(Policy):
    """The oracle, and a linear combination of features on top of it."""

    backward = "uniform"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4))

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        inputs = env.encode(states)
        x, t = inputs.x, inputs.time[:, None]
        features = torch.cat([torch.ones_like(x), x, t * x.sin(), (3 * x).cos()], -1)
        return PolicyOutput(oracle(x, inputs.time) + (features @ self.weight)[:, None])


# ---------------------------------------------------------------------- the target


@given(
    mean=st.lists(st.floats(-3, 3), min_size=1, max_size=4),
    sigma2=st.floats(0.2, 6),
    seed=st.integers(0, 99),
)
def test_to_one_gaussian_every_end_asks_for_the_same_drift(
    mean: list[float], sigma2: float, seed: int
) -> None:
    """D14: the drift m, which in the units of the noise is m / sigma; the loss is zero there."""
    env = Diffusion(Gaussian(mean, sigma2, 0.7), Brownian(sigma2), 5)
    ends = env.objects(torch.randn(6, len(mean), generator=seeded(seed)) * 4)
    pull = env.bridge().pull(ends)
    torch.testing.assert_close(pull, torch.tensor(mean).expand(6, -1), atol=1e-9, rtol=1e-9)
    policy, objective = DiffusionPolicy(env, 8), AdjointSampling()
    batch = Sampler(env).forward(policy, 6, generator=seeded(seed))
    far = objective(objective.evaluate(env, policy, batch)).item()
    torch.testing.assert_close(far, sum(m * m for m in mean) / sigma2, atol=1e-9, rtol=1e-9)
    with torch.no_grad():
        policy.drift.last.bias.copy_(torch.tensor(mean))
    terms = objective.evaluate(env, policy, batch)
    assert objective(terms).item() < 1e-16
    torch.testing.assert_close(objective.log_z_estimate(terms), torch.full((6,), 0.7))


class Placed(Target):
    """N(c, v I) where the condition c says."""

    dim, condition_dim = 2, 2

    def __init__(self, variance: float) -> None:
        self.variance = variance

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return gaussian_log_prob(x, condition, torch.tensor([[self.variance]]))


class Follows(Policy):
    """The drift is the condition."""

    backward = "uniform"

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        assert condition is not None
        return PolicyOutput(condition)


def test_each_end_keeps_its_condition() -> None:
    env = Diffusion(Placed(SIGMA2), Brownian(SIGMA2), 3)
    condition = torch.randn(5, 2, generator=seeded(4))
    batch = Sampler(env).forward(Follows(), 5, condition=condition, generator=seeded(0))
    objective = AdjointSampling(measured=2)
    terms = objective.evaluate(env, Follows(), batch)
    assert objective(terms).item() < 1e-16
    torch.testing.assert_close(objective.log_z_estimate(terms), torch.zeros(5))


@pytest.mark.parametrize("time", [0.1, 0.5, 0.9])
def test_the_mean_pull_given_a_point_on_the_way_is_the_optimal_drift(time: float) -> None:
    """D14, without a network: ends of the target, weighted by their bridges' density at the point.

    The kernel is that density itself, so the average has no bandwidth and no bias but that of a
    ratio.
    """
    env = Diffusion(MIXTURE, Brownian(SIGMA2), 5)
    ends = env.exact_objects(200_000, seeded(0))
    pull = env.bridge().pull(ends)
    for x in (-1.2, 0.1, 1.4):
        distance = (x * math.sqrt(time) - time * ends.x) ** 2  # points where x_t goes
        weight = (-distance / (2 * SIGMA2 * time * (1 - time))).exp()
        weight = weight / weight.sum()
        point = torch.tensor([[x * math.sqrt(time)]])
        found, wanted = (weight * pull).sum(), oracle(point, torch.tensor([time]))
        error = (weight * (pull - found)).square().sum().sqrt()
        assert abs(found - wanted) < 4 * error + 1e-3
        assert error < 0.05


@pytest.mark.parametrize("time", [0.05, 0.5, 0.8])
def test_bridges_have_the_law_of_the_process_given_its_end(time: float) -> None:
    """Mean t X_1 and variance sigma2 t (1 - t), which is what P_B step by step leads to as well."""
    env = Diffusion(MIXTURE, Brownian(SIGMA2), 20)
    count, step = 40_000, round(time * 20)
    ends = env.objects(torch.full((count, 1), 1.7))
    inputs = env.bridge().at(ends, torch.full((count,), time), seeded(0))
    walked = Sampler(env).backward(DiffusionPolicy(env, 4), ends, generator=seeded(1))
    for x in (inputs.x, walked.states_at(step).x):
        variance = SIGMA2 * time * (1 - time)
        assert abs(x.mean() - 1.7 * time) < 4 * math.sqrt(variance / count)
        assert abs(x.var() / variance - 1) < 4 * math.sqrt(2 / count)
    assert bool((inputs.time == time).all())


# ---------------------------------------------------------------------- the regression


def test_the_regression_is_smallest_at_the_optimal_drift() -> None:
    """On ends with the law of the target: no gradient at the oracle in any of four directions."""
    env, policy = Diffusion(MIXTURE, Brownian(SIGMA2), 3), Bent()
    objective, found = AdjointSampling(repeats=4), []
    sampler = Sampler(env)
    for seed in range(40):
        ends = env.exact_objects(1000, seeded(seed))
        batch = sampler.backward(policy, ends, generator=seeded(seed))
        loss = objective(objective.evaluate(env, policy, batch))
        found.append(torch.autograd.grad(loss, policy.weight)[0])
    gradients = torch.stack(found)
    error = gradients.std(0) / math.sqrt(len(gradients))
    assert bool((gradients.mean(0).abs() < 4 * error).all())
    assert bool((error < 0.05).all())
    with torch.no_grad():
        policy.weight.fill_(0.3)
    loss = objective(objective.evaluate(env, policy, batch))
    slope = torch.autograd.grad(loss, policy.weight)[0]
    assert bool((slope.abs() > 8 * error).any())


def test_times_are_drawn_evenly_and_anew_for_every_object(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Diffusion(MIXTURE, Brownian(SIGMA2), 3)
    policy = DiffusionPolicy(env, 4)
    batch = Sampler(env).forward(policy, 500, generator=seeded(0))
    seen: list[tuple[Tensor, Tensor]] = []
    plain = BrownianBridge.at

    def at(self: Any, objects: Any, time: Tensor, generator: Any = None) -> Any:
        seen.append((objects.x, time))
        return plain(self, objects, time, generator)

    monkeypatch.setattr(BrownianBridge, "at", at)
    objective = AdjointSampling(repeats=6)
    for _ in range(2):
        objective.evaluate(env, policy, batch)
    (ends, first), (_, second) = seen
    torch.testing.assert_close(ends, batch.final_states.x.repeat(6, 1))
    assert len(first.unique()) == 3000
    assert not bool((first == second).any())
    for time in (first, second):
        assert bool((time >= 0).all() & (time < 1).all())
        counts = torch.histc(time, 10, 0, 1)
        assert float((counts - 300).square().sum() / 300) < 27.9  # chi-square of 9, 0.1 %


def test_the_loss_is_a_mean_over_objects_and_times() -> None:
    env = Diffusion(Gaussian([1.0, -2.0], 0.5), Brownian(SIGMA2), 3)
    policy = DiffusionPolicy(env, 8)
    batch = Sampler(env).forward(policy, 7, generator=seeded(0))
    objective = AdjointSampling(repeats=5)
    terms = objective.evaluate(env, policy, batch)
    assert isinstance(terms, AdjointTerms)
    assert terms.gap.shape == (7, 5, 2)
    pull = SIGMA2 * env.target.score(batch.final_states.x) + batch.final_states.x
    wanted = -pull / math.sqrt(SIGMA2)  # the network says 0 still
    torch.testing.assert_close(terms.gap, wanted[:, None].expand(-1, 5, -1))
    torch.testing.assert_close(objective(terms).item(), wanted.square().sum(-1).mean().item())
    robust = AdjointSampling(regression=Huber(0.5))
    wanted = robust.regression(wanted).sum(-1).mean()
    torch.testing.assert_close(robust(terms).item(), wanted.item())


def test_the_clip_is_of_the_norm_of_the_gradient() -> None:
    env = Diffusion(Gaussian([0.0, 0.0], 1.0), Brownian(SIGMA2), 3)
    ends = env.objects(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    found = env.bridge().pull(ends, clip=2.0)
    wanted = torch.tensor([[3.0, 4.0], [0.3, 0.4]]) - SIGMA2 * torch.tensor(
        [[1.2, 1.6], [0.3, 0.4]]
    )
    torch.testing.assert_close(found, wanted)


def test_some_log_weights_are_known_and_no_gradient_goes_into_them() -> None:
    env = Diffusion(MIXTURE, Brownian(SIGMA2), 6)
    policy = DiffusionPolicy(env, 8, generator=seeded(0))
    with torch.no_grad():
        policy.drift.last.weight.normal_(generator=seeded(1))
    batch = Sampler(env).forward(policy, 9, generator=seeded(0))
    objective = AdjointSampling(measured=4)
    terms = objective.evaluate(env, policy, batch)
    known = evaluate(env, policy, batch)
    for name in ("log_pf", "log_pb"):
        table = getattr(terms, name)
        torch.testing.assert_close(table[:4], getattr(known, name)[:4].detach())
        assert table.shape == (9, 6)
        assert not bool(table[4:].any())
        assert not table.requires_grad
    wanted = known.log_weight[:4].mean().detach().expand(9)
    torch.testing.assert_close(objective.log_z_estimate(terms), wanted)


# ---------------------------------------------------------------------- training


def test_objects_are_brought_back_by_a_memory_and_a_run_resumes() -> None:
    env = Diffusion(MIXTURE, Brownian(SIGMA2), 4)
    config = replace(
        SMALL, batch_size=10, steps=8, replay=50, replay_rebuild="backward", replay_fraction=0.8
    )

    def trainer() -> Trainer:
        return Trainer(env, DiffusionPolicy(env, 8, generator=seeded(3)), AdjointSampling(), config)

    straight, first, second = trainer(), trainer(), trainer()
    straight.train()
    first.train(4)
    assert first.replay is not None
    assert len(first.replay) == 10 + 3 * 2, "eight of ten come from memory once it is filled"
    second.load_state_dict(first.state_dict())
    second.train()
    for a, b in zip(straight.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_training_leads_to_one_gaussian() -> None:
    """Units: a drift off by a factor of sigma would end elsewhere."""
    env = Diffusion(Gaussian([1.5, -0.5], 3.0, 0.4), Brownian(3.0), 10)
    policy = DiffusionPolicy(env, 16, generator=seeded(0))
    config = TrainConfig(steps=150, batch_size=32, lr=1e-2, lr_half_life=40)
    record = Trainer(env, policy, AdjointSampling(), config).train()
    assert record["loss"] < 1e-3
    assert abs(record["log_z"] - 0.4) < 0.05


def test_where_it_cannot_work_is_said() -> None:
    for env, reason in (
        (Diffusion(MIXTURE, OrnsteinUhlenbeck()), "the process is OrnsteinUhlenbeck. Use Brownian"),
        (Diffusion(MIXTURE, log_variance_range=1.0), "learns variances too"),
        (Diffusion(MIXTURE, backward_range=0.1), "learns its backward kernel too"),
    ):
        with pytest.raises(IncompatibleError, match=reason):
            Trainer(env, DiffusionPolicy(env, 8), AdjointSampling())
    with pytest.raises(IncompatibleError, match="here actions are numbered"):
        AdjointSampling().check(HyperGrid(2, 3))
    zero = torch.zeros(2, 1)
    plain = FlowTerms(zero, zero, zero[:, 0], torch.ones(2).long(), torch.zeros(2).bool())
    with pytest.raises(IncompatibleError, match="Fill the terms by"):
        AdjointSampling()(plain)

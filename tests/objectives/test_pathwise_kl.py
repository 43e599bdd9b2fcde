"""The path-wise divergence of diffusion samplers against closed forms and differences."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gflow import (
    Exploration,
    Policy,
    PolicyOutput,
    Trajectories,
    evaluate,
)
from gflow.behaviours.exact_samples import ExactSamples
from gflow.environment.density import gaussian_log_prob
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import Brownian, OrnsteinUhlenbeck, Process, random_grids
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.targets.base import Target
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.mixture import GaussianMixture
from gflow.errors import IncompatibleError
from gflow.evaluation.retrace import retraced_terms
from gflow.objectives import (
    HalfSquared,
    LogPartitionVariance,
    PathwiseDivergence,
    TrajectoryBalance,
)
from gflow.sampling.sampler import Sampler
from gflow.training.trainer import TrainConfig, Trainer

MIXTURE = GaussianMixture(torch.tensor([[-1.0, 0.5], [2.0, 0.0], [0.0, -1.5]]), 0.4)
PROCESSES = (
    Brownian(2.3), OrnsteinUhlenbeck(1.3), OrnsteinUhlenbeck(0.8, 0.3, 2.0, scheme="euler"),
)  # fmt: skip
SMALL = TrainConfig(steps=3, batch_size=8)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(env: Diffusion, seed: int = 0, langevin: bool = False) -> DiffusionPolicy:
    """A small network with random weights everywhere, so that it does something."""
    policy = DiffusionPolicy(env, 8, 1, langevin=langevin, generator=seeded(seed))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, 0.4, generator=seeded(seed + parameter.numel()))
    return policy


def sample(
    env: Diffusion, policy: Policy, count: int, seed: int = 0, noise: float = 0.0
) -> Trajectories[Any]:
    exploration = Exploration(noise=noise)
    return Sampler(env).forward(policy, count, exploration=exploration, generator=seeded(seed))


worlds = st.builds(
    lambda process, grid, steps, range_, back: Diffusion(
        MIXTURE,
        process,
        random_grids(steps, grid, seed=1) if grid else steps,
        log_variance_range=range_,
        backward_range=back,
    ),
    st.sampled_from(PROCESSES),
    st.sampled_from([0, 1, 3]),
    st.integers(1, 6),
    st.sampled_from([0.0, 1.5]),
    st.sampled_from([0.0, 0.3]),
)


@given(env=worlds, langevin=st.booleans(), seed=st.integers(0, 99))
def test_a_retraced_walk_is_the_walk(env: Diffusion, langevin: bool, seed: int) -> None:
    policy = scattered(env, seed, langevin)
    batch = sample(env, policy, 5, seed)
    again, known = retraced_terms(env, policy, batch), evaluate(env, policy, batch)
    for name in ("log_pf", "log_pb", "log_reward"):
        torch.testing.assert_close(getattr(again, name), getattr(known, name), msg=name)
    assert again.log_reward.requires_grad


class Placed(Target):
    """N(c, v I) where the condition c says."""

    dim, condition_dim = 2, 2

    def __init__(self, variance: float) -> None:
        self.variance = variance

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return gaussian_log_prob(x, condition, torch.tensor([[self.variance]]))


@pytest.mark.parametrize("back", [0.0, 0.3])
@pytest.mark.parametrize("grids", [3, random_grids(3, 2)], ids=["one", "two"])
def test_each_walk_keeps_its_condition(back: float, grids: Any) -> None:
    env = Diffusion(Placed(0.7), Brownian(1.5), grids, backward_range=back)
    policy, condition = scattered(env), torch.randn(5, 2, generator=seeded(4))
    batch = Sampler(env).forward(policy, 5, condition=condition, generator=seeded(0))
    again, known = retraced_terms(env, policy, batch), evaluate(env, policy, batch)
    torch.testing.assert_close(again.log_weight, known.log_weight)
    assert policy.told is not None
    (slope,) = torch.autograd.grad(again.log_reward.sum(), policy.told.layer.weight)
    assert slope.abs().max() > 1e-3


class Tilted(Target):
    """A linear log-density: its score is the same everywhere, so nothing is lost by its detaching.

    Not a density on R^2; gradients are all that is asked of it here.
    """

    dim = 2
    slope = torch.tensor([0.7, -0.4], dtype=torch.float64)

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x @ self.slope


@pytest.mark.parametrize("process", PROCESSES, ids=["pis", "dds", "dis"])
@pytest.mark.parametrize(
    ("target", "langevin"), [(MIXTURE, False), (Tilted(), True)], ids=["plain", "langevin"]
)
@pytest.mark.parametrize("learned", [0.0, 1.2])
def test_gradients_go_through_the_samples(
    process: Process, target: Target, langevin: bool, learned: float
) -> None:
    """Against finite differences of the loss at fixed noise, which a seed of the sampler fixes."""
    env = Diffusion(target, process, 4, log_variance_range=learned, backward_range=learned / 4)
    policy, objective = scattered(env, 3, langevin), PathwiseDivergence(divisor=2.0)

    def loss() -> float:
        with torch.no_grad():
            terms = evaluate(env, policy, sample(env, policy, 6, 11))
            return float(-terms.log_weight.mean() / 2)

    objective(objective.evaluate(env, policy, sample(env, policy, 6, 11))).backward()
    for name, parameter in policy.named_parameters():
        step = torch.empty_like(parameter).normal_(generator=seeded(5)) * 1e-6
        assert parameter.grad is not None, name
        slope = float((parameter.grad * step).sum())
        with torch.no_grad():
            parameter.add_(step)
            above = loss()
            parameter.sub_(2 * step)
            below = loss()
            parameter.add_(step)
        assert abs((above - below) / 2 - slope) < 1e-5 * abs(slope) + 1e-11, name


class Formula(Gaussian):
    """A target whose own score does not detach the points."""

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return (self.constant("mean", x) - x) / self.constant("variance", x)


def test_no_gradient_goes_through_the_score() -> None:
    grads = []
    for kind in (Gaussian, Formula):
        env = Diffusion(kind([1.0, -2.0], 0.5), Brownian(1.7), 3)
        policy, objective = scattered(env, 2, langevin=True), PathwiseDivergence()
        objective(objective.evaluate(env, policy, sample(env, policy, 4))).backward()
        grads.append([p.grad for p in policy.parameters()])
    for plain, formula in zip(*grads, strict=True):
        torch.testing.assert_close(plain, formula)


@settings(max_examples=10)
@given(
    mean=st.lists(st.floats(-2, 2), min_size=1, max_size=4),
    sigma2=st.floats(0.2, 6),
    constant=st.floats(-3, 3),
    steps=st.integers(1, 24),
)
def test_the_optimal_constant_drift_leaves_no_variance(
    mean: list[float], sigma2: float, constant: float, steps: int
) -> None:
    """D2: drift m leads Brownian motion to C N(m, sigma2 I) exactly, in any number of steps."""
    env = Diffusion(Gaussian(mean, sigma2, constant), Brownian(sigma2), steps)
    policy = DiffusionPolicy(env, 8)
    with torch.no_grad():
        policy.drift.last.bias.copy_(torch.tensor(mean))
    objective, dim = PathwiseDivergence(divisor=len(mean)), len(mean)
    batch = sample(env, policy, 6)
    terms = objective.evaluate(env, policy, batch)
    share = objective.per_trajectory(terms) * 6
    torch.testing.assert_close(share, torch.full_like(share, -constant / dim), atol=1e-8, rtol=0)
    torch.testing.assert_close(objective(terms).item(), -constant / dim, atol=1e-8, rtol=0)
    backward = Sampler(env).backward(policy, env.exact_objects(6, seeded(1)), generator=seeded(2))
    for given_batch in (batch, backward, sample(env, policy, 6, noise=2.0)):
        known = evaluate(env, policy, given_batch)
        assert TrajectoryBalance(constant)(known).item() < 1e-15
        assert LogPartitionVariance()(known).item() < 1e-15


def test_the_estimate_of_log_z_is_the_evidence_lower_bound() -> None:
    """The mean of the log-weights: minus the loss, whatever that is divided by."""
    env = Diffusion(MIXTURE, Brownian(1.5), 6)
    policy, objective = DiffusionPolicy(env, 8), PathwiseDivergence(divisor=2.0)
    terms = objective.evaluate(env, policy, sample(env, policy, 9))
    estimate = objective.log_z_estimate(terms).mean()
    torch.testing.assert_close(estimate.item(), -2 * objective(terms).item())
    assert abs(estimate.item()) > 0.1


def check_gap(terms: Any, total: Tensor) -> None:
    """log P_F - log P_B is `total`, up to the rounding of the sums that it is the difference of.

    On grids with tiny steps the densities of wild trajectories are large and cancel.
    """
    gap = (terms.log_pf - terms.log_pb).sum(-1)
    size = 1 + (terms.log_pf.abs() + terms.log_pb.abs()).sum(-1)
    assert bool(((gap - total).abs() <= 1e-12 * size).all())


def wild(env: Diffusion, count: int, seed: int) -> Trajectories[Any]:
    """Trajectories that no sampler would draw: every state far from the one before."""
    flat = sample(env, DiffusionPolicy(env, 4), count, seed)
    x = torch.randn(flat.states.x.shape, generator=seeded(seed)) * 3
    x = x.where(flat.states.step[:, None] > 0, 0.0)
    return replace(flat, states=replace(flat.states, x=x))


@given(
    steps=st.integers(1, 24), grid=st.booleans(), sigma2=st.floats(0.2, 6), seed=st.integers(0, 99)
)
def test_girsanov_holds_in_discrete_time(steps: int, grid: bool, sigma2: float, seed: int) -> None:
    """D3: log P_F - log P_B = sum 1/2 |f|^2 dt + f eps sqrt(dt), and log N(x; 0, sigma2).

    f is the drift over sigma, eps the noise under the policy. Any trajectory, any network.
    """
    times = random_grids(steps, 1, seed) if grid else steps
    env = Diffusion(MIXTURE, Brownian(sigma2), times)
    policy, batch = scattered(env, seed), wild(env, 5, seed)
    terms = evaluate(env, policy, batch)
    total = gaussian_log_prob(batch.final_states.x, torch.zeros(1, 2), torch.tensor([[sigma2]]))
    clock = env.times[0]
    for i in range(steps):
        before, after = batch.states_at(i), batch.states_at(i + 1)
        dt, drift = clock[i + 1] - clock[i], policy.forward_logits(env, before)
        f = drift / math.sqrt(sigma2)
        noise = (after.x - before.x - drift * dt) / (sigma2 * dt).sqrt()
        total = total + 0.5 * f.square().sum(-1) * dt + (f * noise).sum(-1) * dt.sqrt()
    check_gap(terms, total)


@given(steps=st.integers(1, 24), nu=st.floats(0.4, 2), seed=st.integers(0, 99))
def test_girsanov_holds_for_the_exponential_scheme(steps: int, nu: float, seed: int) -> None:
    """D3 for DDS: sum 2 nu^2 lam^2 / alpha |f|^2 + 2 nu lam / sqrt(alpha) f eps."""
    process = OrnsteinUhlenbeck(nu)
    env = Diffusion(MIXTURE, process, steps)
    policy, batch = scattered(env, seed), wild(env, 5, seed)
    terms = evaluate(env, policy, batch)
    total = gaussian_log_prob(batch.final_states.x, torch.zeros(1, 2), torch.tensor([[nu**2]]))
    clock = env.times[0]
    for i in range(steps):
        before, after = batch.states_at(i + 1), batch.states_at(i + 2)  # the first is into noise
        keep = (-process.integral(clock[i], clock[i + 1])).exp()  # sqrt(1 - alpha)
        alpha, lam = 1 - keep**2, 1 - keep
        f = policy.forward_logits(env, before)
        noise = (after.x - keep * before.x - 2 * nu**2 * lam * f) / (nu * alpha.sqrt())
        total = total + 2 * (nu * lam).square() / alpha * f.square().sum(-1)
        total = total + 2 * nu * lam / alpha.sqrt() * (f * noise).sum(-1)
    check_gap(terms, total)


class Linear(Policy):
    """The drift a x + b + c t."""

    backward = "uniform"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-0.8, 0.9, -0.5]))

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        inputs = env.encode(states)
        a, b, c = self.weight
        return PolicyOutput(a * inputs.x + b + c * inputs.time[:, None])


def linear_divergence(env: Diffusion, target: Gaussian, weight: Tensor) -> Tensor:
    """KL(P_F || R P_B) in closed form for `Linear` on the line: only moments enter."""
    a, b, c = weight
    assert isinstance(env.process, Brownian)
    steps, sigma2 = env.horizon, env.process.sigma2
    dt = 1 / steps
    mean, variance = torch.zeros(()), torch.zeros(())
    total = torch.tensor(-0.5 * steps * math.log(2 * math.pi * math.e * sigma2 * dt))
    for i in range(steps):
        gain = 1 + a * dt
        next_mean = gain * mean + (b + c * i * dt) * dt
        next_variance = gain**2 * variance + sigma2 * dt
        if i:  # log P_B of x given y, whose mean is share * y
            share = i / (i + 1)
            spread = variance + share**2 * next_variance - 2 * share * gain * variance
            square = (mean - share * next_mean) ** 2 + spread
            width = torch.tensor(sigma2 * dt * share)
            total = total + 0.5 * (square / width + (2 * math.pi * width).log())
        mean, variance = next_mean, next_variance
    v = target.variance[0]
    square = (mean - target.mean[0]) ** 2 + variance
    assert target.log_z is not None
    return total + 0.5 * (square / v + (2 * math.pi * v).log()) - target.log_z


@pytest.mark.parametrize("name", ["kl", "tb", "vargrad"])
def test_on_its_own_trajectories_balance_descends_the_divergence(name: str) -> None:
    """D15: E grad 1/2 (log Z - log w)^2 = grad KL whatever log Z is, and so does VarGrad's.

    The bars of the Monte-Carlo error are those of 40 batches.
    """
    target = Gaussian([1.2], 0.6, log_constant=0.4)
    env, policy = Diffusion(target, Brownian(1.5), 5), Linear()
    wanted = torch.autograd.grad(linear_divergence(env, target, policy.weight), policy.weight)[0]
    objective: Any = {
        "kl": PathwiseDivergence(),
        "tb": TrajectoryBalance(0.3, regression=HalfSquared()),
        "vargrad": LogPartitionVariance(regression=HalfSquared()),
    }[name]
    found = []
    for seed in range(40):
        batch = sample(env, policy, 1000, seed)
        loss = objective(objective.evaluate(env, policy, batch))
        found.append(torch.autograd.grad(loss, policy.weight)[0])
    gradients = torch.stack(found)
    error = gradients.std(0) / math.sqrt(len(gradients))
    assert bool((wanted.abs() > 20 * error).all()), "the test could not tell it from zero"
    assert bool(((gradients.mean(0) - wanted).abs() < 4 * error).all())


def test_the_loss_is_the_divergence() -> None:
    target = Gaussian([1.2], 0.6, log_constant=0.4)
    env, policy = Diffusion(target, Brownian(1.5), 5), Linear()
    objective = PathwiseDivergence()
    share = objective.per_trajectory(objective.evaluate(env, policy, sample(env, policy, 20000)))
    share = share.detach() * 20000
    wanted = linear_divergence(env, target, policy.weight.detach())
    assert abs(share.mean() - wanted) < 4 * share.std() / math.sqrt(20000)
    estimate = objective.log_z_estimate(objective.evaluate(env, policy, sample(env, policy, 9)))
    assert estimate.shape == (9,)


def test_log_pf_knows_nothing_of_exploration() -> None:
    """D15: what is drawn with noise is judged by the bare kernel."""
    env = Diffusion(MIXTURE, Brownian(1.5), 6)
    policy = scattered(env)
    batch = sample(env, policy, 7, noise=1.3)
    terms = evaluate(env, policy, batch)
    dt = 1 / 6
    for i in range(6):
        before, after = batch.states_at(i), batch.states_at(i + 1)
        mean = before.x + policy.forward_logits(env, before) * dt
        wanted = gaussian_log_prob(after.x, mean, torch.tensor([[1.5 * dt]]))
        torch.testing.assert_close(terms.log_pf[:, i], wanted)
    step = batch.states_at(1).x - policy.forward_logits(env, batch.states_at(0)) * dt
    assert step.std() > 2 * math.sqrt(1.5 * dt), "the noise was there"


def test_what_the_divergence_cannot_learn_from() -> None:
    env = Diffusion(MIXTURE, times=4)
    policy, objective = DiffusionPolicy(env, 8), PathwiseDivergence()
    for config, what in (
        (replace(SMALL, noise=0.1), "exploration"),
        (replace(SMALL, replay=64, replay_rebuild="backward"), "replay"),
    ):
        with pytest.raises(IncompatibleError, match=rf"samples of one.*and {what} would"):
            Trainer(env, policy, objective, config)
    with pytest.raises(IncompatibleError, match="its own policy's trajectories only"):
        Trainer(env, policy, objective, SMALL, behaviour=ExactSamples())
    with pytest.raises(IncompatibleError, match="goes through the samples, and actions are no"):
        PathwiseDivergence().check(HyperGrid(2, 3))


class Stepped(Target):
    """A density that is constant on squares: no gradient."""

    dim = 2

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return -x.detach().round().square().sum(-1)


def test_a_reward_without_gradient_is_refused_with_a_way_out() -> None:
    env = Diffusion(Stepped(), times=3)
    trainer = Trainer(env, DiffusionPolicy(env, 8), PathwiseDivergence(), SMALL)
    with pytest.raises(IncompatibleError, match="stops the gradient.*use tb, vargrad, db or subtb"):
        trainer.train_step()

"""Annealed Langevin steps with a learned transport: kernels by hand, limits, and training."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.annealing_path import AnnealingPath
from gflow.envs.diffusion.gaussian_steps import DiffusionState
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import random_grids
from gflow.envs.targets import Gaussian, Target, gmm9, gmm25
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.metrics import elbo, eubo, importance_log_z
from gflow.objective import Objective
from gflow.objectives import (
    DetailedBalance,
    ForwardLookingSubTrajectoryBalance,
    LogPartitionVariance,
    PathwiseDivergence,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.policies.base import Policy, PolicyOutput
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.terms import FlowTerms, Needs
from gflow.training.trainer import TrainConfig, Trainer
from gflow.trajectories import Trajectories

LOUD = Exploration(noise=0.7)
seeds = st.integers(0, 10_000)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stirred(env: AnnealedLangevin, seed: int = 0, **settings: Any) -> DiffusionPolicy:
    """A policy whose drift is not zero."""
    policy = DiffusionPolicy(env, width=8, generator=generator(seed), **settings)
    torch.nn.init.normal_(policy.drift.last.weight, 0, 0.5, generator=generator(seed + 1))
    return policy


class Shifted(Target):
    """N(c, I) for the condition c."""

    dim, condition_dim, log_z = 2, 2, 0.0

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return -(x - condition).square().sum(-1) / 2 - math.log(2 * math.pi)


# ------------------------------------------------------------------ the path


@given(st.floats(0.2, 9), st.floats(0.5, 4), seeds)
def test_the_path_leads_from_the_gaussian_to_the_target(
    variance: float, power: float, seed: int
) -> None:
    target = gmm9()
    path = AnnealingPath(target, variance, power)
    x = 3 * torch.randn(4, 2, generator=generator(seed))
    base = -(x.square().sum(-1) / variance) / 2 - math.log(2 * math.pi * variance)
    torch.testing.assert_close(path.log_density(x, torch.zeros(4)), base)
    torch.testing.assert_close(path.log_density(x, torch.ones(4)), target.log_density(x))
    time = torch.rand(4, generator=generator(seed))
    middle = (1 - time**power) * base + time**power * target.log_density(x)
    torch.testing.assert_close(path.log_density(x, time), middle)
    point = x.clone().requires_grad_()
    slope = torch.autograd.grad(path.log_density(point, time).sum(), point)[0]
    torch.testing.assert_close(path.score(x, time, target.score(x)), slope)


def test_flows_look_forward_from_the_path() -> None:
    env = AnnealedLangevin(gmm9(), 4.0, 6, power=2.0)
    x = torch.randn(7, 2, generator=generator(0))
    state = DiffusionState(x, torch.arange(1, 8), torch.zeros(7, dtype=torch.int64))
    at = torch.arange(7) / 6
    torch.testing.assert_close(env.partial_log_reward(state), env.path.log_density(x, at))
    end = env.log_reward(env.objects(x[-1:]))
    torch.testing.assert_close(env.partial_log_reward(state)[-1:], end)


# ------------------------------------------------------------------ kernels


def by_hand(
    env: AnnealedLangevin, policy: DiffusionPolicy, batch: Trajectories[Any]
) -> tuple[list[Tensor], list[Tensor]]:
    """log P_F and log P_B of the steps, from the formulas, on even times."""
    steps = env.horizon - 1
    h = 1 / steps
    start = batch.states_at(1)
    variance = env.path.variance
    ahead = [
        -(start.x.square().sum(-1) / variance + env.dim * math.log(2 * math.pi * variance)) / 2
    ]
    back = [torch.zeros_like(ahead[0])]
    for k in range(steps):
        x, y = batch.states_at(k + 1).x, batch.states_at(k + 2).x

        def drift(point: Tensor, j: int) -> tuple[Tensor, Tensor]:
            time = torch.full((len(point),), j * h)
            network = policy(env, env.inputs(point, time)).forward_logits[:, : env.dim]
            scale = env.rate * (env.end_rate / env.rate) ** (j * h)
            mixed = env.path.log_density
            leaf = point.clone().requires_grad_()
            score = torch.autograd.grad(mixed(leaf, time).sum(), leaf)[0]
            return score, math.sqrt(scale) * network

        rate = env.rate * (env.end_rate / env.rate) ** (k * h)
        score, push = drift(x, k)
        other, pull = drift(y, k + 1)
        norm = env.dim * math.log(2 * math.pi * 2 * rate * h)
        gap = (y - x - h * (rate * score + push)).square().sum(-1)
        ahead.append(-(gap / (2 * rate * h) + norm) / 2)
        gap = (x - y - h * (rate * other - pull)).square().sum(-1)
        back.append(-(gap / (2 * rate * h) + norm) / 2)
    return ahead, back


@given(st.integers(1, 6), st.floats(0.5, 9), st.floats(0.2, 4), st.floats(0.2, 4), seeds)
def test_log_densities_are_those_of_the_formulas(
    steps: int, variance: float, rate: float, end_rate: float, seed: int
) -> None:
    env = AnnealedLangevin(gmm9(), variance, steps, rate, end_rate, 1.5, clip=1e6)
    policy = stirred(env, seed)
    batch = Sampler(env).forward(policy, 5, exploration=LOUD, generator=generator(seed))
    assert env.horizon == steps + 1
    terms = evaluate(env, policy, batch)
    ahead, back = by_hand(env, policy, batch)
    torch.testing.assert_close(terms.log_pf, torch.stack(ahead, 1))
    torch.testing.assert_close(terms.log_pb, torch.stack(back, 1))
    torch.testing.assert_close(batch.log_reward, env.target.log_density(batch.final_states.x))


@torch.no_grad()
def test_samples_follow_their_density() -> None:
    """One step ahead and one back, from one point each."""
    env = AnnealedLangevin(gmm9(), 2.0, 4, rate=1.0, end_rate=0.5)
    policy, count = stirred(env), 40_000
    x = torch.tensor([[1.0, -2.0]]).expand(count, 2)
    middle = DiffusionState(x, torch.full((count,), 3), torch.zeros(count, dtype=torch.int64))
    out = policy(env, middle).forward_logits
    drift, score = out[0].chunk(2)
    torch.testing.assert_close(score, env.score(middle)[0])
    rate, h = 0.5**0.5, 0.25  # state 3 is at time 2/4
    ahead = env.forward_law(middle, out).sample(generator(0))[0]
    mean = x[0] + h * (rate * score + rate**0.5 * drift)
    torch.testing.assert_close(ahead.x.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(ahead.x.var(0), torch.full((2,), 2 * rate * h), atol=0.02, rtol=0)
    back = env.backward_law(middle, out).sample(generator(1))[0]
    before = 0.5**0.25  # the rate where the step to here began, at time 1/4
    mean = x[0] + h * (before * score - rate**0.5 * drift)
    torch.testing.assert_close(back.x.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(back.x.var(0), torch.full((2,), 2 * before * h), atol=0.02, rtol=0)
    assert int(ahead.step[0]) == 4
    assert int(back.step[0]) == 2
    source = env.initial(count)
    first = env.forward_law(source, policy(env, source).forward_logits)
    start = first.sample(generator(2))[0]
    torch.testing.assert_close(start.x.mean(0), torch.zeros(2), atol=0.03, rtol=0)
    torch.testing.assert_close(start.x.var(0), torch.full((2,), 2.0), atol=0.06, rtol=0)


@given(st.integers(1, 12), st.floats(0.4, 3), st.floats(0.1, 1), seeds)
@torch.no_grad()
def test_on_a_path_that_stands_still_the_weight_is_constant_up_to_the_step(
    steps: int, variance: float, rate: float, seed: int
) -> None:
    r"""Target = base, no drift: log w = log Z - h s^2 (|x_T|^2 - |x_0|^2) / (4 s_0^4) exactly."""
    target = Gaussian([0.0, 0.0], variance, log_constant=0.5)
    assert target.log_z is not None
    env = AnnealedLangevin(target, variance, steps, rate, clip=1e6)
    policy = DiffusionPolicy(env, width=8)
    batch = Sampler(env).forward(policy, 6, generator=generator(seed))
    weight = evaluate(env, policy, batch).log_weight
    size = batch.final_states.x.square().sum(-1) - batch.states_at(1).x.square().sum(-1)
    torch.testing.assert_close(weight, target.log_z - rate / steps * size / (4 * variance**2))


@pytest.mark.slow
@torch.no_grad()
def test_the_error_of_the_weight_falls_with_the_step() -> None:
    """Half the step leaves half the spread of log w, and the mean tends to log Z."""
    target = Gaussian([0.0, 0.0], 1.5, log_constant=0.5)

    def weight(steps: int) -> Tensor:
        env = AnnealedLangevin(target, 1.5, steps, 2.0)
        policy = DiffusionPolicy(env, width=8)
        batch = Sampler(env).forward(policy, 4000, generator=generator(steps))
        return evaluate(env, policy, batch).log_weight

    coarse, fine, finer = (weight(steps) for steps in (8, 16, 32))
    assert 1.8 < float(coarse.std() / fine.std()) < 2.2
    assert 1.8 < float(fine.std() / finer.std()) < 2.2
    assert abs(float(finer.mean()) - 0.5) < 0.01


@pytest.mark.slow
@torch.no_grad()
def test_bounds_bracket_log_z_whatever_the_drift() -> None:
    """On gmm9, where the start covers all modes; the importance-weighted bound is near."""
    env = AnnealedLangevin(gmm9(), 16.0, 24, 20.0, 3.0, 3.0)
    policy, sampler = stirred(env), Sampler(env)
    ahead = evaluate(env, policy, sampler.forward(policy, 4000, generator=generator(0)))
    exact = env.objects(env.target.sample(4000, generator(1)))
    above = evaluate(env, policy, sampler.backward(policy, exact, generator=generator(2)))
    assert float(elbo(ahead)) < -0.1
    assert float(eubo(above)) > 0.1
    assert abs(float(importance_log_z(ahead))) < 0.15


def test_backward_walks_reach_the_source_by_force() -> None:
    env = AnnealedLangevin(gmm9(), 4.0, 5)
    policy = stirred(env)
    x = torch.randn(7, 2, generator=generator(3))
    batch = Sampler(env).backward(policy, env.objects(x), generator=generator(2))
    terms = evaluate(env, policy, batch)
    assert bool((batch.states_at(0).x == 0).all())
    assert bool((batch.states_at(0).step == 0).all())
    assert bool((terms.log_pb[:, 0] == 0).all())
    assert float(terms.log_pb[:, 1:].detach().abs().min()) > 0
    weight = policy.drift.last.weight
    assert bool((torch.autograd.grad(terms.log_pb[:, 0].sum(), [weight])[0] == 0).all())
    _, back = by_hand(env, policy, batch)
    torch.testing.assert_close(terms.log_pb, torch.stack(back, 1))


# ------------------------------------------------------------------ the network


def test_one_pass_of_the_network_serves_both_directions() -> None:
    env = AnnealedLangevin(gmm9(), 4.0, 5)
    policy = stirred(env, log_flow=True)
    batch = Sampler(env).forward(policy, 6, generator=generator(0))
    calls: list[int] = []
    policy.drift.register_forward_hook(lambda *_: calls.append(1))
    output = policy.of_trajectories(env, batch)
    assert output.backward_logits is output.forward_logits
    terms = evaluate(env, policy, batch, Needs(log_flow=True))
    assert len(calls) == 2
    both = policy.backward_logits(env, batch.states)
    torch.testing.assert_close(both, policy.forward_logits(env, batch.states))
    weight = policy.drift.last.weight
    for part in (terms.log_pf, terms.log_pb):
        slope = torch.autograd.grad(part.sum(), [weight], retain_graph=True)[0]
        assert float(slope.abs().max()) > 0
    assert policy.back is None


def test_the_drift_starts_at_zero_and_scores_are_bounded() -> None:
    env = AnnealedLangevin(Gaussian([0.0, 0.0], 1e-4), 4.0, 5, clip=30.0)
    policy = DiffusionPolicy(env, width=8)
    x = torch.tensor([[1.0, -2.0], [math.nan, 0.0]])
    out = policy(env, env.inputs(x, torch.full((2,), 0.5))).forward_logits
    assert bool((out[:, :2] == 0)[0].all())
    torch.testing.assert_close(out[0, 2:], 0.5 * torch.tensor([-30.0, 30.0]) - 0.125 * x[0])
    score = env.inputs(x, torch.full((2,), 0.5)).score()
    assert bool(score.isfinite().all())


def test_rollouts_with_a_memory_follow_the_same_law() -> None:
    env = AnnealedLangevin(gmm25(), 16.0, 6, 4.0, 1.0, 2.0)
    policy = stirred(env, langevin=True)
    sampler = Sampler(env)
    quick = sampler.forward(policy, 5, generator=generator(2))
    policy.begin = lambda *_: None  # type: ignore[method-assign]
    slow = sampler.forward(policy, 5, generator=generator(2))
    torch.testing.assert_close(quick.final_states.x, slow.final_states.x)


def test_random_grids_weigh_as_each_alone() -> None:
    grids = random_grids(4, 3, seed=1)
    env = AnnealedLangevin(gmm9(), 4.0, grids, 2.0, 1.0)
    policy = stirred(env)
    batch = Sampler(env).forward(policy, 12, generator=generator(0))
    assert len(batch.final_states.grid.unique()) == 3
    terms = evaluate(env, policy, batch)
    for grid in range(3):
        alone = AnnealedLangevin(gmm9(), 4.0, grids[grid], 2.0, 1.0)
        rows = (batch.final_states.grid == grid).nonzero().squeeze(1)
        part = batch.select(rows)
        s = part.states
        zeros = torch.zeros_like(s.grid)
        single = type(part)(**{**vars(part), "states": DiffusionState(s.x, s.step, zeros)})
        found = evaluate(alone, policy, single)
        torch.testing.assert_close(found.log_pf, terms.log_pf[rows])
        torch.testing.assert_close(found.log_pb, terms.log_pb[rows])


def test_targets_may_read_a_condition() -> None:
    """The score that the kernels see is that of each trajectory's own target."""
    env = AnnealedLangevin(Shifted(), 1.0, 8, 2.0)
    policy, sampler = stirred(env), Sampler(env)
    given_to = torch.tensor([[4.0, 0.0]]).repeat(400, 1)
    given_to[200:] *= -1
    batch = sampler.forward(policy, 400, condition=given_to, generator=generator(0))
    ends = batch.final_states.x[:, 0]
    assert float(ends[:200].mean()) > 1 > -1 > float(ends[200:].mean())
    terms = evaluate(env, policy, batch)
    alone = evaluate(env, policy, batch.select(torch.arange(200, 400)))
    torch.testing.assert_close(terms.log_weight[200:], alone.log_weight)
    with pytest.raises(IncompatibleError, match="score of a target that needs a condition"):
        env.backward_law(batch.final_states)


class Still(Policy):
    """No drift, and no backward outputs."""

    backward = "uniform"

    def __init__(self, env: AnnealedLangevin) -> None:
        super().__init__()
        self.env = env

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        score = self.env.score(states, condition)
        return PolicyOutput(torch.cat([torch.zeros_like(score), score], -1))


def test_without_outputs_the_steps_back_are_those_of_langevin() -> None:
    env = AnnealedLangevin(gmm9(), 4.0, 5)
    still, zero = Still(env), DiffusionPolicy(env, width=8)
    batch = Sampler(env).forward(still, 4, generator=generator(0))
    ours, theirs = evaluate(env, still, batch), evaluate(env, zero, batch)
    torch.testing.assert_close(ours.log_pf, theirs.log_pf)
    torch.testing.assert_close(ours.log_pb, theirs.log_pb)


# ------------------------------------------------------------------ training


def losses(objective: Objective, steps: int = 25) -> list[float]:
    """Of one fixed batch."""
    env = AnnealedLangevin(gmm9(), 16.0, 8, 10.0, 3.0, 2.0)
    policy = stirred(env, log_flow=objective.needs.log_flow)
    batch = Sampler(env).forward(policy, 32, exploration=LOUD, generator=generator(0))
    optimizer = torch.optim.Adam([*policy.parameters(), *objective.parameters()], 3e-3)
    found = []
    for _ in range(steps):
        loss = objective(objective.evaluate(env, policy, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found


@pytest.mark.parametrize(
    "objective",
    [
        TrajectoryBalance(),
        LogPartitionVariance(),
        DetailedBalance(),
        SubTrajectoryBalance(0.9),
        ForwardLookingSubTrajectoryBalance(0.9),
    ],
    ids=lambda objective: objective.name,
)
def test_the_loss_of_a_fixed_batch_falls(objective: Objective) -> None:
    found = losses(objective)
    assert found[-1] < 0.9 * found[0], found


@torch.no_grad()
def test_the_right_constant_drift_carries_the_path_along() -> None:
    """Between N(0, v) and N(m, v) the mean is t m: with the drift m little variance is left."""
    target = Gaussian([3.0, -3.0], 1.0)
    env = AnnealedLangevin(target, 1.0, 64, 0.25)
    zero, moved = DiffusionPolicy(env, width=8), DiffusionPolicy(env, width=8)
    moved.drift.last.bias.copy_(target.mean / 0.5)  # w = s f

    def spread(policy: DiffusionPolicy) -> float:
        batch = Sampler(env).forward(policy, 500, generator=generator(0))
        return float(evaluate(env, policy, batch).log_weight.std())

    assert spread(moved) < 0.1
    assert spread(zero) > 2


@pytest.mark.slow
def test_training_beats_annealed_langevin_alone() -> None:
    def gaps(trainer: Trainer, env: AnnealedLangevin) -> tuple[float, float]:
        policy, sampler = trainer.evaluated_policy, Sampler(env)
        with torch.no_grad():
            terms = evaluate(env, policy, sampler.forward(policy, 4000, generator=generator(5)))
            exact = env.objects(env.target.sample(4000, generator(6)))
            back = sampler.backward(policy, exact, generator=generator(7))
            return -float(elbo(terms)), float(eubo(evaluate(env, policy, back)))

    env = AnnealedLangevin(gmm9(), 16.0, 16, 20.0, 3.0, 3.0)
    torch.manual_seed(0)
    config = TrainConfig(batch_size=128, lr=5e-3, log_z_lr=0.02, seed=0)
    objective = TrajectoryBalance(-1.0)
    trainer = Trainer(env, DiffusionPolicy(env, width=32), objective, config)
    before = gaps(trainer, env)
    trainer.train(400)
    after = gaps(trainer, env)
    assert after[0] < 0.7 * before[0], (before, after)
    assert after[1] < 0.7 * before[1], (before, after)
    # Without a drift, the log Z that balances trajectories is their mean log-weight.
    learned = float(objective.log_z.value.detach())
    assert abs(learned) < 0.7 * before[0], (learned, before)


# ------------------------------------------------------------------ refusals


def test_sizes_are_checked_and_paths_of_scores_refused() -> None:
    with pytest.raises(ConfigError, match="rate, end_rate and clip must be positive, got 0"):
        AnnealedLangevin(gmm9(), rate=0.0)
    with pytest.raises(ConfigError, match="variance and power must be positive, got 0"):
        AnnealedLangevin(gmm9(), variance=0.0)
    env = AnnealedLangevin(gmm9(), 4.0, 3)
    with pytest.raises(IncompatibleError, match="goes through the samples"):
        Trainer(env, DiffusionPolicy(env, width=8), PathwiseDivergence(), TrainConfig())
    with pytest.raises(IncompatibleError, match="no process whose bridges are known"):
        env.bridge()
    policy = DiffusionPolicy(env, width=8)
    with pytest.raises(IncompatibleError, match="no learned backward head"):
        policy.zero_backward_head()
    assert isinstance(evaluate(env, policy, Sampler(env).forward(policy, 2)), FlowTerms)

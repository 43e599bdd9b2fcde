"""Steps of reference processes compose, and leave the laws that they should."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import (
    Brownian,
    OrnsteinUhlenbeck,
    Process,
)
from gflow.envs.targets import Gaussian
from gflow.evaluation.evaluate import evaluate
from gflow.policies.base import Policy, PolicyOutput
from gflow.sampling.sampler import Sampler

seeds = st.integers(0, 10_000)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(dim: int, seed: int, variance: float | None = None) -> Gaussian:
    g = generator(seed)
    mean = torch.randn(dim, generator=g)
    spread = 0.2 + 3 * float(torch.rand((), generator=g)) if variance is None else variance
    return Gaussian(mean, spread, log_constant=float(torch.randn((), generator=g)))


@given(st.floats(0.3, 3), st.floats(0.01, 2), st.floats(0.1, 6), st.floats(0, 0.9), seeds)
def test_noising_steps_compose(nu: float, low: float, high: float, start: float, seed: int) -> None:
    """D9: two exact half steps are one step, for a rate that is not constant."""
    process = OrnsteinUhlenbeck(nu, low, high)
    t = torch.tensor(start)
    middle, end = t + (1 - t) / 3, torch.tensor(1.0)
    c1, w1 = process.backward(t, middle)
    c2, w2 = process.backward(middle, end)
    c, w = process.backward(t, end)
    torch.testing.assert_close(c1 * c2, c)
    torch.testing.assert_close(c1**2 * w2 + w1, w)


def test_the_rate_is_that_of_noising_time() -> None:
    """Generation ends at the data, where noising is slow: a turned rate would start there."""
    process = OrnsteinUhlenbeck(1.0, beta_0=0.01, beta_1=4.0)
    first = process.backward(torch.tensor(0.0), torch.tensor(0.1))[1]
    last = process.backward(torch.tensor(0.9), torch.tensor(1.0))[1]
    assert float(first) > 5 * float(last)
    integral = process.integral(torch.tensor(0.0), torch.tensor(1.0))
    torch.testing.assert_close(integral, torch.tensor((0.01 + 4.0) / 2))


class Silent(Policy):
    """No drift at all."""

    backward = "uniform"

    def __init__(self, env: Diffusion) -> None:
        super().__init__()
        self.size = env.num_outputs

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        return PolicyOutput(states.x.new_zeros(len(states.x), self.size))


@given(st.integers(1, 3), st.integers(1, 10), st.floats(0.4, 2), seeds)
def test_without_a_drift_the_stationary_law_is_sampled_exactly(
    dim: int, steps: int, nu: float, seed: int
) -> None:
    """D9: target N(0, nu^2), exponential scheme, zero network: every log-weight is log Z."""
    target = Gaussian([0.0] * dim, nu**2, log_constant=0.5)
    assert target.log_z is not None
    env = Diffusion(target, OrnsteinUhlenbeck(nu), steps)
    policy = Silent(env)
    batch = Sampler(env).forward(policy, 6, generator=generator(seed))
    assert env.horizon == steps + 1
    terms = evaluate(env, policy, batch)
    torch.testing.assert_close(terms.log_weight, torch.full((6,), target.log_z))
    turned = OrnsteinUhlenbeck(nu, 4.0, 0.01)  # the orientation mutation
    wrong = Diffusion(target, turned, steps)
    other = evaluate(env, policy, batch).log_pf - evaluate(wrong, policy, batch).log_pf
    if steps > 1:
        assert float(other.abs().max()) > 1e-3


@given(st.floats(0.2, 5), st.floats(0.05, 0.9), st.floats(0.1, 0.9))
def test_bridges_compose(sigma2: float, start: float, share: float) -> None:
    """D10: the bridge back through a middle time has the law of the bridge back at once."""
    process = Brownian(sigma2)
    t, u = torch.tensor(start), torch.tensor(1.0)
    middle = t + share * (u - t)
    c1, w1 = process.backward(t, middle)
    c2, w2 = process.backward(middle, u)
    c, w = process.backward(t, u)
    torch.testing.assert_close(c1 * c2, c)
    torch.testing.assert_close(c1**2 * w2 + w1, w)


@pytest.mark.parametrize("process", [Brownian(2.0), OrnsteinUhlenbeck(1.5)])
def test_backward_samples_follow_their_density(process: Process) -> None:
    env = Diffusion(gaussian(2, 0), process, 4)
    x = torch.tensor([[1.0, -2.0]]).expand(40_000, 2)
    objects = env.objects(x)
    batch = Sampler(env).backward(Silent(env), objects, generator=generator(0))
    steps = batch.states_at(env.horizon - 1)
    c, w = process.backward(torch.tensor(0.75), torch.tensor(1.0))
    torch.testing.assert_close(steps.x.mean(0), c * x[0], atol=0.03, rtol=0)
    torch.testing.assert_close(steps.x.var(0), w.expand(2), atol=0.03, rtol=0)
    source = batch.states_at(0)
    assert bool((source.x == 0).all())
    assert bool((source.step == 0).all())


def test_a_learned_backward_kernel_reaches_the_source_by_force() -> None:
    env = Diffusion(gaussian(2, 0), Brownian(1.0), 5, backward_range=0.5)
    policy = DiffusionPolicy(env, width=8, generator=generator(0))
    assert policy.back is not None
    torch.nn.init.normal_(policy.back.last.weight, 0, 3.0, generator=generator(1))
    sampler = Sampler(env)
    batch = sampler.backward(policy, env.objects(torch.randn(7, 2)), generator=generator(2))
    terms = evaluate(env, policy, batch)
    assert bool((batch.states_at(0).x == 0).all())
    assert bool((terms.log_pb[:, 0] == 0).all())
    assert float(terms.log_pb[:, 1:].detach().abs().min()) > 0
    grads = torch.autograd.grad(terms.log_pb[:, 0].sum(), [policy.back.last.bias])[0]
    assert bool((grads == 0).all())
    fixed = Diffusion(env.target, Brownian(1.0), 5)
    plain = evaluate(fixed, DiffusionPolicy(fixed, width=8), batch).log_pb
    assert float((plain - terms.log_pb).detach().abs().max()) > 0.01
    policy.zero_backward_head()
    torch.testing.assert_close(evaluate(env, policy, batch).log_pb, plain)

"""Laws of diffusion samplers (D1, D2, D4-D6, D8-D10, D17, D18 of their specification)."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow.environment.density import gaussian_log_prob
from gflow.envs.diffusion.env import Diffusion, DiffusionState
from gflow.envs.diffusion.oracle import OraclePolicy
from gflow.envs.diffusion.policy import DiffusionPolicy
from gflow.envs.diffusion.process import (
    Brownian,
    check_grid,
    random_grids,
    uniform_grid,
)
from gflow.envs.targets import Gaussian, gmm25
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.metrics import effective_sample_size, elbo, eubo, importance_log_z
from gflow.objectives import (
    DetailedBalance,
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
    LogPartitionVariance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.policies.base import Policy, PolicyOutput
from gflow.sampling.exploration import Exploration
from gflow.sampling.sampler import Sampler
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

LOUD = Exploration(noise=0.7)
seeds = st.integers(0, 10_000)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(dim: int, seed: int, variance: float | None = None) -> Gaussian:
    g = generator(seed)
    mean = torch.randn(dim, generator=g)
    spread = 0.2 + 3 * float(torch.rand((), generator=g)) if variance is None else variance
    return Gaussian(mean, spread, log_constant=float(torch.randn((), generator=g)))


class Looking(Policy):
    """A policy whose flow head is that of another, less the partial log-reward."""

    has_log_flow = True
    backward = "uniform"

    def __init__(self, inner: OraclePolicy) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        out = self.inner(env, states)
        ahead = self.inner.env.partial_log_reward(states)
        return PolicyOutput(out.forward_logits, None, out.log_flow - ahead)


def exact_terms(
    dim: int, steps: int, sigma2: float, seed: int, times: Tensor | int | None = None
) -> tuple[FlowTerms, float, Diffusion, Trajectories[DiffusionState]]:
    target = gaussian(dim, seed)
    env = Diffusion(target, Brownian(sigma2), times or steps, log_variance_range=8.0)
    policy = OraclePolicy(env)
    batch = Sampler(env).forward(policy, 6, exploration=LOUD, generator=generator(seed))
    assert target.log_z is not None
    return evaluate(env, policy, batch, Needs(log_flow=True)), target.log_z, env, batch


@given(st.integers(1, 4), st.integers(1, 24), st.floats(0.2, 6), seeds)
@torch.no_grad()
def test_residuals_vanish_at_the_time_reversal_of_a_gaussian(
    dim: int, steps: int, sigma2: float, seed: int
) -> None:
    """D1, for every objective, on trajectories that the exact sampler would hardly draw."""
    terms, log_z, env, batch = exact_terms(dim, steps, sigma2, seed)
    for objective in (
        TrajectoryBalance(log_z),
        LogPartitionVariance(),
        DetailedBalance(),
        SubTrajectoryBalance(0.9),
        SubTrajectoryBalance(2.0),
    ):
        assert float(objective.residual(terms).abs().max()) < 1e-8, objective
    looking = evaluate(env, Looking(OraclePolicy(env)), batch, Needs(log_flow=True, energy=True))
    for objective in (
        ForwardLookingDetailedBalance(),
        ForwardLookingSubTrajectoryBalance(0.9),
        ForwardLookingSubTrajectoryBalance(2.0),
    ):
        assert float(objective.residual(looking).abs().max()) < 1e-8, objective
    wrong = TrajectoryBalance(log_z + 0.1)
    assert float(wrong.residual(terms).abs().min()) > 0.05


@given(st.integers(1, 3), st.integers(2, 12), seeds)
@torch.no_grad()
def test_residuals_vanish_on_any_time_grid(dim: int, steps: int, seed: int) -> None:
    """D10: several random grids at once, each trajectory on its own."""
    grids = random_grids(steps, 5, seed)
    target = gaussian(dim, seed)
    env = Diffusion(target, Brownian(1.5), grids, log_variance_range=8.0)
    policy = OraclePolicy(env)
    batch = Sampler(env).forward(policy, 16, exploration=LOUD, generator=generator(seed))
    assert len(batch.final_states.grid.unique()) > 1
    terms = evaluate(env, policy, batch, Needs(log_flow=True))
    assert target.log_z is not None
    for objective in (TrajectoryBalance(target.log_z), DetailedBalance(), SubTrajectoryBalance()):
        assert float(objective.residual(terms).abs().max()) < 1e-8
    back = Sampler(env).backward(policy, batch.final_states, generator=generator(seed))
    terms = evaluate(env, policy, back, Needs(log_flow=True))
    assert float(DetailedBalance().residual(terms).abs().max()) < 1e-8


@torch.no_grad()
def test_forward_looking_flows_are_plain_flows_in_other_words() -> None:
    """D6: the head is log F* less the interpolation, and the end is log R."""
    env = Diffusion(gaussian(2, 3), Brownian(2.0), 7, log_variance_range=8.0)
    oracle = OraclePolicy(env)
    batch = Sampler(env).forward(oracle, 5, exploration=LOUD, generator=generator(0))
    plain = evaluate(env, oracle, batch, Needs(log_flow=True))
    looking = evaluate(env, Looking(oracle), batch, Needs(log_flow=True, energy=True))
    assert plain.log_flow is not None
    assert looking.log_flow is not None
    torch.testing.assert_close(looking.log_flow, plain.log_flow)
    torch.testing.assert_close(looking.log_flow[:, -1], batch.log_reward)
    objective = ForwardLookingSubTrajectoryBalance(0.9)
    assert float(objective.residual(looking).abs().max()) < 1e-8
    assert float(objective.residual(evaluate(env, oracle, batch, objective.needs)).abs().max()) > 1


def test_flows_look_forward_from_the_process_to_the_target() -> None:
    env = Diffusion(gaussian(2, 1), Brownian(2.0), 4)
    x = torch.tensor([[0.3, -1.0]])
    grid = torch.zeros(1, dtype=torch.int64)
    at = DiffusionState(x, torch.tensor([1]), grid)
    base = gaussian_log_prob(x, torch.zeros(2), torch.tensor([[0.5]]))
    expected = 0.75 * base + 0.25 * env.target.log_density(x)
    torch.testing.assert_close(env.partial_log_reward(at), expected)
    source = env.initial(1)  # read at the floor, the first step of the grid
    base = gaussian_log_prob(source.x, torch.zeros(2), torch.tensor([[0.5]]))
    torch.testing.assert_close(env.partial_log_reward(source), base)


@given(st.integers(1, 4), st.integers(1, 24), st.floats(0.2, 6), seeds)
@torch.no_grad()
def test_constant_drift_is_exact_where_variances_agree(
    dim: int, steps: int, sigma2: float, seed: int
) -> None:
    """D2: fixed variance, a network of zeros with bias m."""
    target = gaussian(dim, seed, variance=sigma2)
    assert target.log_z is not None
    env = Diffusion(target, Brownian(sigma2), steps)
    policy = DiffusionPolicy(env, width=8, log_flow=False)
    with torch.no_grad():
        policy.drift.last.bias.copy_(target.mean)
    sampler = Sampler(env)
    batch = sampler.forward(policy, 8, generator=generator(seed))
    terms = evaluate(env, policy, batch)
    torch.testing.assert_close(terms.log_weight, torch.full((8,), target.log_z))
    assert float(LogPartitionVariance()(terms)) < 1e-16
    assert abs(float(elbo(terms)) - target.log_z) < 1e-8
    assert abs(float(importance_log_z(terms)) - target.log_z) < 1e-8
    assert abs(float(effective_sample_size(terms)) - 8) < 1e-6
    objects = env.objects(target.sample(8, generator(seed)))
    back = evaluate(env, policy, sampler.backward(policy, objects, generator=generator(seed)))
    assert abs(float(eubo(back)) - target.log_z) < 1e-8


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("steps", [20, 50])
def test_the_gap_of_the_fixed_variance_falls_as_one_over_steps(steps: int) -> None:
    """D8 on 25 Gaussians; matching the variance leaves less than a tenth of it at T >= 50."""

    def gap(number: int, spread: float) -> float:
        env = Diffusion(gmm25(), Brownian(5.0), number, log_variance_range=spread)
        policy = OraclePolicy(env)
        batch = Sampler(env).forward(policy, 3000, generator=generator(number))
        return -float(elbo(evaluate(env, policy, batch)))

    coarse, fine = gap(steps, 0.0), gap(2 * steps, 0.0)
    assert 1.6 < coarse / fine < 2.6
    if steps >= 50:
        assert gap(steps, 8.0) < coarse / 10


@pytest.mark.slow
@torch.no_grad()
def test_bounds_bracket_log_z_off_the_optimum() -> None:
    """D7: oracle drifts disturbed by noise that depends on the point alone."""
    env = Diffusion(gmm25(), Brownian(5.0), 20, log_variance_range=8.0)

    class Disturbed(OraclePolicy):
        def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
            out = super().forward(env, states)
            bump = torch.zeros_like(out.forward_logits)
            bump[:, :2] = 0.5 * torch.sin(3 * states.x)
            return PolicyOutput(out.forward_logits + bump)

    policy, sampler = Disturbed(env), Sampler(env)
    ahead = evaluate(env, policy, sampler.forward(policy, 2000, generator=generator(0)))
    exact = env.objects(env.target.sample(2000, generator(1)))
    back = evaluate(env, policy, sampler.backward(policy, exact, generator=generator(2)))

    def error(terms: FlowTerms) -> float:
        return float(terms.log_weight.std()) / math.sqrt(len(terms.log_weight))

    low, high = float(elbo(ahead)), float(eubo(back))
    assert low < float(importance_log_z(ahead)) + 1e-9
    assert low + 4 * error(ahead) < 0 < high - 4 * error(back)
    assert 1 < float(effective_sample_size(ahead)) < 2000


@pytest.mark.slow
@torch.no_grad()
def test_sub_trajectory_weights_specialise() -> None:
    """D5: one step long is DB, whole is TB, lam = 1 is even; long chains stay finite."""
    terms, *_ = exact_terms(2, 9, 1.0, 4)
    assert terms.log_flow is not None
    noisy = terms.log_flow + torch.randn(terms.log_flow.shape, generator=generator(1))
    noisy[:, -1] = terms.log_reward
    terms = FlowTerms(**{**vars(terms), "log_flow": noisy})
    short = SubTrajectoryBalance(0.5, "db")(terms)
    torch.testing.assert_close(short, DetailedBalance()(terms))
    whole = SubTrajectoryBalance(0.5, "tb")(terms)
    expected = (noisy[:, 0] - terms.log_weight).square().mean()
    torch.testing.assert_close(whole, expected)
    even = SubTrajectoryBalance(1.0).weight(terms)
    torch.testing.assert_close(even[even > 0], even[even > 0][:1].expand(int((even > 0).sum())))
    terms, *_ = exact_terms(1, 1000, 1.0, 4)
    long = SubTrajectoryBalance(2.0)
    torch.testing.assert_close(long.weight(terms).sum(), torch.tensor(1.0))
    assert float(long(terms)) < 1e-12


def test_vargrad_is_trajectory_balance_at_its_best_log_z() -> None:
    """D4: the same gradient as TB with log Z set to the mean log-weight, held fixed."""
    env = Diffusion(gmm25(), Brownian(5.0), 5)
    policy = DiffusionPolicy(env, width=8, generator=generator(0))
    torch.nn.init.normal_(policy.drift.last.weight, 0, 0.3, generator=generator(1))
    batch = Sampler(env).forward(policy, 12, generator=generator(2))

    def gradient(loss: Tensor) -> Tensor:
        found = torch.autograd.grad(loss, list(policy.drift.parameters()))
        return torch.cat([g.flatten() for g in found])

    terms = evaluate(env, policy, batch)
    balance = TrajectoryBalance(float(terms.log_weight.detach().mean()))
    torch.testing.assert_close(
        gradient(LogPartitionVariance()(terms)), gradient(balance(evaluate(env, policy, batch)))
    )


# ------------------------------------------------------------------ sampler and evaluation


def test_noise_changes_what_is_drawn_and_not_what_it_weighs() -> None:
    env = Diffusion(gmm25(), Brownian(5.0), 20)
    policy = DiffusionPolicy(env, width=8, generator=generator(0))
    sampler = Sampler(env)
    calm = sampler.forward(policy, 4000, generator=generator(1)).final_states.x
    loud = sampler.forward(policy, 4000, exploration=LOUD, generator=generator(1)).final_states.x
    expected = 5.0 + 20 * LOUD.noise**2
    torch.testing.assert_close(calm.var(0), torch.full((2,), 5.0), atol=0.5, rtol=0)
    torch.testing.assert_close(loud.var(0), torch.full((2,), expected), atol=1.5, rtol=0)
    batch = sampler.forward(policy, 3, exploration=LOUD, generator=generator(2))
    x = batch.states.x.view(21, 3, 2)
    by_hand = gaussian_log_prob(x[1:], x[:-1], torch.tensor([5.0 / 20])).T
    torch.testing.assert_close(evaluate(env, policy, batch).log_pf, by_hand)


def test_resumed_and_cut_trajectories_weigh_as_whole_ones() -> None:
    env = Diffusion(gmm25(), Brownian(5.0), 12, log_variance_range=2.0)
    policy = DiffusionPolicy(env, width=8, log_flow=True, generator=generator(0))
    torch.nn.init.normal_(policy.drift.last.weight, 0, 0.3, generator=generator(1))
    sampler = Sampler(env)
    batch = sampler.forward(policy, 6, generator=generator(2))
    keep = torch.tensor([0, 3, 12, 7, 11, 5])
    again = sampler.resume(policy, batch, keep, generator=generator(3))
    for row, kept in enumerate(keep.tolist()):
        old = batch.states_at(kept).x[row]
        torch.testing.assert_close(again.states_at(kept).x[row], old)
        assert bool((again.final_states.x[row] != batch.final_states.x[row]).any()) == (kept < 12)
    needs = Needs(log_flow=True)
    parts = evaluate(env, policy, again, needs)
    alone = [evaluate(env, policy, again.select(torch.tensor([row])), needs) for row in range(6)]
    torch.testing.assert_close(parts.log_pf, torch.cat([t.log_pf for t in alone]))
    torch.testing.assert_close(parts.log_pb, torch.cat([t.log_pb for t in alone]))
    cut = sampler.forward(policy, 5, limit=4, generator=generator(4))
    assert cut.complete is not None
    assert not bool(cut.complete.any())
    terms = evaluate(env, policy, cut, needs)
    assert terms.log_pf.shape == (5, 4)
    assert bool((terms.log_flow[:, -1] != 0).all())  # type: ignore[index]


def test_rollouts_with_a_memory_follow_the_same_law() -> None:
    """Times embedded once per rollout or anew at every step: the same numbers."""
    env = Diffusion(gmm25(), Brownian(5.0), 6)
    policy = DiffusionPolicy(env, width=8, langevin=True, generator=generator(0))
    torch.nn.init.normal_(policy.drift.last.weight, 0, 0.3, generator=generator(1))
    sampler = Sampler(env)
    quick = sampler.forward(policy, 5, generator=generator(2))
    policy.begin = lambda *_: None  # type: ignore[method-assign]
    slow = sampler.forward(policy, 5, generator=generator(2))
    torch.testing.assert_close(quick.final_states.x, slow.final_states.x)


@given(seeds)
@settings(max_examples=10)
def test_rotations_leave_the_weight_of_an_isotropic_target(seed: int) -> None:
    """D18: a drift along x, the same for all directions."""
    env = Diffusion(Gaussian([0.0, 0.0, 0.0], 2.0), Brownian(1.3), 6, log_variance_range=4.0)

    class Radial(Policy):
        backward = "uniform"

        def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
            size = states.x.norm(dim=-1, keepdim=True)
            return PolicyOutput(torch.cat([states.x * size.cos(), size.sin().expand(-1, 3)], -1))

    policy = Radial()
    batch = Sampler(env).forward(policy, 5, generator=generator(seed))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator(seed)))[0]
    s = batch.states
    turned = type(batch)(**{**vars(batch), "states": DiffusionState(s.x @ turn.T, s.step, s.grid)})
    before, after = evaluate(env, policy, batch), evaluate(env, policy, turned)
    torch.testing.assert_close(before.log_weight, after.log_weight)


def test_a_grid_of_points_ties_densities_to_numbered_actions() -> None:
    """D17: Bayes' rule on a fine grid gives kernels whose balance is exact, as sums."""
    target, sigma2, steps = gmm25(), 5.0, 4
    line = torch.linspace(-14, 14, 561)
    width = float(line[1] - line[0])
    end = target.log_density(torch.stack([line, torch.zeros_like(line)], -1)).softmax(0)
    process = Brownian(sigma2)
    times = uniform_grid(steps)[0]
    log_law = end.log()  # (X,) marginal at time u
    log_z = 0.0
    path = torch.full((1,), len(line) // 3)
    total = torch.zeros(())
    for k in range(steps - 1, 0, -1):
        c, w = process.backward(times[k], times[k + 1])
        back = gaussian_log_prob(
            line[None, :, None], c * line[:, None, None], w.view(1, 1, 1)
        ).log_softmax(1)  # (to, from)
        joint = log_law[:, None] + back
        before = joint.logsumexp(0)
        ahead = joint - before[None]  # log P_F(to | from) by Bayes' rule
        at = torch.randint(len(line), (1,), generator=generator(k))
        residual = before[at] + ahead[path, at] - log_law[path] - back[path, at]
        assert float(residual.abs()) < 1e-10
        total = total + back[path, at] - ahead[path, at]
        path, log_law = at, before
    trajectory = log_z + log_law[path] - total - end.log()[len(line) // 3]
    assert float(trajectory.abs()) < 1e-10
    assert width < 0.06


# ------------------------------------------------------------------ refusals


def test_grids_are_checked() -> None:
    with pytest.raises(ConfigError, match="rise strictly from 0 to 1; grid 0 starts with 0, 0.5"):
        check_grid(torch.tensor([0.0, 0.5, 0.4, 1.0]))
    with pytest.raises(ConfigError, match=r"must be \(T \+ 1,\)"):
        check_grid(torch.zeros(1))
    even = random_grids(10, 200, evenness=50.0)
    assert float((even.diff(dim=1) - 0.1).abs().mean()) < 0.02
    assert bool((check_grid(even) == even).all())


def test_worlds_with_densities_refuse_what_they_cannot_do() -> None:
    env = Diffusion(gaussian(2, 0), Brownian(1.0), 3)
    policy, sampler = DiffusionPolicy(env, width=8), Sampler(env)
    with pytest.raises(IncompatibleError, match="cannot explore by epsilon.*It takes noise"):
        sampler.forward(policy, 2, exploration=Exploration(epsilon=0.1))
    batch = sampler.forward(policy, 2)
    with pytest.raises(IncompatibleError, match="reads edge flows"):
        evaluate(env, policy, batch, Needs(edge_flow=True))
    with pytest.raises(IncompatibleError, match="replay_rebuild='backward'"):
        sampler.along(batch.actions, batch.length)
    with pytest.raises(ConfigError, match=r"points \(B, 2\), got \(4, 3\)"):
        env.objects(torch.zeros(4, 3))

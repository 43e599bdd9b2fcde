import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow.envs.targets import Gaussian, GaussianMixture, ManyWell, Target, gmm25
from gflow.errors import ConfigError, ShapeError
from gflow.mcmc import Chains, hmc, mala
from gflow.mcmc.chains import adapted, draw_acceptance, look
from gflow.mcmc.hamiltonian import hamiltonian_kernel, leapfrog
from gflow.mcmc.langevin import langevin_log_ratio

SAMPLERS = pytest.mark.parametrize("sampler", [mala, hmc])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture(seed: int, dim: int) -> GaussianMixture:
    generator = seeded(seed)
    return GaussianMixture(
        2 * torch.randn(3, dim, generator=generator),
        torch.rand(3, dim, generator=generator) + 0.2,
    )


def log_proposal(target: Target, x: Tensor, y: Tensor, h: float) -> Tensor:
    """log q(y | x), by torch's own normal law."""
    law = torch.distributions.Normal(x + h * target.score(x), math.sqrt(2 * h))
    each: Tensor = law.log_prob(y)
    return each.sum(-1)


@given(seed=st.integers(0, 10**6), dim=st.integers(1, 4), h=st.floats(1e-3, 2))
def test_langevin_moves_balance_in_detail(seed: int, dim: int, h: float) -> None:
    """log R(x) + log q(y | x) + log a(x, y) is the same read from either end."""
    target = mixture(seed, dim)
    x, y = 2 * torch.randn(2, 16, dim, generator=seeded(seed + 1))
    here, there = (look(target.log_density, target.score, point) for point in (x, y))

    def flow(a: Tensor, b: Tensor, ratio: Tensor) -> Tensor:
        return target.log_density(a) + log_proposal(target, a, b, h) + ratio.clamp(max=0)

    forth = flow(x, y, langevin_log_ratio(here, there, h))
    back = flow(y, x, langevin_log_ratio(there, here, h))
    torch.testing.assert_close(forth, back, rtol=1e-9, atol=1e-9)


@given(
    seed=st.integers(0, 10**6),
    dim=st.integers(1, 4),
    count=st.integers(1, 12),
    step=st.floats(0.01, 0.5),
)
def test_leapfrog_comes_back_and_keeps_volume(seed: int, dim: int, count: int, step: float) -> None:
    target = mixture(seed, dim)
    x, momentum = torch.randn(2, 5, dim, generator=seeded(seed))
    there, after, slope = leapfrog(target.score, x, momentum, target.score(x), step, count)
    again, before, _ = leapfrog(target.score, there, -after, slope, step, count)
    torch.testing.assert_close(again, x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(-before, momentum, rtol=1e-7, atol=1e-7)

    def flow(both: Tensor) -> Tensor:
        point, speed = both.chunk(2)
        return torch.cat(leapfrog(target.score, point, speed, target.score(point), step, count)[:2])

    both, small = torch.cat([x[0], momentum[0]]), 1e-5
    shift = small * torch.eye(2 * dim)
    columns = [(flow(both + e) - flow(both - e)) / (2 * small) for e in shift]
    assert float(torch.stack(columns).det()) == pytest.approx(1.0, abs=1e-5)


@given(seed=st.integers(0, 10**6), step=st.floats(0.05, 1))
def test_one_leapfrog_step_is_the_langevin_move(seed: int, step: float) -> None:
    """Step e against h = e^2 / 2: the same proposal and the same ratio."""
    target = mixture(seed, 2)
    place = look(target.log_density, target.score, torch.randn(6, 2, generator=seeded(seed)))
    kernel = hamiltonian_kernel(target.log_density, target.score, 1, seeded(seed))
    proposal, log_ratio = kernel(place, torch.tensor(step))
    noise = torch.randn(6, 2, generator=seeded(seed))
    h = step**2 / 2
    torch.testing.assert_close(proposal.x, place.x + h * place.score + math.sqrt(2 * h) * noise)
    torch.testing.assert_close(log_ratio, langevin_log_ratio(place, proposal, h))


@SAMPLERS
@pytest.mark.parametrize("step_size", [0.3, 1.1])
def test_exact_draws_stay_exact(sampler: type, step_size: float) -> None:
    """Moments of a Gaussian and the weights of a mixture, after steps that reject often."""
    target = Gaussian([1.0, -2.0], variance=[0.5, 2.0])
    start = target.sample(20_000, seeded(1))
    extra = {"leapfrog_steps": 3} if sampler is hmc else {}
    end = sampler(
        target.log_density, target.score, start, steps=6, burn_in=0, step_size=step_size,
        generator=seeded(2), **extra,
    )  # fmt: skip
    assert 0.2 < float(end.acceptance) < 0.995
    unit = (end.final - target.mean) / target.variance.sqrt()
    assert unit.mean(0).abs().max() < 4 / 20_000**0.5
    assert (unit.T @ unit / 20_000 - torch.eye(2)).abs().max() < 4.5 * (2 / 20_000) ** 0.5
    assert (unit**4).mean() == pytest.approx(3, abs=4 * (96 / 40_000) ** 0.5)
    assert not torch.equal(end.final, start)


@SAMPLERS
def test_chains_find_a_target_from_elsewhere(sampler: type) -> None:
    target = Gaussian([3.0, 0.0], variance=[1.0, 0.1], log_constant=5.0)
    end = sampler(
        target.log_density, target.score, torch.zeros(4000, 2), steps=150, burn_in=60,
        step_size=0.05, generator=seeded(3),
    )  # fmt: skip
    assert bool(
        ((end.final.mean(0) - target.mean).abs() < 5 * (target.variance / 4000).sqrt()).all()
    )
    torch.testing.assert_close(end.final.var(0), target.variance, rtol=0.12, atol=0)


@SAMPLERS
def test_small_steps_are_all_accepted(sampler: type) -> None:
    target = gmm25()
    start = target.sample(2000, seeded(4))
    rates = [
        float(
            sampler(
                target.log_density, target.score, start, steps=5, burn_in=0, step_size=size,
                generator=seeded(5),
            ).acceptance
        )
        for size in (1.5, 0.3, 0.02, 1e-4)
    ]  # fmt: skip
    assert rates == sorted(rates)
    assert rates[0] < 0.9
    assert rates[-1] > 0.999


@SAMPLERS
@pytest.mark.parametrize("step_size", [1e-3, 30.0])
@pytest.mark.parametrize("wanted", [0.5, 0.75])
def test_adaptation_reaches_the_wanted_rate_from_both_sides(
    sampler: type, step_size: float, wanted: float
) -> None:
    target = Gaussian([0.0] * 20, torch.linspace(0.2, 1, 20))
    end = sampler(
        target.log_density, target.score, target.sample(400, seeded(6)), steps=200, burn_in=120,
        step_size=step_size, target_acceptance=wanted, generator=seeded(7),
    )  # fmt: skip
    assert float(end.acceptance) == pytest.approx(wanted, abs=0.08)
    assert float(end.step_size) > 0


def test_step_size_is_fixed_after_adaptation_and_never_zero() -> None:
    target = gmm25()
    start = target.sample(50, seeded(8))

    def run(**extra: Any) -> Chains:
        return mala(target.log_density, target.score, start, generator=seeded(9), **extra)

    assert float(run(steps=20, burn_in=10, adapt_steps=0, step_size=0.3).step_size) == 0.3
    all_along = run(steps=20, burn_in=10, adapt_steps=20, step_size=1e9)
    fall = 0.574 * sum((1 + k / 10) ** -0.6 for k in range(20))
    torch.testing.assert_close(all_along.step_size, torch.tensor(1e9 * math.exp(-fall)))
    step = torch.tensor(0.5)
    for _ in range(3000):
        step = adapted(step, torch.zeros(4, dtype=torch.bool), 0.5, 1.0)
    assert float(step) > 0
    assert float(adapted(step, torch.ones(4, dtype=torch.bool), 0.5, 1.0)) > float(step)


@SAMPLERS
def test_nothing_of_the_caller_is_changed(sampler: type) -> None:
    target = gmm25()
    start = target.sample(20, seeded(10)).requires_grad_()
    before, state = start.detach().clone(), torch.get_rng_state()
    end = sampler(target.log_density, target.score, start, steps=10, burn_in=2, generator=seeded(1))
    assert torch.equal(start, before)
    assert start.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert not end.final.requires_grad
    assert not end.accepted.requires_grad
    again = sampler(
        target.log_density, target.score, before, steps=10, burn_in=2, generator=seeded(1)
    )
    assert torch.equal(end.final, again.final)
    end.final.zero_()
    assert torch.equal(start, before)


@SAMPLERS
@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_accepted_proposals_come_apart_from_the_chains(sampler: type, beta: float) -> None:
    target = ManyWell(2)
    start = torch.zeros(64, 2)
    end = sampler(
        target.log_density, target.score, start, steps=40, burn_in=25,
        inverse_temperature=beta, generator=seeded(11),
    )  # fmt: skip
    number = len(end.accepted)
    assert number == pytest.approx(float(end.acceptance) * 64 * 15)
    assert end.accepted_log_density.shape == end.accepted_chain.shape == (number,)
    # heights are those of the target itself, whatever the temperature
    torch.testing.assert_close(end.accepted_log_density, target.log_density(end.accepted))
    torch.testing.assert_close(end.log_density, target.log_density(end.final))
    # the last accepted of each chain is where it stands
    for chain in end.accepted_chain.unique().tolist():
        last = end.accepted[end.accepted_chain == chain][-1]
        assert torch.equal(last, end.final[chain])


def test_temperature_sharpens() -> None:
    """R^beta of a Gaussian has its variance over beta."""
    target = Gaussian([0.0, 0.0], variance=2.0)
    for beta in (0.5, 5.0):
        end = mala(
            target.log_density, target.score, torch.zeros(4000, 2), step_size=0.5,
            inverse_temperature=beta, generator=seeded(12),
        )  # fmt: skip
        torch.testing.assert_close(end.final.var(0), torch.full((2,), 2 / beta), rtol=0.12, atol=0)


def test_conditional_chains_keep_to_their_condition() -> None:
    centres = torch.tensor([[-5.0], [0.0], [5.0]]).repeat_interleave(100, 0)
    end = mala(
        lambda x: -(x - centres).square().sum(-1) / 2, lambda x: centres - x,
        centres.clone(), step_size=0.5, generator=seeded(13),
    )  # fmt: skip
    assert (end.accepted - centres[end.accepted_chain]).abs().max() < 6
    assert (end.accepted - centres[end.accepted_chain]).std() == pytest.approx(1, abs=0.1)


def test_what_is_not_a_number_is_rejected() -> None:
    ratio = torch.tensor([math.nan, -math.inf, math.inf, 0.0])
    assert draw_acceptance(ratio, seeded()).tolist() == [False, False, True, True]

    def walled(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, -x.square().sum(-1) / 2, math.nan)

    end = mala(walled, torch.neg, torch.ones(200, 1), step_size=0.5, generator=seeded(14))
    assert bool((end.final > 0).all())
    assert bool((end.accepted > 0).all())
    assert end.final.mean() == pytest.approx((2 / math.pi) ** 0.5, abs=0.2)


@SAMPLERS
def test_bad_settings_are_refused(sampler: type) -> None:
    target = gmm25()
    start = torch.zeros(3, 2)
    for text, extra in (
        ("`burn_in` must be at least 0 and below `steps`, got 9 of 9", {"steps": 9, "burn_in": 9}),
        ("`step_size` and", {"step_size": 0.0}),
        ("in \\(0, 1\\)", {"target_acceptance": 1.0}),
        ("must be positive", {"inverse_temperature": -1.0}),
    ):
        with pytest.raises(ConfigError, match=text):
            sampler(target.log_density, target.score, start, **extra)
    with pytest.raises(ShapeError, match=r"must be float \(B, d\), got torch.float64 \(3, 1, 2\)"):
        sampler(target.log_density, target.score, start[:, None])
    with pytest.raises(ConfigError, match="`leapfrog_steps` must be at least 1"):
        hmc(target.log_density, target.score, start, leapfrog_steps=0)

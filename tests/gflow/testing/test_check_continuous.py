"""Every continuous environment of ours keeps the contract, whatever its parameters."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward
from gflow.envs import Box, Cube
from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.process import Brownian, OrnsteinUhlenbeck, Process, random_grids
from gflow.envs.targets.base import Target
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.mixture import GaussianMixture
from gflow.envs.torus.env import Torus
from gflow.envs.torus.targets import Sines, ramachandran
from gflow.testing import check_env
from gflow.testing.continuous.measure_rules import volume

SEEDS = st.integers(0, 10**6)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    return Box(
        delta=draw(st.floats(0.15, 1.0)),
        components=draw(st.integers(1, 3)),
        source_components=draw(st.integers(1, 4)),
        concentrations=(draw(st.floats(1.0, 1.5)), draw(st.floats(1.6, 6.0))),
    )


@st.composite
def cubes(draw: st.DrawFn) -> Cube:
    return Cube(
        draw(st.integers(1, 3)),
        min_step=draw(st.floats(0.08, 0.5)),
        home=draw(st.floats(0.1, 0.9)),
        components=draw(st.integers(1, 3)),
        concentrations=(draw(st.floats(1.0, 1.5)), draw(st.floats(1.6, 6.0))),
    )


@st.composite
def tori(draw: st.DrawFn) -> Torus:
    return Torus(
        draw(st.sampled_from([Sines(), ramachandran()])),
        length=draw(st.integers(1, 4)),
        components=draw(st.integers(1, 3)),
        min_concentration=draw(st.floats(0.0, 8.0)),
    )


@st.composite
def targets(draw: st.DrawFn) -> Target:
    dim = draw(st.integers(1, 3))
    if draw(st.booleans()):
        return Gaussian(torch.zeros(dim), draw(st.floats(0.3, 2.0)))
    modes = torch.tensor(
        draw(
            st.lists(st.lists(st.floats(-2, 2), min_size=dim, max_size=dim), min_size=1, max_size=3)
        )
    )
    return GaussianMixture(modes, draw(st.floats(0.3, 1.0)))


@st.composite
def processes(draw: st.DrawFn) -> Process:
    if draw(st.booleans()):
        return Brownian(draw(st.floats(0.5, 9.0)))
    scheme: Any = draw(st.sampled_from(["exponential", "euler"]))
    beta_1 = draw(st.floats(0.5, 3.0))
    return OrnsteinUhlenbeck(draw(st.floats(0.5, 3.0)), 0.05, beta_1, scheme)


@st.composite
def diffusions(draw: st.DrawFn) -> Diffusion:
    steps = draw(st.integers(4, 12))
    grids = draw(st.integers(1, 3))
    return Diffusion(
        draw(targets()),
        draw(processes()),
        steps if grids == 1 else random_grids(steps, grids, draw(SEEDS), evenness=20.0),
        log_variance_range=draw(st.sampled_from([0.0, 0.5, 1.5])),
        backward_range=draw(st.sampled_from([0.0, 0.3])),
    )


@st.composite
def annealed(draw: st.DrawFn) -> AnnealedLangevin:
    return AnnealedLangevin(
        draw(targets()),
        draw(st.floats(0.5, 4.0)),
        draw(st.integers(2, 8)),
        rate=draw(st.floats(0.3, 2.0)),
        end_rate=draw(st.floats(0.3, 2.0)),
        power=draw(st.floats(0.5, 2.0)),
    )


@pytest.mark.slow
@settings(max_examples=2)
@given(env=boxes(), seed=SEEDS)
def test_boxes_pass(env: Box, seed: int) -> None:
    checked = check_env(env, seed=seed)
    assert not checked.exhaustive
    assert 1 < checked.longest <= env.horizon


@pytest.mark.slow
@settings(max_examples=2)
@given(env=cubes(), seed=SEEDS)
def test_cubes_pass(env: Cube, seed: int) -> None:
    assert 1 < check_env(env, seed=seed).longest <= env.horizon


@pytest.mark.slow
@settings(max_examples=4)
@given(env=tori(), seed=SEEDS)
def test_tori_pass(env: Torus, seed: int) -> None:
    assert check_env(env, seed=seed).longest == env.horizon


@pytest.mark.slow
@settings(max_examples=2)
@given(env=diffusions(), seed=SEEDS)
def test_diffusions_pass(env: Diffusion, seed: int) -> None:
    assert check_env(env, seed=seed).longest == env.horizon


@pytest.mark.slow
@settings(max_examples=2)
@given(env=annealed(), seed=SEEDS)
def test_annealed_langevin_passes(env: AnnealedLangevin, seed: int) -> None:
    assert check_env(env, seed=seed).longest == env.horizon


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_either_precision_will_do(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    check_env(Box())
    check_env(Diffusion(GaussianMixture(torch.tensor([[1.0, 0.0]]), 0.5), Brownian(2.0), 4))


@pytest.mark.slow
def test_many_dimensions_are_checked_as_far_as_they_can_be() -> None:
    check_env(Cube(8, min_step=0.3))
    check_env(Diffusion(Gaussian(torch.zeros(20), 1.0), Brownian(2.0), 5))


@pytest.mark.slow
def test_conditions_reach_sources_and_rewards() -> None:
    env = Box(FunctionReward(lambda x: x.sum(-1)))
    env.condition_dim = 2

    class Reading(FunctionReward[Tensor]):
        def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
            assert condition is not None
            return states.sum(-1) * condition[:, 1]

    env.reward = Reading(len)
    check_env(env, condition=torch.tensor([[1.0, 2.0]]))


@pytest.mark.parametrize("seed", range(3))
def test_the_volume_of_balls_is_what_densities_say(seed: int) -> None:
    """Known laws on a line, a disk's border, an area and a volume, and the factor that is off."""
    generator = torch.Generator().manual_seed(seed)
    count = 4000
    normal = torch.randn(count, 3, generator=generator)
    for size in (1, 2, 3):
        scale = torch.tensor([1.0, 0.01, 30.0])[:size]
        log_prob = (-normal[:, :size].square() / 2 - math.log(2 * math.pi) / 2 - scale.log()).sum(
            -1
        )
        found = volume(normal[:, :size] * scale, log_prob - math.log(2), count, generator)
        assert found is not None
        assert found[:2] == (size, True)
        assert found[2] == pytest.approx(math.log(2), abs=0.08)
        assert abs(found[4]) < 0.15
    angle = 2 * torch.rand(count, generator=generator)
    circle = torch.stack([3 * angle.cos(), 3 * angle.sin()], -1)
    found = volume(circle, torch.full((count,), -math.log(6)), count, generator)
    assert found is not None
    assert found[:2] == (1, False)
    assert found[2] == pytest.approx(0.0, abs=0.08)

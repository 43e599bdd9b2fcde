"""Temperatures as conditions: their draws, their code, and the environments that read them."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.conditions.draws import ConditionSampler, TableCondition, UniformCondition
from gflow.conditions.temperature import Temperature
from gflow.conditions.temperatures import BesideOwn, GammaBeta, LogUniformCondition
from gflow.conditions.thermometer import MarksBeside, Thermometer
from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import erdos_renyi
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.tempered import TemperedTarget
from gflow.envs.targets.vae import VAEPosterior
from gflow.envs.torus.env import Torus
from gflow.envs.torus.targets import Sines
from gflow.errors import ConfigError, IncompatibleError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------- draws


def test_log_uniform_draws_give_every_ratio_its_share() -> None:
    value = LogUniformCondition(0.25, 4.0)(10_000, seeded())
    assert bool(((value >= 0.25) & (value <= 4.0)).all())
    counts = torch.histc(value.log(), 10, math.log(0.25), math.log(4.0))
    assert ((counts - 1000) ** 2 / 1000).sum() < 33.7  # chi-square, 9 degrees, 1 in 10 000
    probes = LogUniformCondition(0.25, 4.0).probes(5)
    torch.testing.assert_close(probes.flatten(), torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0]))
    assert LogUniformCondition(2.0, 2.0)(3).tolist() == [[2.0]] * 3
    assert LogUniformCondition(2.0, 2.0).probes(5).flatten().tolist() == pytest.approx([2.0])


@given(count=st.integers(1, 9), repeat=st.integers(1, 4))
def test_gamma_draws_are_repeated(count: int, repeat: int) -> None:
    value = GammaBeta(4.0, 0.5, repeat)(count, seeded())
    assert value.shape == (count, 1)
    assert len(value.unique()) == max(1, count // repeat)
    assert len(value.unique_consecutive()) == max(1, count // repeat)


@pytest.mark.parametrize(
    "draw",
    [UniformCondition(0, 3), LogUniformCondition(1, 3), GammaBeta(), TableCondition(torch.eye(3))],
)
def test_probes_are_always_the_same_and_all_different(draw: ConditionSampler) -> None:
    before = torch.get_rng_state()
    probes = draw.probes(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(probes, draw.probes(3))
    assert len(probes) == len(probes.unique(dim=0)) <= 3


def test_a_temperature_beside_what_is_told_already() -> None:
    """Trajectories in a row that are told the same have the same temperature too."""
    table = torch.arange(60.0).view(30, 2)
    draw = BesideOwn(TableCondition(table, repeat=3), UniformCondition(0, 1))
    value = draw(12, seeded())
    assert value.shape == (12, 3)
    groups = value.view(4, 3, 3)
    assert bool((groups == groups[:, :1]).all())
    assert len(value[:, 2].unique()) == 4
    assert bool((value[:, :2].unsqueeze(1) == table).all(-1).any(1).all())
    saved: Any = draw.state_dict()
    draw.load_state_dict(saved)


# ---------------------------------------------------------------------- codes


def test_the_thermometer_spans_what_is_drawn() -> None:
    """From 0 to the largest beta; to the 95 % quantile of a Gamma; by ratios for log-uniform."""
    uniform = Temperature(low=0.5, high=32.0).thermometer()
    assert uniform(torch.tensor([[0.0], [32.0]])).sum(1).tolist() == [0.0, 31.0]
    assert uniform.out_features == 32
    gamma = Temperature("gamma", shape=16.0, scale=0.5).thermometer()
    upper = torch.distributions.Gamma(16.0, 2.0).cdf(torch.tensor(gamma.gap * 31))
    assert float(upper) == pytest.approx(0.95, abs=1e-6)
    ratios = Temperature("log_uniform", low=0.25, high=4.0, marks=5).thermometer()
    marks = ratios(torch.tensor([[0.25], [0.5], [1.0], [4.0]]))
    torch.testing.assert_close(marks.sum(1), torch.tensor([0.0, 1.0, 2.0, 4.0]))
    constant = Temperature("log_uniform", low=2.0, high=2.0).thermometer()
    assert float(constant(torch.tensor([[2.0]])).sum()) == 31.0


@pytest.mark.parametrize(
    "build",
    [
        lambda: Temperature(low=3.0, high=2.0),
        lambda: Temperature(low=0.0),
        lambda: Temperature(marks=1),
        lambda: Temperature(draw="normal"),  # type: ignore[arg-type]
        lambda: Temperature(reads="both"),  # type: ignore[arg-type]
        lambda: LogUniformCondition(0.0, 1.0),
        lambda: GammaBeta(repeat=0),
        lambda: Thermometer(0.0, 1.0, ratios=True),
    ],
)
def test_nonsense_is_refused(build: Any) -> None:
    with pytest.raises(ConfigError):
        build()


# ---------------------------------------------------------------------- environments


@pytest.mark.slow
def test_densities_are_tempered_with_their_scores() -> None:
    base = Gaussian([1.0, -1.0], variance=2.0, log_constant=1.0)
    target = TemperedTarget(base)
    x, beta = torch.randn(4, 2, generator=seeded()), torch.tensor([[0.5], [1.0], [2.0], [3.0]])
    wanted = beta[:, 0] * base.log_density(x)
    torch.testing.assert_close(target.log_density(x, beta), wanted)
    torch.testing.assert_close(target.score(x, beta), beta * base.score(x))
    assert (target.condition_dim, target.log_z, target.has_samples) == (1, None, False)
    with pytest.raises(ConfigError, match=r"conditions \(..., 1\) that end with an inverse"):
        target.log_density(x)
    vae = TemperedTarget(VAEPosterior())
    images = VAEPosterior().test_images[:2].to(torch.float64)
    codes = torch.randn(2, vae.dim, generator=seeded())
    told = torch.cat([images, torch.tensor([[0.5], [2.0]])], 1)
    one = VAEPosterior().log_density(codes, images)
    torch.testing.assert_close(vae.log_density(codes, told), torch.tensor([0.5, 2.0]) * one)


@pytest.mark.parametrize(
    "plain",
    [
        Diffusion(Gaussian([1.0, -1.0]), times=4),
        AnnealedLangevin(Gaussian([1.0, -1.0]), 4),
        Torus(Sines(), 3, 2),
        HyperGrid(2, 3),
    ],
    ids=lambda env: env.name,
)
def test_environments_forget_what_they_know_of_one_temperature(plain: Any) -> None:
    env = Temperature(low=0.5, high=2.0).applied(plain)
    assert env is not plain
    assert isinstance(env, type(plain))
    assert (plain.condition_dim, env.condition_dim) == (0, 1)
    assert env.log_partition() is None
    assert not env.has_exact_objects
    assert isinstance(env.condition_encoder(), Thermometer)
    assert plain.condition_encoder() is None


def test_energies_of_unfinished_objects_are_tempered_too() -> None:
    for plain in (
        Diffusion(Gaussian([1.0, -1.0]), times=4), AnnealedLangevin(Gaussian([1.0, -1.0]), 4),
    ):  # fmt: skip
        env: Any = Temperature(low=0.5, high=2.0).applied(plain)
        objects = env.objects(torch.randn(3, 2, generator=seeded()))
        beta = torch.tensor([[0.5], [1.0], [2.0]])
        wanted = beta[:, 0] * plain.log_reward(objects)
        torch.testing.assert_close(env.log_reward(objects, beta), wanted)
        torch.testing.assert_close(env.partial_log_reward(objects, beta), wanted)


def test_what_is_told_already_stays_in_front() -> None:
    told = Temperature(low=0.5, high=2.0)
    env = told.applied(Diffusion(VAEPosterior(), times=3))
    assert env.condition_dim == 65
    code = env.condition_encoder()
    assert isinstance(code, MarksBeside)
    assert code.out_features == 64 + 32
    assert told.reference(env) is None
    graphs = IndependentSet(erdos_renyi(2, 5, 0.5, seeded()))
    with pytest.raises(IncompatibleError, match="starts where its condition says"):
        told.applied(graphs)

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow.envs.targets import Funnel, Gaussian, ManyWell, Target, VAEPosterior, gmm25
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.mcmc import (
    Annealed,
    annealed_importance_sampling,
    systematic_resample,
    tempered_smc,
)

METHODS = pytest.mark.parametrize("method", [annealed_importance_sampling, tempered_smc])
Method = Callable[..., Annealed]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ratios(
    method: Method, target: Target, base: Target, repeats: int, **extra: object
) -> torch.Tensor:
    """(repeats,) estimates of Z, over Z: their mean must be 1."""
    assert target.log_z is not None
    runs = [
        method(target.log_density, target.score, base, generator=seeded(seed), **extra).log_z
        for seed in range(repeats)
    ]
    return (torch.stack(runs) - target.log_z).exp()


def is_one(values: torch.Tensor) -> bool:
    return abs(float(values.mean()) - 1) < 4 * float(values.std()) / math.sqrt(len(values))


@pytest.mark.slow
@METHODS
def test_z_of_a_gaussian_is_unbiased(method: Method) -> None:
    """Few particles and few, bad moves: the weights spread, and their mean is Z all the same."""
    target = Gaussian([2.0, -1.0], variance=[0.3, 1.5], log_constant=3.0)
    base = Gaussian([0.0, 0.0], variance=4.0, log_constant=-1.0)
    values = ratios(method, target, base, 300, count=40, temperatures=6, step_size=0.7, pilot=0)
    assert is_one(values)
    assert 0.02 < float(values.std()) < 0.5


@pytest.mark.slow
@METHODS
def test_z_of_25_components_is_unbiased(method: Method) -> None:
    target, base = gmm25(), Gaussian([0.0, 0.0], 100.0)
    tuned = method(
        target.log_density, target.score, base, count=2, temperatures=30, generator=seeded()
    ).step_size
    values = ratios(method, target, base, 25, count=300, temperatures=30, step_size=tuned, pilot=0)
    assert is_one(values)
    assert float(values.std()) < 0.2


@METHODS
def test_uneven_wells_come_out_with_their_mass(method: Method) -> None:
    target = ManyWell(4)
    found = method(
        target.log_density, target.score, Gaussian([0.0] * 4, 2.0), count=4000,
        temperatures=60, moves=2, generator=seeded(1),
    )  # fmt: skip
    assert float(found.log_z) == pytest.approx(target.log_z, abs=0.1)
    share = found.log_weight.softmax(0)
    minor = (share[:, None] * (found.samples[:, ::2] < 0)).sum(0)
    assert minor.tolist() == pytest.approx([target.minor_probability] * 2, abs=0.05)
    assert found.samples.shape == (4000, 4)
    assert found.acceptance.shape == found.step_size.shape == (60,)


def test_error_bar_of_annealing_is_honest() -> None:
    """The spread of repeated estimates is what each says of itself."""
    target, base = Gaussian([1.0], variance=0.5), Gaussian([0.0], variance=2.0)
    runs = [
        annealed_importance_sampling(
            target.log_density, target.score, base, count=200, temperatures=5, pilot=0,
            step_size=0.5, generator=seeded(seed),
        )
        for seed in range(150)
    ]  # fmt: skip
    spread = float(torch.stack([run.log_z for run in runs]).std())
    said = float(torch.stack([run.standard_error for run in runs]).mean())
    assert spread == pytest.approx(said, rel=0.25)
    for run in runs[:3]:
        mean = run.log_weight.logsumexp(0) - math.log(200)
        torch.testing.assert_close(run.log_z, mean)
        assert 1 < float(run.ess) <= 200


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_resampling_everywhere_or_nearly_never_both_work(share: float) -> None:
    target, base = gmm25(), Gaussian([0.0, 0.0], 100.0)
    values = ratios(
        tempered_smc, target, base, 12, count=200, temperatures=20, step_size=0.5, pilot=0,
        resample_below=share,
    )  # fmt: skip
    assert is_one(values)


def test_resampled_particles_give_no_error_bar() -> None:
    target, base = gmm25(), Gaussian([0.0, 0.0], 100.0)
    run = tempered_smc(
        target.log_density, target.score, base, count=400, resample_below=1.0, generator=seeded()
    )
    assert bool(run.standard_error.isnan())
    assert float(run.ess) > 390


def test_annealing_from_the_target_itself_is_exact() -> None:
    """Equal weights whatever the schedule."""
    target = Gaussian([1.0, 2.0], variance=3.0, log_constant=2.5)
    schedule = torch.tensor([0.0, 0.3, 1.0])
    for method in (annealed_importance_sampling, tempered_smc):
        run = method(
            target.log_density, target.score, target, count=50, temperatures=schedule,
            generator=seeded(),
        )  # fmt: skip
        assert float(run.log_z) == pytest.approx(2.5, abs=1e-12)
        assert float(run.ess) == pytest.approx(50)


@pytest.mark.slow
def test_pilot_tunes_and_is_thrown_away() -> None:
    target, base = gmm25(), Gaussian([0.0, 0.0], 100.0)
    tuned = tempered_smc(
        target.log_density, target.score, base, count=500, temperatures=60, generator=seeded()
    )
    assert tuned.acceptance[20:].mean() == pytest.approx(0.6, abs=0.1)
    assert float(tuned.step_size[-1]) < 0.2 * float(tuned.step_size.max())
    same = tempered_smc(
        target.log_density, target.score, base, count=500, temperatures=60,
        step_size=tuned.step_size, pilot=0, generator=seeded(5),
    )  # fmt: skip
    torch.testing.assert_close(same.step_size, tuned.step_size)
    low = tempered_smc(
        target.log_density,
        target.score,
        base,
        count=50,
        temperatures=20,
        dtype=torch.float32,
        generator=seeded(),
    )
    assert low.samples.dtype == torch.float32
    assert low.log_z.dtype == torch.float64


@pytest.mark.slow
def test_posterior_of_an_image_agrees_with_importance_sampling() -> None:
    """Two estimates of one marginal likelihood that share nothing but the density."""
    vae = VAEPosterior(epochs=3)
    image = vae.test_images[0]
    runs = [
        tempered_smc(
            lambda z: vae.log_density(z, image), lambda z: vae.score(z, image),
            Gaussian([0.0] * 8), count=500, temperatures=40, moves=2, generator=seeded(seed),
        ).log_z
        for seed in range(5)
    ]  # fmt: skip
    exact = float(vae.log_marginal(image[None], 50_000, seeded()))
    spread = float(torch.stack(runs).std())
    assert float(torch.stack(runs).mean()) == pytest.approx(exact, abs=4 * spread / 5**0.5 + 0.02)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 60), spread=st.floats(0, 6))
def test_systematic_counts_are_the_weights_up_to_rounding(
    seed: int, count: int, spread: float
) -> None:
    log_weight = spread * torch.randn(count, generator=seeded(seed)) + 100
    rows = systematic_resample(log_weight, seeded(seed))
    assert rows.shape == (count,)
    assert torch.equal(rows, rows.sort().values)
    expected = count * log_weight.softmax(0)
    times = torch.bincount(rows, minlength=count)
    assert bool((times >= (expected - 1e-9).floor()).all())
    assert bool((times <= (expected + 1e-9).ceil()).all())


def test_systematic_counts_are_right_on_average() -> None:
    log_weight = torch.tensor([0.05, 0.4, 0.25, 0.3]).log()
    generator = seeded()
    rows = torch.stack([systematic_resample(log_weight, generator) for _ in range(4000)])
    share = torch.bincount(rows.flatten(), minlength=4) / rows.numel()
    assert (share - log_weight.exp()).abs().max() < 4 * 0.5 / 4000**0.5 / 2


def test_bad_settings_are_refused() -> None:
    target, base = gmm25(), Gaussian([0.0, 0.0], 100.0)

    def run(**extra: Any) -> None:
        tempered_smc(target.log_density, target.score, extra.pop("base", base), **extra)

    for text, extra in (
        ("count >= 2", {"count": 1}),
        ("at least one temperature, got 0", {"temperatures": 0}),
        ("must rise from 0 to 1", {"temperatures": torch.tensor([0.0, 0.5, 0.5, 1.0])}),
        ("must rise from 0 to 1", {"temperatures": torch.tensor([0.1, 1.0])}),
        (r"one number or \(3,\), got \(2,\)", {"temperatures": 3, "step_size": torch.ones(2)}),
        ("`step_size` must be positive", {"step_size": -1.0}),
        ("`resample_below` must be in", {"resample_below": 0.0}),
        ("`leapfrog_steps` must be at least 1", {"leapfrog_steps": 0}),
    ):
        with pytest.raises(ConfigError, match=text):
            run(**extra)
    unknown = Funnel()
    unknown.log_z = None  # type: ignore[assignment]
    with pytest.raises(IncompatibleError, match="log Z of the base"):
        run(base=unknown)
    with pytest.raises(ConfigError, match="not all zero"):
        systematic_resample(torch.full((3,), -torch.inf))
    with pytest.raises(ConfigError, match="finite weights"):
        systematic_resample(torch.tensor([0.0, torch.nan]))
    with pytest.raises(ShapeError, match="`log_weight` must have shape"):
        systematic_resample(torch.zeros(2, 2))

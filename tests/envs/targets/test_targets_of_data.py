import math
import sys

import pytest
import torch
from torch import Tensor

from gflow.envs.targets import (
    LogGaussianCox,
    LogisticRegression,
    Target,
    VAEPosterior,
    make_target,
)
from gflow.envs.targets.digits_vae import digits, trained_vae
from gflow.errors import ConfigError, IncompatibleError, MissingExtraError, ShapeError
from gflow.mcmc import laplace_importance


def gauss_hermite_log_z(target: Target, start: Tensor, order: int = 14) -> float:
    """log Z by a product rule with nodes laid out around the mode, as wide as it is."""
    mode = laplace_importance(target.log_density, start, draws=2).mode
    hessian = torch.autograd.functional.hessian(target.log_density, mode)
    factor = torch.linalg.cholesky(torch.linalg.inv(-hessian))
    # eigenvectors of the Jacobi matrix of Hermite's polynomials: Golub and Welsch
    beside = torch.diag(torch.arange(1.0, order).sqrt(), 1)
    nodes, vectors = torch.linalg.eigh(beside + beside.T)
    log_weight = 2 * vectors[0].abs().log()
    dim = target.dim
    grid = torch.cartesian_prod(*[nodes] * dim).reshape(-1, dim)
    weights = torch.cartesian_prod(*[log_weight] * dim).reshape(-1, dim).sum(-1)
    log_normal = -(grid.square() + math.log(2 * math.pi)).sum(-1) / 2
    log_volume = float(factor.diagonal().log().sum())
    value = target.log_density(mode + grid @ factor.T) - log_normal + log_volume
    return float((weights + value).logsumexp(0))


def test_whitened_cox_has_the_z_of_the_other() -> None:
    """Two densities of four variables, each integrated around its own mode."""
    white, plain = LogGaussianCox(side=2, whitened=True), LogGaussianCox(side=2)
    assert torch.equal(white.counts, plain.counts)
    first = gauss_hermite_log_z(white, torch.zeros(4))
    second = gauss_hermite_log_z(plain, torch.full((4,), plain.mean))
    assert first == pytest.approx(second, abs=1e-6)
    for target in (white, plain):
        found = target.reference_log_z(20_000, torch.Generator().manual_seed(0))
        assert found.log_z == pytest.approx(first, abs=4 * found.standard_error)
        assert 0 < found.standard_error < 0.02
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    x = plain.mean + z @ plain.root.T
    log_jacobian = float(plain.root.diagonal().log().sum())
    torch.testing.assert_close(white.log_density(z), plain.log_density(x) + log_jacobian)
    torch.testing.assert_close(white.log_intensity(z), plain.log_intensity(x))


def test_cox_prior_and_likelihood_as_defined() -> None:
    counts = torch.tensor([[2, 0], [1, 5]])
    target = LogGaussianCox(side=2, counts=counts)
    places = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    gaps = (places[:, None] - places).norm(dim=-1)
    covariance = 1.91 * (-gaps / (2 / 33)).exp()
    mean = torch.full((4,), math.log(126) - 1.91 / 2)
    prior = torch.distributions.MultivariateNormal(mean, covariance)
    x = mean + torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    poisson = torch.distributions.Poisson(x.exp() / 4).log_prob(counts.flatten().double())
    # without y! and without the constant A^y of the Poisson law
    constant = -torch.lgamma(counts.flatten() + 1.0) + counts.flatten() * math.log(1 / 4)
    likelihood = (poisson - constant).sum(-1)
    torch.testing.assert_close(target.log_density(x), prior.log_prob(x) + likelihood)
    assert target.truth is None


def test_cox_draws_the_right_number_of_points_from_its_seed() -> None:
    totals = torch.stack([LogGaussianCox(side=6, seed=seed).counts.sum() for seed in range(200)])
    assert abs(float(totals.mean()) - 126) < 4 * float(totals.std()) / 200**0.5
    assert torch.equal(LogGaussianCox(side=6, seed=3).counts.sum(), totals[3])
    assert len(totals.unique()) > 50
    with pytest.raises(ConfigError, match="must be 4 numbers of at least 0"):
        LogGaussianCox(side=2, counts=torch.tensor([1.0, 2.0, -1.0, 0.0]))
    with pytest.raises(ConfigError, match=r"got shape \(5,\)"):
        LogGaussianCox(side=2, counts=torch.ones(5))
    with pytest.raises(ConfigError, match="`side` must be at least 1"):
        LogGaussianCox(side=0)


def test_logistic_posterior_of_the_breast_cancer_data() -> None:
    """Figures measured by an independent implementation."""
    target = make_target("logistic")
    assert isinstance(target, LogisticRegression)
    assert target.dim == 31
    assert float(target.log_density(torch.zeros(31))) == pytest.approx(-422.888, abs=1e-3)
    found = target.reference_log_z(4000, torch.Generator().manual_seed(0))
    assert float(target.log_density(found.mode)) == pytest.approx(-66.265, abs=1e-3)
    assert found.laplace == pytest.approx(-55.632, abs=1e-3)
    assert abs(found.log_z - found.laplace) < 1.5
    assert target.score(found.mode).abs().max() < 1e-5


def test_logistic_log_z_agrees_with_quadrature() -> None:
    target = LogisticRegression.synthetic(count=30, dim=2, seed=4)
    line = torch.linspace(-8, 8, 601)
    log_area = 2 * math.log(float(line[1] - line[0]))
    exact = float(target.log_density(torch.cartesian_prod(line, line)).logsumexp(0)) + log_area
    found = target.reference_log_z(20_000, torch.Generator().manual_seed(0))
    assert found.log_z == pytest.approx(exact, abs=4 * found.standard_error)
    assert found.standard_error < 0.01
    assert found.ess > 10_000


def test_logistic_takes_own_data_in_either_marks() -> None:
    features = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    features[:, 1] = 2.0
    labels = features[:, 0] > 0
    marks = [labels, labels.long(), 2 * labels.double() - 1]
    w = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    first, *others = (LogisticRegression(features, m).log_density(w) for m in marks)
    assert first.isfinite().all()
    for other in others:
        torch.testing.assert_close(other, first)
    bare = LogisticRegression(features, labels, standardize=False, intercept=False)
    signs = torch.where(labels, 1.0, -1.0)
    fit = (signs * (w[:, :3] @ features.T)).sigmoid().log().sum(-1)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(w[:, :3]).sum(-1)
    torch.testing.assert_close(bare.log_density(w[:, :3]), fit + prior)
    with pytest.raises(ConfigError, match="0/1 or -1/\\+1"):
        LogisticRegression(features, torch.arange(12))
    with pytest.raises(ConfigError, match="or neither"):
        LogisticRegression(features)
    with pytest.raises(ConfigError, match=r"got \(12, 3\) and \(5,\)"):
        LogisticRegression(features, torch.ones(5))


@pytest.fixture(scope="module")
def vae() -> VAEPosterior:
    return VAEPosterior(epochs=3)


def test_vae_posterior_is_prior_times_likelihood(vae: VAEPosterior) -> None:
    generator = torch.Generator().manual_seed(0)
    images = vae.conditions(5, generator, test=True)
    z = 2 * torch.randn(5, 8, generator=generator)
    p = vae.model.decoder.double()(z).sigmoid().clamp(1e-5, 1 - 1e-5)
    vae.model.decoder.float()
    fit = (images * p.log() + (1 - images) * (1 - p).log()).sum(-1)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(vae.log_density(z, images), prior + fit)
    # far out the clamp works
    far = vae.log_density(500 * z, images) + (250_000 * z.square()).sum(-1) / 2
    assert bool((far > 64 * math.log(1e-5) - 10).all())


def test_vae_pairs_each_code_with_its_own_image(vae: VAEPosterior) -> None:
    generator = torch.Generator().manual_seed(1)
    images, z = vae.test_images[:3], torch.randn(4, 3, 8, generator=generator)
    table = vae.log_density(z, images)
    assert table.shape == (4, 3)
    for row in range(3):
        torch.testing.assert_close(vae.log_density(z[:, row], images[row]), table[:, row])
    up, down = (vae.log_density(z + s * 1e-6, images) for s in (1, -1))
    torch.testing.assert_close(
        vae.score(z, images).sum(-1), (up - down) / 2e-6, rtol=1e-4, atol=1e-4
    )
    assert vae.log_density(z.float(), images).dtype == torch.float32


def test_vae_is_the_same_for_a_seed_and_touches_no_other(vae: VAEPosterior) -> None:
    state = torch.get_rng_state()
    trained_vae.cache_clear()
    again, other = VAEPosterior(epochs=3), VAEPosterior(seed=1, epochs=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(again.weight_in, vae.weight_in, rtol=0, atol=0)
    assert not torch.equal(other.weight_in, vae.weight_in)
    assert VAEPosterior(epochs=3).model is again.model
    assert (len(vae.train_images), len(vae.test_images)) == (1500, 297)


@pytest.mark.slow
def test_vae_marginal_is_above_the_bound_and_agrees_with_laplace(vae: VAEPosterior) -> None:
    images = vae.test_images[:10]
    few, many = (
        vae.log_marginal(images, draws, torch.Generator().manual_seed(2)) for draws in (500, 20_000)
    )
    assert (few - many).abs().max() < 0.5
    copies = images.repeat(500, 1).float()
    bound = -vae.model.loss(copies, torch.Generator().manual_seed(0))
    assert float(many.mean()) > float(bound)
    one = laplace_importance(
        lambda z: vae.log_density(z, images[0]),
        torch.zeros(8),
        20_000,
        generator=torch.Generator().manual_seed(3),
    )
    assert float(many[0]) == pytest.approx(one.log_z, abs=4 * one.standard_error + 0.05)


@pytest.mark.slow
def test_training_the_vae_teaches_it_digits(vae: VAEPosterior) -> None:
    full = VAEPosterior()
    before, after = (
        float(v.log_marginal(v.test_images[:50], 2000, torch.Generator().manual_seed(0)).mean())
        for v in (vae, full)
    )
    assert after > before + 2
    assert after > -26


def test_conditional_target_refuses_what_is_missing(vae: VAEPosterior) -> None:
    with pytest.raises(ConfigError, match="the posterior is of an image"):
        vae.log_density(torch.zeros(2, 8))
    with pytest.raises(ShapeError, match=r"must have shape \(\.\.\., 64\), got \(2, 63\)"):
        vae.log_density(torch.zeros(2, 8), torch.zeros(2, 63))
    with pytest.raises(IncompatibleError, match="no exact samples"):
        vae.sample(2)


def test_missing_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    digits.cache_clear()
    trained_vae.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for build in (LogisticRegression, lambda: VAEPosterior(seed=99, epochs=1)):
        with pytest.raises(MissingExtraError, match="pip install 'scikit-learn"):
            build()


def test_laplace_says_when_there_is_no_mode() -> None:
    with pytest.raises(ConfigError, match="no mode"):
        laplace_importance(lambda x: x.square().sum(-1), torch.ones(2))
    with pytest.raises(ConfigError, match="draws >= 2"):
        laplace_importance(lambda x: -x.square().sum(-1), torch.ones(2), draws=1)

"""Autoencoders that ascend the evidence bound, and the vector-quantised one."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.conditions.draws import TableCondition
from gflow.envs.codes.baselines import evidence_loss, fit_autoencoder
from gflow.envs.codes.metrics import listed_log_q
from gflow.envs.codes.model import CodeModel, Decoder, bernoulli
from gflow.envs.codes.policy import CodePolicy
from gflow.envs.codes.prior import PixelCNN, UniformPrior
from gflow.envs.codes.vq import QuantisedAutoencoder, fit_prior, fit_quantised
from gflow.envs.sequences.env import Autoregressive
from gflow.errors import ConfigError

EnvOf = Callable[[CodeModel, Tensor], Autoregressive]
Pictures = Callable[..., Tensor]


def listed_bound(env: Autoregressive, policy: Any, rows: Tensor) -> Tensor:
    """(B,) exact evidence bounds, without gradient."""
    reward: Any = env.reward
    with torch.no_grad():
        log_q = listed_log_q(env, policy, rows)
        joint = reward.model.log_joint(reward.data.rows(rows))
        each: Tensor = log_q.exp() * (joint - log_q)
        return each.sum(1)


@pytest.mark.parametrize("samples", [2, 3])
def test_the_gradient_is_that_of_the_bound_on_average(samples: int) -> None:
    """Summed over all that may be sampled, for a posterior and a joint that are free tables."""
    torch.manual_seed(0)
    logits, joint = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    log_q = logits.log_softmax(0)
    bound = (log_q.exp() * (joint - log_q)).sum()
    wanted = torch.autograd.grad(-bound, [logits, joint], retain_graph=True)
    total = torch.zeros(())
    for drawn in itertools.product(range(3), repeat=samples):
        z = torch.tensor(drawn)
        chance = log_q.detach()[z].sum().exp()
        total = total + chance * evidence_loss(joint[z][None], log_q[z][None])
    found = torch.autograd.grad(total, [logits, joint])
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_one_sample_has_nothing_to_compare_with() -> None:
    with pytest.raises(ConfigError, match="samples must be at least 2"):
        evidence_loss(torch.zeros(4, 1), torch.zeros(4, 1))


@pytest.mark.slow
@pytest.mark.parametrize("autoregressive", [False, True])
def test_autoencoders_raise_the_bound(env_of: EnvOf, autoregressive: bool) -> None:
    """Two pictures told apart by one bit: both families can hold the posterior."""
    x = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    torch.manual_seed(0)
    env = env_of(CodeModel(Decoder(4, 2, 3, 16, 2), UniformPrior(2, 2)), x)
    reward: Any = env.reward
    policy = CodePolicy(env, reward.data, 16, 8, autoregressive=autoregressive)
    rows, generator = torch.arange(2.0)[:, None], torch.Generator().manual_seed(0)
    before, version = listed_bound(env, policy, rows).mean(), reward.version
    fit_autoencoder(
        env, policy, TableCondition(rows), generator,
        steps=150, batch_size=8, samples=4, lr=0.03, model_lr=0.01,
    )  # fmt: skip
    after = listed_bound(env, policy, rows).mean()
    assert reward.version > version
    assert float(before) < -3 * math.log(2)  # the best that can be done without codes
    assert float(after) > -1.4  # the best of all is minus log 2


# ---------------------------------------------------------------------- vector quantisation


def small_autoencoder(embedding: int = 2) -> QuantisedAutoencoder:
    torch.manual_seed(4)
    return QuantisedAutoencoder(Decoder(4, 3, 5, 8, embedding), 4, 5, 8, commitment=0.7, decay=0.9)


def test_codes_are_the_nearest_vectors(every_picture: Pictures) -> None:
    autoencoder, x = small_autoencoder(), every_picture(5)
    vectors, book = autoencoder.vectors(x), autoencoder.decoder.book
    assert vectors.shape == (32, 4, 2)
    distance = (vectors[:, :, None] - book).square().sum(-1)
    assert torch.equal(autoencoder.codes(x), distance.argmin(-1))


def test_the_gradient_passes_the_codes_as_they_are(every_picture: Pictures) -> None:
    """That of the misfit is taken at the codes' vectors and applied to the encoder's."""
    autoencoder, x = small_autoencoder(), every_picture(5)
    vectors = autoencoder.vectors(x)
    chosen = autoencoder.decoder.book[autoencoder.codes(x)].clone().requires_grad_(True)
    misfit = -bernoulli(x, autoencoder.decoder.of_vectors(chosen)).mean() / 5
    (passed,) = torch.autograd.grad(misfit, chosen, retain_graph=True)
    pull = 2 * 0.7 * (vectors - chosen).detach() / vectors.numel()
    weights = list(autoencoder.encoder.parameters())
    wanted = torch.autograd.grad(vectors, weights, passed + pull)
    loss = autoencoder.loss(x)
    assert loss.item() == pytest.approx(
        misfit.item() + 0.7 * (vectors - chosen).square().mean().item()
    )
    for a, b in zip(torch.autograd.grad(loss, weights), wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_the_book_follows_the_means_of_its_vectors(every_picture: Pictures) -> None:
    autoencoder, x = small_autoencoder(), every_picture(5)
    autoencoder.begin(x, torch.Generator().manual_seed(0))
    vectors = autoencoder.vectors(x).detach().flatten(0, 1)
    book = autoencoder.decoder.book
    started = book.clone()
    assert all(bool((vectors == row).all(1).any()) for row in started)
    chosen = autoencoder.codes(x).flatten()
    autoencoder.follow(x)
    for code in range(3):
        mine = vectors[chosen == code]
        number = 0.9 * len(vectors) / 3 + 0.1 * len(mine)
        total = 0.9 * started[code] * len(vectors) / 3 + 0.1 * mine.sum(0)
        assert torch.allclose(book[code], total / number)
    for _ in range(300):  # Lloyd's algorithm, slowly
        autoencoder.follow(x)
    chosen = autoencoder.codes(x).flatten()
    means = torch.stack([vectors[chosen == code].mean(0) for code in range(3)])
    assert torch.allclose(book, means, atol=1e-6)


@pytest.mark.slow
def test_quantised_autoencoders_learn_to_give_pictures_back() -> None:
    """Three pictures, nine codes."""
    x = torch.tensor([[1.0, 1, 0, 0, 1], [0, 0, 1, 1, 0], [1, 0, 1, 0, 0]])
    torch.manual_seed(0)
    autoencoder = QuantisedAutoencoder(Decoder(1, 3, 5, 16, 2), 1, 5, 16, decay=0.9)
    fit_quantised(autoencoder, x, torch.Generator().manual_seed(0), 150, 16, 0.02)
    with torch.no_grad():
        z = autoencoder.codes(x)
        model = CodeModel(autoencoder.decoder, UniformPrior(1, 3))
        assert len(z.unique()) == 3
        assert float(model.log_likelihood(x, z).min()) > -0.1


def test_the_prior_learns_the_frequencies_of_codes() -> None:
    torch.manual_seed(0)
    prior = PixelCNN(1, 3, width=4, blocks=0)
    z = torch.tensor([[0]] * 5 + [[1]] * 3 + [[2]] * 2)
    generator = torch.Generator().manual_seed(0)
    fit_prior(prior, z, generator, 250, 64, 0.02)
    law = prior.log_prob(torch.arange(3)[:, None]).detach().exp()
    assert torch.allclose(law, torch.tensor([0.5, 0.3, 0.2]), atol=0.04)
    before = generator.get_state()
    fit_prior(UniformPrior(1, 3), z, generator)  # which has nothing to learn
    assert torch.equal(generator.get_state(), before)

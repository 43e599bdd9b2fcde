"""p(x, z) of codes and pictures, against loops over both."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gflow.envs.codes import model as module
from gflow.envs.codes.data import binary_digits, split
from gflow.envs.codes.model import CodeModel, Decoder, bernoulli
from gflow.envs.codes.prior import MaskedConv, PixelCNN, UniformPrior
from gflow.errors import IncompatibleError

Make = Callable[..., CodeModel]


def naive(model: CodeModel, x: list[int], z: list[int]) -> float:
    """p(x, z), pixel by pixel."""
    logits = model.decoder(torch.tensor([z]))[0].tolist()
    ink = [1 / (1 + math.exp(-logit)) for logit in logits]
    p = model.prior.log_prob(torch.tensor([z])).exp().item()
    for pixel, probability in zip(x, ink, strict=True):
        p *= probability if pixel else 1 - probability
    return p


@pytest.mark.parametrize("learned", [False, True])
def test_the_joint_is_what_pixels_say(make: Make, learned: bool) -> None:
    model = make(learned=learned)
    for x, z in [([1, 0, 1], [0, 1, 1, 0]), ([0, 0, 1], [1, 1, 0, 1])]:
        value = model.log_prob(torch.tensor([x]).double(), torch.tensor([z]))
        assert value.exp().item() == pytest.approx(naive(model, x, z), rel=1e-12)


@pytest.mark.parametrize("learned", [False, True])
def test_all_pictures_and_codes_together_have_probability_one(
    make: Make, every_picture: Callable[[], Tensor], learned: bool
) -> None:
    model, x = make(learned=learned), every_picture()
    joint = model.log_joint(x)
    assert joint.shape == (8, 16)
    assert float(joint.exp().sum()) == pytest.approx(1, abs=1e-12)
    assert torch.allclose(model.log_marginal(x), joint.exp().sum(1).log())


def test_codes_are_listed_once_each_and_scored_in_that_order(
    make: Make, every_picture: Callable[[], Tensor]
) -> None:
    model, x = make(), every_picture()
    z = model.every_code()
    assert {tuple(row) for row in z.tolist()} == set(itertools.product(range(2), repeat=4))
    each = torch.stack([model.log_prob(picture.expand(16, -1), z) for picture in x])
    assert torch.allclose(model.log_joint(x), each, atol=1e-12)


def test_too_many_codes_are_not_listed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    monkeypatch.setattr(module, "LISTED", 15)
    with pytest.raises(IncompatibleError, match=r"2\^4 grids of codes are too many"):
        model.log_marginal(torch.zeros(1, 3))
    monkeypatch.setattr(module, "LISTED", 16)
    assert model.listable


def test_samples_have_the_frequencies_of_the_joint(
    make: Make, every_picture: Callable[[int], Tensor]
) -> None:
    model, count = make(side=1, symbols=3, pixels=2), 40_000
    x, z = model.sample(count, torch.Generator().manual_seed(0))
    again = model.sample(count, torch.Generator().manual_seed(0))
    assert torch.equal(x, again[0])
    assert torch.equal(z, again[1])
    place = (x @ torch.tensor([1.0, 2.0])).long() * 3 + z[:, 0]
    found = torch.bincount(place, minlength=12) / count
    exact = model.log_joint(every_picture(2)).exp().flatten()
    assert exact.max() > 3 * exact.min()
    assert torch.allclose(found, exact, atol=4 * 0.5 / math.sqrt(count))


# ---------------------------------------------------------------------- the prior


def spread_prior(side: int, symbols: int, blocks: int = 2) -> PixelCNN:
    torch.manual_seed(3)
    prior = PixelCNN(side, symbols, width=6, blocks=blocks)
    torch.nn.init.normal_(prior.last.weight)
    return prior.requires_grad_(False)


def test_a_fresh_prior_is_uniform() -> None:
    z = torch.randint(3, (5, 4), generator=torch.Generator().manual_seed(0))
    wanted = torch.full((5,), -4 * math.log(3))
    assert torch.allclose(PixelCNN(2, 3).log_prob(z), wanted)
    assert torch.allclose(UniformPrior(2, 3).log_prob(z), wanted)


def test_the_prior_sums_to_one() -> None:
    z = torch.cartesian_prod(*[torch.arange(3)] * 4)
    p = spread_prior(2, 3).log_prob(z).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    assert float(p.max() / p.min()) > 3


@pytest.mark.parametrize("blocks", [0, 2])
def test_a_code_depends_on_all_before_it_and_on_none_after(blocks: int) -> None:
    prior = spread_prior(3, 2, blocks)
    z = torch.randint(2, (1, 9), generator=torch.Generator().manual_seed(1))
    before = prior.logits(z)
    for cell in range(9):
        other = z.clone()
        other[0, cell] = 1 - other[0, cell]
        moved = (prior.logits(other) != before).any(-1)[0].nonzero().flatten().tolist()
        assert moved == list(range(cell + 1, 9)), cell


def test_what_masked_convolutions_see() -> None:
    assert MaskedConv(1, 1, own=False).mask.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert MaskedConv(1, 1, own=True).mask.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert MaskedConv(1, 1, own=False, reach=2).mask.sum() == 12


def test_codes_are_drawn_from_the_prior() -> None:
    prior, count = spread_prior(2, 2), 20_000
    z = prior.sample(count, torch.Generator().manual_seed(0))
    found = torch.bincount((z * 2 ** torch.arange(4)).sum(1), minlength=16) / count
    every = torch.arange(16)[:, None] // 2 ** torch.arange(4) % 2
    assert torch.allclose(found, prior.log_prob(every).exp(), atol=4 * 0.5 / math.sqrt(count))


# ---------------------------------------------------------------------- decoder and data


def test_the_decoder_reads_the_vectors_of_codes() -> None:
    torch.manual_seed(0)
    decoder = Decoder(4, 3, 5, width=6, embedding=2)
    z = torch.tensor([[0, 2, 1, 1]])
    vectors = torch.stack([decoder.book[code] for code in z[0]])[None]
    assert torch.equal(decoder(z), decoder.of_vectors(vectors))
    assert decoder(z).shape == (1, 5)


def test_log_probabilities_of_pixels_stay_finite() -> None:
    x, logits = torch.tensor([[1.0, 0.0]]), torch.tensor([[800.0, 800.0]])
    assert float(bernoulli(x, logits)) == pytest.approx(-800)


def test_digits_are_black_where_half_of_the_ink_is() -> None:
    pytest.importorskip("sklearn")
    images = binary_digits()
    assert images.shape == (1797, 64)
    assert set(images.unique().tolist()) == {0.0, 1.0}
    assert images.dtype == torch.get_default_dtype()
    assert images[0].view(8, 8)[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]  # of 0 0 5 13 9 1 0 0
    assert float(images.mean()) == pytest.approx(0.3230, abs=5e-5)
    train, test = split(images)
    assert (len(train), len(test)) == (1500, 297)
    assert torch.equal(torch.cat([train, test]), images)

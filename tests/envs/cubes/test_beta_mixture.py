"""Mixtures of Beta laws against torch's own, and their samples against their moments."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Beta, Categorical, MixtureSameFamily

from gflow.envs.cubes.beta_mixture import BetaMixture, inside


def mixture(seed: int, *shape: int) -> BetaMixture:
    generator = torch.Generator().manual_seed(seed)
    return BetaMixture.of(3 * torch.randn(*shape, generator=generator), 0.5, 8.0)


@given(seed=st.integers(0, 999), parts=st.integers(1, 5))
def test_density_is_that_of_torch(seed: int, parts: int) -> None:
    law = mixture(seed, 7, 2, 3 * parts)
    u = torch.rand(7, 2, generator=torch.Generator().manual_seed(seed))
    other = MixtureSameFamily(Categorical(logits=law.logits), Beta(law.alpha, law.beta))
    torch.testing.assert_close(law.log_prob(u), other.log_prob(u))


def test_parameters_stay_in_their_range() -> None:
    law = BetaMixture.of(torch.tensor([[0.0, -1e3, 1e3]]), 1.0, 6.0)
    assert (law.alpha.item(), law.beta.item()) == (1.0, 6.0)
    assert BetaMixture.of(torch.zeros(1, 3), 1.0, 6.0).alpha.item() == 3.5


@pytest.mark.parametrize("parts", [1, 3])
def test_samples_have_the_moments_of_the_law(parts: int) -> None:
    count = 40_000
    law = mixture(parts, 1, 3 * parts)
    many = BetaMixture(*(t.expand(count, -1) for t in (law.logits, law.alpha, law.beta)))
    u = many.sample(torch.Generator().manual_seed(0))
    weight, a, b = law.logits.softmax(-1), law.alpha, law.beta
    for power, exact in (
        (1, (weight * a / (a + b)).sum()),
        (2, (weight * a * (a + 1) / ((a + b) * (a + b + 1))).sum()),
    ):
        x = u**power
        assert abs(float(x.mean() - exact)) < 4 * float(x.std()) / count**0.5


def test_even_law_has_density_one() -> None:
    law = BetaMixture.even(torch.zeros(3))
    assert law.log_prob(torch.tensor([0.1, 0.5, 0.999])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends_are_moved_inside(dtype: torch.dtype) -> None:
    u = inside(torch.tensor([-1.0, 0.0, 0.3, 1.0, 2.0], dtype=dtype))
    assert bool(((u > 0) & (u < 1)).all())
    assert u[2] == torch.tensor(0.3, dtype=dtype)
    assert torch.equal(inside(u), u)


def test_nothing_is_differentiated_through_samples() -> None:
    outputs = torch.randn(4, 6, requires_grad=True)
    assert not BetaMixture.of(outputs, 1.0, 6.0).sample().requires_grad


@pytest.mark.parametrize("parts", [1, 2, 4, 6])
def test_even_outputs_make_a_nearly_uniform_law_of_different_parts(parts: int) -> None:
    law = BetaMixture.of(BetaMixture.even_outputs(parts, 1.0, 8.0)[None].repeat(99, 1), 1.0, 8.0)
    density = law.log_prob(torch.arange(1, 100) / 100).exp()
    assert float((density - 1).abs().mean()) < 0.15
    assert len(law.alpha[0].unique()) == parts
    torch.testing.assert_close(law.alpha, law.beta.flip(-1))


def test_even_outputs_keep_to_the_range() -> None:
    law = BetaMixture.of(BetaMixture.even_outputs(5, 2.0, 3.0), 2.0, 3.0)
    assert bool(((law.alpha > 2) & (law.alpha < 3)).all())
    assert BetaMixture.of(BetaMixture.even_outputs(2, 1.0, 1.0), 1.0, 1.0).alpha.unique() == 1

"""Distributions over legal actions: exact, finite, and never outside the mask."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow.masking import (
    class_log_prob,
    counted,
    masked_log_softmax,
    merge_classes,
    representatives,
    sample_masked,
    some,
    uniform_log_prob,
)

EXTREMES = [0.0, 1.0, -1.0, 700.0, -1e4, 1e30, -1e30, 1e300]


@st.composite
def masked_rows(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits, some of them absurd, and masks with at least one legal action per row."""
    actions = draw(st.integers(1, 5))
    row = st.lists(st.sampled_from(EXTREMES), min_size=actions, max_size=actions)
    allowed = st.integers(1, 2**actions - 1)
    logits = draw(st.lists(row, min_size=1, max_size=4))
    masks = draw(st.lists(allowed, min_size=len(logits), max_size=len(logits)))
    bits = [[bool(m >> a & 1) for a in range(actions)] for m in masks]
    return torch.tensor(logits), torch.tensor(bits)


@given(rows=masked_rows())
def test_probabilities_are_those_of_the_legal_logits_alone(rows: tuple[Tensor, Tensor]) -> None:
    logits, mask = rows
    got = masked_log_softmax(logits, mask)
    for k in range(len(mask)):
        legal = mask[k]
        torch.testing.assert_close(got[k, legal], logits[k, legal].log_softmax(0))
        assert bool((got[k, ~legal] == -torch.inf).all())
    torch.testing.assert_close(got.exp().sum(-1), torch.ones(len(mask)))


@given(rows=masked_rows(), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_a_forbidden_action_is_never_drawn(rows: tuple[Tensor, Tensor], seed: int) -> None:
    logits, mask = rows
    generator = torch.Generator().manual_seed(seed)
    many, legal = logits.repeat(200, 1), mask.repeat(200, 1)
    for dtype in (torch.float64, torch.float32):
        drawn = sample_masked(many.to(dtype).clamp(-1e38, 1e38), legal, generator)
        assert bool(legal.gather(1, drawn[:, None]).all())


def test_rows_without_a_legal_action_poison_nothing() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    mask = torch.tensor([[True] * 4, [False] * 4, [True, False, False, True]])
    got = masked_log_softmax(logits, mask)
    assert bool(got[1].isfinite().all())
    got[mask].sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert bool((logits.grad[1] == 0).all())


def test_frequencies_are_the_softmax() -> None:
    """Chi-square at 1 in 10 000 with 3 degrees of freedom: 21.1."""
    logits = torch.tensor([0.5, -1.0, 2.0, 9.0, 0.0])
    mask = torch.tensor([True, True, True, False, True])
    count = 20_000
    drawn = sample_masked(
        logits.expand(count, -1), mask.expand(count, -1), torch.Generator().manual_seed(0)
    )
    seen = torch.bincount(drawn, minlength=5)[mask]
    expected = logits[mask].softmax(0) * count
    assert ((seen - expected) ** 2 / expected).sum() < 21.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_logits_as_large_as_they_come_are_drawn_alike(dtype: torch.dtype) -> None:
    """Differences, not sizes, decide: 1e4 and 1e4 + 1 are still one apart in float32."""
    logits = torch.tensor([1e4, 1e4 + 1.0], dtype=dtype).expand(20_000, -1)
    mask = torch.ones(20_000, 2, dtype=torch.bool)
    share = sample_masked(logits, mask, torch.Generator().manual_seed(1)).double().mean().item()
    p = 1 / (1 + math.exp(-1))
    assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / 20_000)


@pytest.mark.parametrize("actions", [0, 3, 64, 65, 300, 40_000])
def test_long_rows_are_counted_as_short_ones(actions: int) -> None:
    mask = torch.rand(6, actions, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[2] = False
    if actions > 1:
        mask[3] = False
        mask[3, -1] = True
    mask[4] = True
    for shown in (mask, mask[::2], mask.T.contiguous().T):
        assert counted(shown).tolist() == shown.sum(-1).tolist()
        assert torch.equal(some(shown), shown.any(-1, keepdim=True))


CLASSES = torch.tensor([[0, 0, 2, 3, 2], [0, 1, 2, 3, 4]])


def test_a_class_has_the_probability_of_its_members_together() -> None:
    log_prob = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    exists = torch.ones(2, dtype=torch.bool)
    for action in range(5):
        got = class_log_prob(log_prob, CLASSES, torch.tensor([action, action]), exists).exp()
        members = CLASSES == CLASSES[:, action][:, None]
        torch.testing.assert_close(got, (log_prob.exp() * members).sum(-1))


def test_merged_classes_hold_the_sum_where_their_first_action_stands() -> None:
    """Row by row, though there are as many rows as actions."""
    generator = torch.Generator().manual_seed(1)
    log_prob = torch.randn(5, 5, generator=generator).log_softmax(-1)
    log_prob[2, 4] = -torch.inf
    classes = CLASSES[torch.tensor([0, 1, 0, 0, 1])]
    wanted = torch.zeros(5, 5)
    for row in range(5):
        for action in range(5):
            wanted[row, classes[row, action]] += log_prob[row, action].exp()
    got = merge_classes(log_prob, classes)
    torch.testing.assert_close(got.exp(), wanted)
    assert got[0, 1] == got[0, 4] == -torch.inf
    wide = merge_classes(log_prob[:2], CLASSES)
    torch.testing.assert_close(wide.exp().sum(-1), torch.ones(2))


def test_equivalent_actions_count_once() -> None:
    mask = torch.tensor([[True, True, True, False, True], [True, False, False, True, True]])
    assert representatives(mask, CLASSES).int().tolist() == [[1, 0, 1, 0, 0], [1, 0, 0, 1, 1]]
    torch.testing.assert_close(uniform_log_prob(mask), -torch.tensor([4.0, 3.0]).log())
    torch.testing.assert_close(uniform_log_prob(mask, CLASSES), -torch.tensor([2.0, 3.0]).log())
    assert uniform_log_prob(torch.zeros(1, 3, dtype=torch.bool)).tolist() == [0.0]


def test_the_gradient_of_an_impossible_class_is_zero_and_not_nan() -> None:
    """Padding reads classes of illegal actions; what is thrown away must not come back as NaN."""
    logits = torch.zeros(2, 5, requires_grad=True)
    mask = torch.tensor([[True, True, False, True, False], [True] * 5])
    log_prob = masked_log_softmax(logits, mask)
    exists = torch.tensor([False, True])
    found = class_log_prob(log_prob, CLASSES, torch.tensor([2, 1]), exists)
    torch.where(exists, found, 0.0).sum().backward()
    assert logits.grad is not None
    wanted = torch.tensor([[0.0] * 5, [-0.2, 0.8, -0.2, -0.2, -0.2]])
    torch.testing.assert_close(logits.grad, wanted)


def test_the_given_generator_is_the_only_source_of_randomness() -> None:
    logits, mask = torch.zeros(50, 4), torch.ones(50, 4, dtype=torch.bool)
    before = torch.get_rng_state()
    one = sample_masked(logits, mask, torch.Generator().manual_seed(3))
    two = sample_masked(logits, mask, torch.Generator().manual_seed(3))
    other = sample_masked(logits, mask, torch.Generator().manual_seed(4))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert bool((logits == 0).all()), "the logits are not written to"

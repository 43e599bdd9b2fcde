"""A marginal network beside its conditionals: exact ones agree."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError
from gflow.marginals import MarginalPolicy, SiteNetwork, agreement, one_conditional
from gflow.marginals.correlation import Agreement, far_apart


class Exact(SiteNetwork):
    """Marginals of a table over all objects; `twist` of them is said, and noise on conditionals."""

    def __init__(self, places: int, symbols: int, twist: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.places, self.symbols, self.twist = places, symbols, twist
        generator = torch.Generator().manual_seed(0)
        self.whole = torch.tensor(list(itertools.product(range(symbols), repeat=places)))
        self.log_f = 2 * torch.randn(len(self.whole), generator=generator)
        size = (symbols + 1) ** places
        self.noise = noise * torch.randn(size, places, symbols, generator=generator)

    def exact(self, symbols: Tensor) -> Tensor:
        fits = (self.whole == symbols[:, None]) | (symbols[:, None] == self.symbols)
        return self.log_f.where(fits.all(2), -torch.inf).logsumexp(1)

    def log_marginal(self, symbols: Tensor) -> Tensor:
        return self.twist * self.exact(symbols)

    def logits(self, symbols: Tensor) -> Tensor:
        filled = symbols[:, None, None].repeat(1, self.places, self.symbols, 1)
        for place in range(self.places):
            filled[:, place, :, place] = torch.arange(self.symbols)
        shape = filled.shape[:3]
        key = (symbols * (self.symbols + 1) ** torch.arange(self.places)).sum(1)
        return self.exact(filled.flatten(0, 2)).view(shape) + self.noise[key]


def policy_of(places: int, symbols: int, twist: float = 1.0, noise: float = 0.0) -> MarginalPolicy:
    reward: FunctionReward[Tensor] = FunctionReward(lambda s: s.double().sum(1))
    env = AnyOrder("abc"[:symbols], places, reward)
    return MarginalPolicy(env, Exact(places, symbols, twist, noise))


def test_exact_marginals_agree_with_exact_conditionals() -> None:
    """They say the same of every object, and the negative of them the opposite."""
    items = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 1], [0, 0, 0, 0]])
    generator = torch.Generator().manual_seed(0)
    found = agreement(policy_of(4, 3), items, (2, 4), 6, 1e-6, orders=2, generator=generator)
    assert found.network.shape == found.kept.shape == (3, 12)
    torch.testing.assert_close(found.network, found.ensemble)
    assert found.items == 3
    assert found.gap == pytest.approx(0, abs=1e-9)
    assert [found.spearman, found.pearson] == pytest.approx([1, 1])
    generator.manual_seed(0)
    turned = agreement(policy_of(4, 3, -1), items, (2, 4), 6, 1e-6, orders=2, generator=generator)
    assert [turned.spearman, turned.pearson] == pytest.approx([-1, -1])
    torch.testing.assert_close(turned.ensemble, found.ensemble)


def test_so_many_places_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(5, 2)
    seen: list[Tensor] = []
    sample = policy.sample

    def watched(known: Tensor, **rest: Any) -> Tensor:
        seen.append(known)
        return sample(known, **rest)

    monkeypatch.setattr(policy, "sample", watched)
    items = torch.tensor([[0, 1, 0, 1, 1], [1, 1, 1, 0, 0]])
    agreement(policy, items, (1, 3), draws=2, generator=torch.Generator().manual_seed(0))
    (known,) = seen
    hidden = known == 2
    assert hidden.sum(1).tolist() == [1, 1, 3, 3] * 2
    assert torch.equal(
        known.masked_select(~hidden), items.repeat_interleave(4, 0).masked_select(~hidden)
    )
    assert len(hidden.unique(dim=0)) > 4  # of their own for each


@settings(max_examples=20)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(0, 6))
def test_what_is_kept_is_far_apart(numbers: list[int], threshold: int) -> None:
    """As by hand, in whatever order they come; two rows at once do not disturb each other."""
    kept, last = [], -math.inf
    for number in sorted(set(numbers)):
        if number - last > threshold:
            kept.append(number)
            last = number
    values = torch.tensor([numbers, numbers[::-1]], dtype=torch.float64)
    found = far_apart(values, threshold)
    for row, keep in zip(values, found, strict=True):
        assert sorted(row[keep].tolist()) == kept


def test_correlations_are_means_over_items_that_have_three() -> None:
    network = torch.tensor([[1.0, 2, 3, 9], [3, 2, 1, 0], [1, 2, 3, 4]])
    ensemble = torch.tensor([[1.0, 2, 4, 3], [1, 2, 3, 4], [1, 2, 3, 4]])
    kept = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    found = Agreement(network, ensemble, kept)
    assert found.items == 2
    assert found.spearman == pytest.approx((1 - 1) / 2)
    first = float(torch.corrcoef(torch.tensor([[1.0, 2, 3], [1, 2, 4]]))[0, 1])
    assert found.pearson == pytest.approx((first - 1) / 2)
    assert found.gap == pytest.approx((0 + 0 + 1 + 6 + 2 + 0 + 2 + 4) / 12)
    none = Agreement(network[2:], ensemble[2:], kept[2:])
    assert none.items == 0
    assert math.isnan(none.pearson)
    assert math.isnan(none.spearman)


@pytest.mark.parametrize("erase", [(), (0,), (2, 5)])
def test_erasing_more_than_there_is_is_refused(erase: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"`erase` must lie in 1 ... 4, got \["):
        agreement(policy_of(4, 2), torch.zeros(1, 4, dtype=torch.int64), erase)


def test_one_conditional_is_right_on_average() -> None:
    """The mean over all orders and sizes is that of log p along orders; and so are draws."""
    policy = policy_of(3, 2, noise=1.0)
    orders = torch.tensor(list(itertools.permutations(range(3))))
    item = torch.tensor([[1, 0, 1]])
    along = policy.along(item.repeat(6, 1), orders)
    assert float(along.std()) > 0.01  # orders differ
    every, size = orders.repeat(3, 1), torch.arange(3).repeat_interleave(6)
    found = one_conditional(policy, item.repeat(18, 1), every, size)
    torch.testing.assert_close(found.mean(), along.mean())
    first = policy.log_conditionals(torch.tensor([[2, 2, 2]]))[0, 0, 1]
    torch.testing.assert_close(found[0], 3 * first)
    drawn = one_conditional(
        policy, item.repeat(6000, 1), generator=torch.Generator().manual_seed(0)
    )
    assert float(drawn.mean()) == pytest.approx(
        float(along.mean()), abs=5 * float(drawn.std()) / 77
    )
    assert len(drawn.unique()) == len(found.unique())

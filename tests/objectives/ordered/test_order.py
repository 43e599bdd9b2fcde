"""Order losses against the mathematics: what they converge to, in exact numbers."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow.errors import ShapeError
from gflow.objectives.ordered.order import all_pairs, listwise, pairwise, random_partner, relation

SEVEN = torch.tensor(
    [[0, 3], [1, 2.5], [2, 2], [3, 0], [1, 1], [0.5, 0.5], [2, 0.2]], dtype=torch.float64
)
"""Seven points in the plane, the first four of which nobody beats."""


@st.composite
def score_tables(draw: st.DrawFn) -> Tensor:
    """Few integers, so that ties, equal rows and beaten rows are common."""
    count, width = draw(st.integers(2, 9)), draw(st.integers(1, 3))
    row = st.lists(st.integers(-3, 3), min_size=width, max_size=width)
    return torch.tensor(draw(st.lists(row, min_size=count, max_size=count)), dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def every_loss(rho: Tensor, scores: Tensor, **options: Any) -> dict[str, Tensor]:
    partner = random_partner(len(rho), torch.Generator().manual_seed(5), options.pop("group", None))
    return {
        "pairwise": pairwise(rho, scores, partner, **options),
        "all_pairs": all_pairs(rho, scores, **options),
        "listwise": listwise(rho, scores, **options),
    }


def minimise(loss: Any, count: int, low: float = -math.inf, steps: int = 60) -> Tensor:
    """Minimiser of a convex function of log-rewards that are bounded to [low, -low].

    Bounds are kept by Newton steps on the coordinates that are not held by them.
    """
    rho = torch.zeros(count)
    for _ in range(steps):
        x = rho.clone().requires_grad_()
        value = loss(x)
        (gradient,) = torch.autograd.grad(value, x)
        held = ((rho <= low) & (gradient > 0)) | ((rho >= -low) & (gradient < 0))
        matrix = torch.autograd.functional.hessian(loss, rho) + 1e-13 * torch.eye(count)
        matrix[held], matrix[:, held] = 0, 0
        matrix[held, held] = 1
        step = -torch.linalg.solve(matrix, gradient.masked_fill(held, 0.0))
        size = 1.0
        while loss((rho + size * step).clamp(low, -low)) > value and size > 1e-9:
            size /= 2
        rho = (rho + size * step).clamp(low, -low).detach()
    return rho


# ---------------------------------------------------------------------- who beats whom


@given(scores=score_tables(), seed=st.integers(0, 100))
def test_beating_is_an_order(scores: Tensor, seed: int) -> None:
    """OP-6. Defects: >= in place of >, any in place of all, one maximised and one minimised."""
    beats = relation(scores, 0.0)
    brute = torch.tensor(
        [
            [
                int(all(x >= y for x, y in zip(a, b, strict=True)) and a != b)
                - int(all(x <= y for x, y in zip(a, b, strict=True)) and a != b)
                for b in scores.tolist()
            ]
            for a in scores.tolist()
        ]
    )
    assert torch.equal(beats, brute.to(torch.int8))
    over = beats > 0
    assert not bool(over.diagonal().any()), "irreflexive"
    assert bool((((over.int() @ over.int()) > 0) <= over).all()), "transitive"
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(relation(scores[order], 0.0), beats[order][:, order])
    assert torch.equal(relation(scores.exp() * 3 - 1, 0.0), beats), "monotone maps change nothing"
    # Items that are equal are all in the front, or none.
    front = ~(over.any(0))
    same = (scores[:, None] == scores).all(-1)
    assert torch.equal((same & front[:, None]).any(0) & same.any(0), front)


def test_scores_are_compared_as_they_are_up_to_the_tolerance() -> None:
    """Defect: logarithms of scores, which are not numbers where a score is zero or negative."""
    scores = torch.tensor([[-2.0], [0.0], [0.5e-6], [2e-6]])
    wanted = torch.tensor([[0, -1, -1, -1], [1, 0, 0, -1], [1, 0, 0, -1], [1, 1, 1, 0]])
    assert torch.equal(relation(scores), wanted.to(torch.int8))
    for loss in every_loss(noise(4), scores).values():
        assert bool(loss.isfinite().all())


# ---------------------------------------------------------------------- values by hand


def test_two_items() -> None:
    rho = torch.tensor([0.3, -0.4])
    strict, tied = torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [1.0]])
    apart = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    up, down = math.log1p(math.exp(-0.7)), math.log1p(math.exp(0.7))
    for name in ("pairwise", "all_pairs", "listwise"):
        found = [every_loss(rho, u)[name].sum().item() for u in (strict, tied, apart)]
        torch.testing.assert_close(found, [up, (up + down) / 2, (up + down) / 2], msg=name)


def test_all_pairs_is_what_random_partners_give_on_average() -> None:
    """Over all 24 permutations; those with fixed points leave these out. Defect: self-pairs."""
    rho, scores = noise(4), torch.tensor([[1.0], [2.0], [2.0], [0.0]])
    total, weight = 0.0, 0
    for order in itertools.permutations(range(4)):
        partner = torch.tensor(order)
        moved = int((partner != torch.arange(4)).sum())
        total += moved * pairwise(rho, scores, partner).sum().item()
        weight += moved
    torch.testing.assert_close(total / weight, all_pairs(rho, scores).sum().item())


def test_partners_are_a_cycle_through_each_group() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(200):
        partner = random_partner(4, generator)
        assert sorted(partner.tolist()) == [0, 1, 2, 3]
        assert not bool((partner == torch.arange(4)).any())
        seen.add(tuple(partner.tolist()))
    assert len(seen) == 6, "all cycles of four occur"
    group = torch.tensor([2, 0, 2, 1, 0, 2, 0])
    for _ in range(20):
        partner = random_partner(7, generator, group)
        assert sorted(partner.tolist()) == list(range(7))
        assert torch.equal(group[partner], group)
        assert (partner == torch.arange(7)).nonzero().tolist() == [[3]], "3 is alone"


@given(scores=score_tables(), seed=st.integers(0, 100))
def test_listwise_is_a_divergence_from_the_front(scores: Tensor, seed: int) -> None:
    """OP-2. Defects: the front of beaten items, targets that do not sum to 1, beaten kept in."""
    rho = noise(len(scores), seed=seed)
    front = ~(relation(scores, 0.0) < 0).any(1)
    target = front / front.sum()
    divergence = (target[front] * (target[front].log() - rho.log_softmax(0)[front])).sum()
    size = front.sum().log()
    torch.testing.assert_close(listwise(rho, scores).sum(), divergence + size)
    assert listwise(rho, scores).sum() >= size - 1e-12
    best = torch.where(front, 0.7, -1e3)
    torch.testing.assert_close(listwise(best, scores).sum(), size)
    if int(front.sum()) > 1:
        uneven = best + torch.arange(len(best)) * 0.1
        assert listwise(uneven, scores).sum() > size + 1e-4
    if not bool(front.all()):
        assert listwise(torch.where(front, 0.7, -3.0), scores).sum() > size + 1e-4


@given(scores=score_tables(), shift=st.floats(-30, 30), seed=st.integers(0, 100))
def test_only_differences_of_rho_and_the_order_of_scores_matter(
    scores: Tensor, shift: float, seed: int
) -> None:
    """OP-8 and OP-1: a constant, log Z among them, has no effect and no gradient."""
    rho, log_z = noise(len(scores), seed=seed), torch.zeros((), requires_grad=True)
    losses = every_loss(rho + log_z, scores)
    moved = every_loss(rho + shift, scores)
    mapped = every_loss(rho, scores.pow(3) + 2 * scores)
    for name, loss in losses.items():
        torch.testing.assert_close(moved[name], loss.detach(), msg=name)
        torch.testing.assert_close(mapped[name], loss.detach(), msg=name)
        (gradient,) = torch.autograd.grad(loss.sum(), log_z)
        assert abs(gradient.item()) < 1e-12, name


@given(scores=score_tables(), seed=st.integers(0, 100))
def test_columns_and_groups_are_compared_apart(scores: Tensor, seed: int) -> None:
    """Defects: a softmax, a front or a count that looks beyond its column, group or items."""
    count = len(scores)
    generator = torch.Generator().manual_seed(seed)
    rho = noise(count, 3, seed=seed)
    exists = torch.rand(count, 3, generator=generator) < 0.7
    group = torch.randint(2, (count,), generator=generator)
    spoilt = torch.where(exists, rho, torch.nan).requires_grad_()
    own = torch.stack([scores, scores.flip(0), scores * 0], 1)  # each column has scores of its own
    for name, function in (("all_pairs", all_pairs), ("listwise", listwise)):
        for given_scores in (scores, own):
            got = function(spoilt, given_scores, group=group, exists=exists)
            for c in range(3):
                u = given_scores if given_scores.dim() == 2 else given_scores[:, c]
                parts = [(exists[:, c] & (group == g)).nonzero().squeeze(1) for g in range(2)]
                parts = [p for p in parts if len(p) > 1]
                each = [function(rho[p, c], u[p]).sum() for p in parts]
                weight = torch.tensor(
                    [len(p) * (len(p) - 1) / 2 if name == "all_pairs" else 1.0 for p in parts]
                )
                wanted = (torch.stack(each) * weight).sum() / weight.sum() if each else 0.0
                torch.testing.assert_close(got[:, c].sum().item(), float(wanted), msg=name)
            (gradient,) = torch.autograd.grad(got.sum(), spoilt)
            assert bool(gradient.isfinite().all())
            assert bool((gradient[~exists] == 0).all())
    partner = random_partner(count, generator, group)
    got = pairwise(spoilt, scores, partner, exists=exists)
    for c in range(3):
        both = [
            i for i, p in enumerate(partner.tolist()) if i != p and exists[i, c] and exists[p, c]
        ]
        pairs = [torch.tensor([i, int(partner[i])]) for i in both]
        each = [all_pairs(rho[pair, c], scores[pair]).sum() for pair in pairs]
        wanted = float(sum(each)) / len(each) if each else 0.0
        torch.testing.assert_close(got[:, c].sum().item(), wanted)


def test_a_limit_holds_what_is_worst() -> None:
    rho = torch.tensor([-50.0, 0.0, 1.0], requires_grad=True)
    scores = torch.tensor([[3.0], [2.0], [1.0]])
    for name, function in (("all_pairs", all_pairs), ("listwise", listwise)):
        assert function(rho, scores).sum() > 30, name
        limited = function(rho, scores, limit=10.0).sum()
        assert limited < 10.5, name
        (gradient,) = torch.autograd.grad(limited, rho)
        assert gradient[0] == 0, name


@pytest.mark.parametrize(("first", "second"), [((3,), (4, 1)), ((3, 2), (3, 1, 1)), ((3,), (3,))])
def test_shapes_are_checked(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"order loss: rho must have shape \(B,\) or \(B, C\)"):
        all_pairs(noise(*first), noise(*second))


# ---------------------------------------------------------------------- where they converge to


def adjacent(scores: Tensor, rho: Tensor) -> Tensor:
    """The pairwise loss summed over neighbours in the order."""
    place = torch.arange(len(rho) - 1)
    partner = torch.arange(1, len(rho) + 1).clamp(max=len(rho) - 1)
    return pairwise(rho, scores, partner).sum() * len(place)


@pytest.mark.parametrize(("gamma", "n"), [(10.0, 5), (3.0, 4), (100.0, 9), (1.5, 7)])
def test_neighbours_in_a_bounded_total_order_are_spaced_evenly(gamma: float, n: int) -> None:
    """OP-4: r_i = gamma^(2 i / n - 1). Defects: the wrong one of two is the better; a mean of
    logits in place of a softmax."""
    scores = torch.arange(n + 1.0)[:, None]
    rho = minimise(lambda x: adjacent(scores, x), n + 1, -math.log(gamma))
    wanted = (2 * torch.arange(n + 1) / n - 1) * math.log(gamma)
    torch.testing.assert_close(rho, wanted, atol=1e-7, rtol=0)
    least = n * math.log(1 + gamma ** (-2 / n))
    torch.testing.assert_close(adjacent(scores, rho).item(), least)
    if (gamma, n) == (10.0, 5):
        assert abs(least - 1.675597) < 5e-7


@pytest.mark.slow
def test_ties_have_no_gap_and_the_rest_increases() -> None:
    """OP-3. Defects: ties counted as wins of the first, or left out."""
    scores = torch.tensor([[0.0], [1.0], [1.0], [2.0], [2.0], [3.0]])
    for low in (-math.log(3), -math.log(10)):
        gap = minimise(lambda x: all_pairs(x, scores).sum(), 6, low).diff()
        torch.testing.assert_close(gap[[1, 3]], torch.zeros(2), atol=1e-9, rtol=0)
        assert bool((gap[[0, 2, 4]] > 0.1).all())
    rho = minimise(lambda x: all_pairs(x, torch.ones(4, 1)).sum() + 0.1 * (x[0] - 1) ** 2, 4, -2)
    torch.testing.assert_close(rho, torch.ones(4), atol=1e-7, rtol=0)


def test_neighbours_alone_turn_ties_round() -> None:
    """A chain compares 1 only with 0 and with its equal 2, so that 1 gains by rising above 2.

    With gaps d of ties and g of wins the multiplier of the bound gives tanh(d / 2) / 2 = -s(-g),
    s the logistic function: d is negative. Comparing all pairs is what keeps ties together.
    """
    scores = torch.tensor([[0.0], [1.0], [1.0], [2.0], [2.0], [3.0]])
    gap = minimise(lambda x: adjacent(scores, x), 6, -math.log(10)).diff()
    torch.testing.assert_close(gap[[0, 2, 4]], gap[0].expand(3), atol=1e-6, rtol=0)
    wanted = -torch.sigmoid(-gap[[0, 2]])
    torch.testing.assert_close((gap[[1, 3]] / 2).tanh() / 2, wanted, atol=1e-6, rtol=0)
    assert gap[1] < -0.5


@pytest.mark.slow
def test_the_best_of_ten_takes_over_with_the_bound() -> None:
    """OP-5: sparsification."""
    scores = torch.arange(10.0)[:, None]
    share = [
        minimise(lambda x: adjacent(scores, x), 10, -math.log(gamma)).softmax(0)[-1].item()
        for gamma in (1.0001, 2, 10, 100, 1e4)
    ]
    assert share == sorted(share)
    torch.testing.assert_close(share, [0.1, 0.182, 0.403, 0.641, 0.871], atol=6e-4, rtol=0)


@pytest.mark.parametrize(
    ("gamma", "gaps"),
    [(3.0, [0, 0.314, 0.373, 0.314, 0]), (10.0, [0.118, 0.258, 0.248, 0.258, 0.118])],
)
def test_all_pairs_space_unevenly(gamma: float, gaps: list[float]) -> None:
    """Items at the ends saturate at a small bound. Defect: pairs counted by their distance."""
    scores = torch.arange(6.0)[:, None]
    rho = minimise(lambda x: all_pairs(x, scores).sum(), 6, -math.log(gamma))
    found = rho.diff() / (2 * math.log(gamma))
    torch.testing.assert_close(found, torch.tensor(gaps), atol=6e-4, rtol=0)


@pytest.mark.slow
def test_all_pairs_space_evenly_under_a_wide_bound() -> None:
    scores = torch.arange(6.0)[:, None]
    low = -60.0
    rho = minimise(lambda x: all_pairs(x, scores).sum(), 6, low, steps=300)
    torch.testing.assert_close(rho.diff() / 120, torch.full((5,), 0.2), atol=6e-3, rtol=0)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (2, [0.119, 0.225, 0.320, 0.119, 0.087, 0.044, 0.087]),
        (3, [0.164, 0.215, 0.290, 0.164, 0.056, 0.021, 0.091]),
        (4, [0.199, 0.217, 0.268, 0.199, 0.030, 0.006, 0.082]),
        (7, [0.25, 0.25, 0.25, 0.25, 0, 0, 0]),
    ],
)
def test_fronts_of_batches_leave_mass_to_beaten_items(size: int, wanted: list[float]) -> None:
    """OP-7. Defects: minimisation in place of maximisation, weak in place of strict domination."""
    batches = torch.tensor(list(itertools.combinations(range(7), size)))

    def loss(rho: Tensor) -> Tensor:
        # One column per batch.
        each = listwise(rho[batches.T], SEVEN[batches.T]).sum(0)
        return each.mean() + 1e-6 * rho.square().sum()

    law = minimise(loss, 7, steps=40).softmax(0)
    torch.testing.assert_close(law, torch.tensor(wanted), atol=6e-4, rtol=0)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_order_of_the_batch_is_immaterial(seed: int) -> None:
    rho, order = noise(7, seed=seed), torch.randperm(7)
    for function in (all_pairs, listwise):
        torch.testing.assert_close(function(rho[order], SEVEN[order]), function(rho, SEVEN)[order])

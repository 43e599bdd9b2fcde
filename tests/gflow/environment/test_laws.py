"""Laws of moves: what is asked of them, against the formulas written out."""

import math

import pytest
import torch
from torch import Tensor

from gflow import ContinuousEnvironment, DiscreteEnvironment, Environment
from gflow.environment import categorical
from gflow.environment.categorical import Categorical
from gflow.environment.density import Density, gaussian_log_prob
from gflow.environment.discrete import require_numbered
from gflow.envs import Box, Diffusion, HyperGrid, Torus
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets import make_target
from gflow.envs.torus.targets import ramachandran
from gflow.errors import IncompatibleError
from gflow.exact.graph import enumerate_states
from gflow.policies.mlp import MLPPolicy
from gflow.sampling.reversed import Reversed
from gflow.sampling.sampler import Sampler
from gflow.state import take

CLASSES = torch.tensor([[0, 0, 2, 0, 4], [0, 1, 1, 3, 3], [0, 1, 2, 3, 4]])
MASK = torch.tensor([[1, 1, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]]).bool()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits_of(rows: int = 3, actions: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(rows, actions, generator=seeded(seed)).requires_grad_()


def by_hand(logits: Tensor, mask: Tensor, classes: Tensor | None, row: int, move: int) -> Tensor:
    """The share of the legal actions of one class, by a sum of exponentials."""
    weight = logits[row].exp() * mask[row]
    same = torch.ones(5).bool() if classes is None else classes[row] == classes[row, move]
    if classes is None:
        same = torch.arange(logits.shape[1]) == move
    return (weight[same].sum() / weight.sum()).log()


@pytest.mark.parametrize("classes", [None, CLASSES], ids=["apart", "classes"])
@pytest.mark.parametrize("bound", [1024, 2], ids=["table", "chosen"])
def test_log_probabilities_and_gradients_are_those_of_the_formula(
    classes: Tensor | None, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(categorical, "TABLE_ACTIONS", bound)
    logits = logits_of()
    law = Categorical(logits, MASK, lambda: classes)
    rows, moves = torch.tensor([[0, 1], [1, 2], [0, 2]]), torch.tensor([[1, 2], [4, 0], [2, 3]])
    exists = torch.tensor([[1, 1], [1, 1], [0, 1]]).bool()
    weight = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [7.0, 1.5]])
    found = law.log_prob(moves, rows, exists)
    wanted = torch.stack(
        [
            by_hand(logits, MASK, classes, int(r), int(m)) if e else torch.zeros(())
            for r, m, e in zip(rows.flatten(), moves.flatten(), exists.flatten(), strict=True)
        ]
    ).view(3, 2)
    torch.testing.assert_close(found, wanted)
    one, two = (torch.autograd.grad((weight * v).sum(), logits)[0] for v in (found, wanted))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("classes", [None, CLASSES], ids=["apart", "classes"])
def test_tables_and_single_actions_agree_with_what_is_asked_one_by_one(
    classes: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = Categorical(logits_of(), MASK, lambda: classes)
    rows, moves = MASK.nonzero(as_tuple=True)
    table = law.table()
    torch.testing.assert_close(table[rows, moves], law.log_prob(moves, rows))
    assert bool((table[~MASK] == -math.inf).all())
    torch.testing.assert_close(table.exp().where(law.distinct, 0.0).sum(-1), torch.ones(3))
    alone = Categorical(law.logits, MASK)
    torch.testing.assert_close(law.of(2), alone.table()[:, 2])
    wanted = law.of(0).detach()
    monkeypatch.setattr(categorical, "TABLE_ACTIONS", 2)
    torch.testing.assert_close(Categorical(law.logits, MASK).of(0).detach(), wanted)
    assert float(wanted[1]) == -math.inf, "the action is illegal in row 1"


@pytest.mark.parametrize("least", [2, 100], ids=["one by one", "table"])
@pytest.mark.parametrize("even", [False, True])
def test_moves_and_one_action_are_asked_for_together(
    least: int, even: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(categorical, "TABLE_ACTIONS", least)
    logits = logits_of().requires_grad_()

    def law() -> Categorical:
        return Categorical(None if even else logits, MASK)

    rows = torch.tensor([[0, 1, 0], [2, 2, 1]])
    moves = MASK.int().argmax(-1)[rows]
    exists = torch.tensor([[True, True, False], [True, False, False]])
    together, apart = (
        law().log_prob_and(2, moves, rows, exists),
        law().log_prob(moves, rows, exists),
    )
    torch.testing.assert_close(together[0], apart)
    torch.testing.assert_close(together[1], law().of(2))
    if not even:
        weight = torch.randn(2, 3, generator=seeded(3))
        seen = MASK[:, 2]
        one, two = (
            torch.autograd.grad((weight * a).sum() + b[seen].square().sum(), logits)[0]
            for a, b in (together, (apart, law().of(2)))
        )
        torch.testing.assert_close(one, two)


def test_many_actions_keep_nothing_but_their_logits() -> None:
    """No second table of the size of the logits is saved for the backward pass."""
    logits = torch.randn(4, 50_000, generator=seeded()).requires_grad_()
    mask = torch.rand(4, 50_000, generator=seeded(1)) < 0.9
    mask[:, 0] = True
    saved: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    law = Categorical(logits, mask)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        found = law.log_prob(torch.zeros(6).long(), torch.tensor([0, 1, 2, 3, 0, 0]))
    large = {t.data_ptr() for t in saved if t.is_floating_point() and t.numel() >= logits.numel()}
    assert large == {logits.data_ptr()}
    wanted = Categorical(logits, mask).table()[[0, 1, 2, 3, 0, 0], 0]
    torch.testing.assert_close(found, wanted)
    one, two = (torch.autograd.grad(v.sum(), logits)[0] for v in (found, wanted))
    torch.testing.assert_close(one, two)


def test_equal_probabilities_count_legal_actions() -> None:
    law = Categorical(None, MASK)
    torch.testing.assert_close(
        law.log_prob(torch.tensor([0, 1, 2])), -torch.tensor([4, 4, 5]).log()
    )
    torch.testing.assert_close(law.table()[0, :4], torch.full((4,), -math.log(4)))


def test_laws_of_some_states_are_taken_and_joined() -> None:
    law = Categorical(logits_of(), MASK, lambda: CLASSES)
    other = Categorical(logits_of(seed=5), MASK.flip(1), None)
    rows = torch.tensor([2, 0, 0])
    taken = law.take(rows)
    torch.testing.assert_close(taken.table(), law.table()[rows])
    assert torch.equal(taken.mask, MASK[rows])
    first = torch.tensor([True, False, True])
    both = law.where(first, other)
    torch.testing.assert_close(
        both.table(), torch.where(first[:, None], law.table(), other.table())
    )
    moves = torch.tensor([3, 1, 4])
    wanted = torch.where(first, law.log_prob(moves), other.log_prob(moves))
    torch.testing.assert_close(both.log_prob(moves), wanted)


def test_draws_follow_the_probabilities() -> None:
    law = Categorical(logits_of().detach(), MASK)
    rows = torch.arange(3).repeat_interleave(20_000)
    drawn, stops = law.take(rows).sample(seeded(3))
    assert stops is None
    share = torch.zeros(3, 5).index_put((rows, drawn), torch.tensor(1 / 20_000), accumulate=True)
    torch.testing.assert_close(share, law.table().exp(), atol=0.02, rtol=0)


class Up(Density[Tensor]):
    """A Gaussian step whose mean is given; stops with a probability where there is one."""

    def __init__(self, mean: Tensor, stop: Tensor | None = None) -> None:
        self.mean, self.stop = mean, stop

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Tensor, Tensor | None]:
        z = torch.randn(self.mean.shape, generator=generator)
        stops = None if self.stop is None else torch.ones(len(self.mean)).bool()
        return self.mean + (1 + noise**2) ** 0.5 * z, stops

    def log_prob(self, states: Tensor) -> Tensor:
        return gaussian_log_prob(states, self.mean, torch.ones_like(self.mean))

    def retrace(self, states: Tensor) -> Tensor:
        return self.mean + (states - self.mean).detach()

    @property
    def log_stop(self) -> Tensor | None:
        return self.stop

    def take(self, rows: Tensor) -> "Up":
        return Up(self.mean[rows], None if self.stop is None else self.stop[rows])


def test_either_of_two_densities_row_by_row() -> None:
    first = torch.tensor([True, False, True, False])
    mine = torch.zeros(4, 1).requires_grad_()
    low, high = Up(mine), Up(torch.full((4, 1), 100.0), torch.full((4,), -0.5))
    both = low.where(first, high)
    drawn, stops = both.sample(seeded())
    assert (drawn[:, 0] > 50).tolist() == [False, True, False, True]
    assert stops is not None
    assert stops.tolist() == [False, True, False, True]
    assert both.log_stop is not None
    assert both.log_stop.tolist() == [-math.inf, -0.5, -math.inf, -0.5]
    there = torch.full((4, 1), 2.0)
    value = both.log_prob(there)
    half = 0.5 * math.log(2 * math.pi)
    wanted = torch.tensor([-2.0, -(98.0**2) / 2, -2.0, -(98.0**2) / 2]) - half
    torch.testing.assert_close(value, wanted)
    assert torch.autograd.grad(value.sum(), mine)[0].tolist() == [[2.0], [0.0], [2.0], [0.0]]
    moved = both.retrace(there)
    assert torch.equal(moved, there)
    assert torch.autograd.grad(moved.sum(), mine)[0].tolist() == [[1.0], [0.0], [1.0], [0.0]]
    torch.testing.assert_close(both.take(torch.tensor([1, 1])).log_prob(there[:2]), wanted[[1, 1]])
    quiet = both.sample(seeded(), noise=1e3)[0].detach()
    assert float(quiet[[1, 3], 0].sub(100).abs().max()) < 10, "noise explores the first alone"


def continuous() -> list[ContinuousEnvironment[object]]:
    diffusion = Diffusion(make_target("gmm9"), Brownian(1.0), 4)
    return [Box(), Torus(ramachandran(), length=3), diffusion]  # type: ignore[list-item]


@pytest.mark.parametrize("env", continuous(), ids=lambda env: env.name)
def test_both_kinds_are_environments_with_one_sampler(env: ContinuousEnvironment[object]) -> None:
    assert isinstance(env, Environment)
    assert not env.numbered
    assert Sampler(env).env is env
    start = env.initial(4)
    outputs = torch.randn(4, env.num_outputs, generator=seeded())
    law = env.law(start, outputs)
    there, _ = law.sample(seeded(1))
    rows = torch.tensor([3, 0])

    torch.testing.assert_close(
        law.take(rows).log_prob(take(there, rows)), law.log_prob(there)[rows]
    )
    back = env.backward_law(there)
    torch.testing.assert_close(
        back.take(rows).log_prob(take(start, rows)), back.log_prob(start)[rows]
    )
    for ask, who in (
        (lambda: enumerate_states(env), "enumerate_states"),
        (lambda: MLPPolicy(env), "MLPPolicy"),
        (lambda: Reversed(env), "Reversed"),
    ):
        with pytest.raises(IncompatibleError, match=f"{who} counts actions.*{env.name} have dens"):
            ask()


def test_numbered_environments_pass() -> None:
    env: Environment[Tensor] = HyperGrid(2, 3)
    assert env.numbered
    assert isinstance(env, DiscreteEnvironment)
    assert require_numbered(env, "x", "y") is env


def test_densities_without_take_say_so() -> None:
    class Bare(Up):
        take = Density.take  # type: ignore[assignment]

    with pytest.raises(IncompatibleError, match="Bare defines no `take`"):
        Bare(torch.zeros(1, 1)).take(torch.tensor([0]))


def test_environments_that_cannot_count_refuse_maximum_entropy() -> None:
    env = HyperGrid(2, 3)
    env.max_entropy_logits = lambda states: None  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(IncompatibleError, match="cannot count its trajectories"):
        env.max_entropy_law(env.initial(1))

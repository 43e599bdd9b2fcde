"""Proposals of K moves back and K moves forward: EB-2, and how likely data are: EB-3."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward, Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.behaviours.base import Sampling
from gflow.behaviours.local_search import LocalSearch
from gflow.energies import Proposer
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.spins.env import EnergyModel
from gflow.errors import ConfigError, IncompatibleError, UnknownNameError
from gflow.metrics.likelihood import log_likelihood
from gflow.testing import all_trajectories

SITES = 3


def model(seed: int, sites: int = SITES, scale: float = 1.0) -> tuple[EnergyModel, TabularPolicy]:
    """Sites with random energies, and tables of random laws in both directions."""
    generator = torch.Generator().manual_seed(seed)
    energy = torch.randn(2**sites, generator=generator) * scale

    def reward(states: Tensor) -> Tensor:
        return energy[((states - 1).clamp(min=0) * 2 ** torch.arange(sites)).sum(1)]

    env = EnergyModel(FunctionReward(reward), sites, 2)
    policy = TabularPolicy(enumerate_states(env))
    with torch.no_grad():
        for table in policy.parameters():
            table.normal_(generator=generator).mul_(scale)
    return env, policy


def every_object(sites: int = SITES) -> Tensor:
    return 1 + torch.tensor(list(itertools.product((0, 1), repeat=sites)))


def every_way(steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of objects, backward actions and forward actions: all K moves back and forth."""
    rows, back, forth = [], [], []
    for row in range(2**SITES):
        for order in itertools.permutations(range(SITES), steps):
            for again in itertools.permutations(order):
                for values in itertools.product((0, 1), repeat=steps):
                    rows.append(row)
                    back.append(order)
                    forth.append([2 * i + v for i, v in zip(again, values, strict=True)])
    return torch.tensor(rows), torch.tensor(back), torch.tensor(forth)


def kernel(env: EnergyModel, policy: TabularPolicy, steps: int, accept: str) -> Tensor:
    """(8, 8) probabilities of one move of the chain."""
    objects, proposer = every_object(), Proposer(accept)
    rows, back, forth = every_way(steps)
    found = proposer.along(env, policy, objects[rows], back, forth)
    ratio = found.log_ratio
    taken = proposer.filter.probability(lambda: ratio.reward, lambda: ratio)
    proposed = (found.log_down + found.log_up).exp()
    ends = ((found.candidates - 1) * torch.tensor([4, 2, 1])).sum(1)
    matrix = torch.zeros(8, 8)
    matrix.index_put_((rows, ends), proposed * taken, accumulate=True)
    matrix.index_put_((rows, rows), proposed * (1 - taken), accumulate=True)
    return matrix


@pytest.mark.parametrize("accept", ["metropolis", "barker"])
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, SITES), scale=st.sampled_from([0.3, 2.0]))
def test_the_chain_leaves_the_energy_as_it_is(
    accept: str, seed: int, steps: int, scale: float
) -> None:
    """EB-2: p(x) T(x, x') = p(x') T(x', x) for every pair, whatever the policy."""
    env, policy = model(seed, scale=scale)
    matrix = kernel(env, policy, steps, accept)
    torch.testing.assert_close(matrix.sum(1), torch.ones(8))
    flow = env.log_reward(every_object()).softmax(0)[:, None] * matrix
    assert float((flow - flow.T).abs().max()) < 1e-12
    away = flow - flow.diag().diag()
    assert float(away.sum()) > 0.01  # it does move


@pytest.mark.parametrize("accept", ["metropolis", "barker"])
def test_moves_have_these_probabilities(accept: str) -> None:
    env, policy = model(1)
    matrix = kernel(env, policy, 2, accept)
    start = every_object()[5].expand(20_000, -1)
    generator = torch.Generator().manual_seed(0)
    after, accepted = Proposer(accept).move(env, policy, start, 2, generator)
    ends = ((after - 1) * torch.tensor([4, 2, 1])).sum(1)
    found = torch.bincount(ends, minlength=8) / len(start)
    assert float((found - matrix[5]).abs().sum()) / 2 < 0.02
    assert torch.equal(after[~accepted], start[~accepted])
    assert 0.2 < float(accepted.double().mean()) < 0.95


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_ratio_is_that_of_local_search(steps: int) -> None:
    """Of whole trajectories that share their first moves."""
    env, policy = model(2)
    objects = every_object()
    found = Proposer().propose(env, policy, objects, steps, torch.Generator().manual_seed(0))
    left = [[i for i in range(SITES) if i not in row] for row in found.back.tolist()]
    before = torch.tensor(left, dtype=torch.int64).view(len(objects), -1)
    prefix = 2 * before + objects.gather(1, before) - 1
    returning = 2 * found.back + objects.gather(1, found.back) - 1
    length, sampler = torch.full((len(objects),), SITES), Sampler(env)
    old = sampler.along(torch.cat([prefix, returning.flip(1)], 1), length)
    new = sampler.along(torch.cat([prefix, found.forth], 1), length)
    assert torch.equal(new.final_states, found.candidates)
    keep = torch.full_like(length, SITES - steps)
    wanted = LocalSearch(1, steps, "metropolis", "resampled").log_ratio(
        Sampling(policy, sampler), old, new, keep
    )
    mine = found.log_ratio
    for part in ("reward", "backward", "forward", "keep"):
        torch.testing.assert_close(getattr(mine, part), getattr(wanted, part).detach())


def test_what_does_not_fit_is_refused() -> None:
    env, policy = model(0)
    with pytest.raises(ConfigError, match=r"must lie in 1 \.\.\. 3"):
        Proposer().propose(env, policy, every_object(), 4)
    with pytest.raises(IncompatibleError, match="a stop action"):
        Proposer.check(HyperGrid(2, 3))
    lone = EnergyModel(FunctionReward(lambda states: states.double().sum(1)), SITES, 2)
    lone.can_end = lambda states: states[:, 0] > 9  # type: ignore[method-assign]
    with pytest.raises(IncompatibleError, match="did not lead to finished ones"):
        Proposer().propose(lone, policy, every_object(), 1)
    with pytest.raises(UnknownNameError, match="metropolis"):
        Proposer("metropolys")


# ---------------------------------------------------------------------- likelihoods


def test_likelihoods_are_exact_where_trajectories_balance() -> None:
    """EB-3, first half: with P_F and P_B in balance one trajectory tells log p(x)."""
    env, policy = model(3)
    graph = policy.graph
    flows = graph.exact_flows(graph.log_pb(policy))
    solved = TabularPolicy.solved(graph, flows)
    objects = every_object()
    wanted = env.log_reward(objects).log_softmax(0)
    generator = torch.Generator().manual_seed(0)
    for count in (1, 3):
        found = log_likelihood(env, solved, objects, count, generator=generator)
        torch.testing.assert_close(found.log_prob, wanted)


def test_likelihoods_are_too_low_on_average() -> None:
    """EB-3, second half: -log p is estimated from above, the less so the more trajectories."""
    env, policy = model(4, scale=0.8)
    every = all_trajectories(env)
    terms = evaluate(env, policy, every)
    log_pf, log_pb = (t.detach().sum(1) for t in (terms.log_pf, terms.log_pb))
    x = every_object()[3]
    mine = (every.final_states == x).all(1)
    ratio, weight = (log_pf - log_pb)[mine], log_pb[mine].exp()
    torch.testing.assert_close(weight.sum(), torch.ones(()))
    exact = float(log_pf[mine].logsumexp(0))
    one = float((weight * ratio).sum())
    pairs = torch.logaddexp(ratio[:, None], ratio) - torch.tensor(2.0).log()
    two = float((weight[:, None] * weight * pairs).sum())
    assert one + 0.02 < two < exact - 0.02
    asked, generator = x.expand(4000, -1), torch.Generator().manual_seed(0)
    for count, wanted in ((1, one), (2, two)):
        found = log_likelihood(env, policy, asked, count, generator=generator).log_prob
        error = float(found.std()) / len(asked) ** 0.5
        assert abs(float(found.mean()) - wanted) < 4 * error < 0.15
    close = log_likelihood(env, policy, x[None], 4000, generator=generator)
    assert float(close.log_prob) == pytest.approx(exact, abs=0.1)

"""Marginals as state flows: MM-1, 2, 6, 7 by brute force, and MM-4 by training."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, Sampler, TrainConfig, Trainer, evaluate
from gflow.behaviours.base import Sampling
from gflow.envs import HyperGrid
from gflow.envs.sequences.env import AnyOrder, Autoregressive
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import ConfigError, IncompatibleError, ShapeError
from gflow.marginals import (
    MarginalChains,
    MarginalPolicy,
    ResidualSites,
    SiteNetwork,
    Sites,
    TransformerSites,
    transitions,
)
from gflow.marginals.orders import random_orders
from gflow.objectives import (
    DetailedBalance,
    LogPartitionVariance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.terms import Needs
from gflow.testing import all_trajectories


class Table(SiteNetwork):
    """A number for each partial state, and logits for each place in it."""

    def __init__(self, places: int, symbols: int, seed: int = 0) -> None:
        super().__init__()
        self.places, self.symbols = places, symbols
        size = (symbols + 1) ** places
        generator = torch.Generator().manual_seed(seed)
        self.flow = torch.nn.Parameter(torch.randn(size, generator=generator))
        self.logit = torch.nn.Parameter(torch.randn(size, places, symbols, generator=generator))

    def key(self, symbols: Tensor) -> Tensor:
        return (symbols * (self.symbols + 1) ** torch.arange(self.places)).sum(1)

    def log_marginal(self, symbols: Tensor) -> Tensor:
        return self.flow[self.key(symbols)]

    def logits(self, symbols: Tensor) -> Tensor:
        return self.logit[self.key(symbols)]


def solved(env: Any) -> tuple[MarginalPolicy, Tensor, Tensor]:
    """The exact marginals and conditionals, all partial symbols, and log f of all objects."""
    sites = Sites(env)
    places, symbols = sites.places, sites.symbols
    table = Table(places, symbols)
    every = torch.tensor(list(itertools.product(range(symbols + 1), repeat=places)))
    whole = every[(every < symbols).all(1)]
    log_f = env.log_reward(sites.write(whole))
    with torch.no_grad():
        for state in every:
            fits = ((whole == state) | (state == symbols)).all(1)
            key = table.key(state[None])[0]
            table.flow[key] = log_f[fits].logsumexp(0)
            for place in (state == symbols).nonzero().flatten().tolist():
                # what is said of known places means nothing
                for value in range(symbols):
                    here = fits & (whole[:, place] == value)
                    table.logit[key, place, value] = log_f[here].logsumexp(0)
    table.logit.data.clamp_(min=-1e4)
    return MarginalPolicy(env, table), every, log_f


def words(places: int, symbols: int, seed: int = 0) -> AnyOrder:
    weight = torch.randn(places, symbols, symbols, generator=torch.Generator().manual_seed(seed))

    def reward(states: Tensor) -> Tensor:
        after = states.roll(-1, 1)
        return weight[torch.arange(places), states, after].sum(1)

    return AnyOrder("abc"[:symbols], places, FunctionReward(reward))


@settings(max_examples=15)
@given(places=st.integers(1, 4), symbols=st.integers(1, 3), seed=st.integers(0, 99))
def test_self_consistency_is_detailed_balance(places: int, symbols: int, seed: int) -> None:
    """MM-1: whatever the two functions say."""
    env = words(places, symbols, seed)
    policy = MarginalPolicy(env, Table(places, symbols, seed))
    whole = torch.cartesian_prod(*[torch.arange(symbols)] * places).view(-1, places)
    generator = torch.Generator().manual_seed(seed)
    batch = transitions(env, policy.sites, whole.repeat(3, 1), generator)
    needs = Needs(log_flow=True, whole=False, from_source=False)
    terms = evaluate(env, policy, batch, needs)
    residual = DetailedBalance().residual(terms)[:, 0].detach()
    before, after = (batch.states[batch.state_index[:, i]] for i in (0, 1))
    place = batch.actions[:, 0] // symbols
    value = batch.actions[:, 0] % symbols
    said = policy.log_conditionals(before)[torch.arange(len(place)), place, value]
    end = policy.network.log_marginal(after)
    if batch.complete is None:
        end = batch.log_reward
    else:
        end = torch.where(batch.complete, batch.log_reward, end)
    delta = policy.network.log_marginal(before) + said - end
    torch.testing.assert_close(residual, delta.detach(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", ["words", "lattice"])
def test_exact_marginals_are_the_solution(kind: str) -> None:
    """MM-2: no residual of any objective; one wrong number raises them."""
    env: Any = words(3, 3) if kind == "words" else EnergyModel(IsingReward(2, 2, 0.3, 0.1))
    policy, _, log_f = solved(env)
    batch = all_trajectories(env)
    objectives: list[Any] = [
        DetailedBalance(),
        SubTrajectoryBalance(),
        TrajectoryBalance(float(log_f.logsumexp(0))),
        LogPartitionVariance(),
    ]
    for objective in objectives:
        terms = objective.evaluate(env, policy, batch)
        assert float(objective.residual(terms).detach().abs().max()) < 1e-9
        torch.testing.assert_close(
            objective.log_z_estimate(terms).detach(),
            log_f.logsumexp(0).expand(len(batch)).to(torch.get_default_dtype()),
        )
    table: Any = policy.network
    with torch.no_grad():
        table.logit[-1, 0, 0] += 0.5  # nothing is known, and the first place is asked about
    for objective in objectives:
        assert float(objective(objective.evaluate(env, policy, batch)).detach()) > 1e-4


def test_sites_are_written_and_read() -> None:
    """Spins are 1 and 2, and 0 where there is none; whichever is asked for first."""
    sites = Sites(EnergyModel(IsingReward(2, 2, 0.3, 0.1)))
    states = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 1]])
    for _ in range(2):
        symbols = sites.read(states)
        assert symbols.tolist() == [[2, 0, 1, 2], [1, 1, 0, 0]]
        assert torch.equal(sites.write(symbols), states)


def test_questions_are_answered() -> None:
    """Sums over all objects, by hand."""
    env = words(3, 3)
    policy, _, log_f = solved(env)
    whole = torch.cartesian_prod(*[torch.arange(3)] * 3)
    log_p = log_f - log_f.logsumexp(0)
    query = torch.tensor([[0, 3, 2], [3, 3, 3], [1, 3, 3]])
    evidence = torch.tensor([[3, 1, 3], [3, 3, 0], [3, 2, 0]])
    for q, e, marginal, conditional in zip(
        query,
        evidence,
        policy.marginal(query),
        policy.conditional(query, evidence),
        strict=True,
    ):
        asked = ((whole == q) | (q == 3)).all(1)
        given = ((whole == e) | (e == 3)).all(1)
        assert float(marginal) == pytest.approx(float(log_p[asked].logsumexp(0)), abs=1e-9)
        wanted = log_p[asked & given].logsumexp(0) - log_p[given].logsumexp(0)
        assert float(conditional) == pytest.approx(float(wanted), abs=1e-9)
    with pytest.raises(ConfigError, match="differ at place 1"):
        policy.conditional(torch.tensor([[3, 0, 3]]), torch.tensor([[3, 1, 3]]))


def test_every_order_says_the_same_of_exact_conditionals() -> None:
    """MM-6; and one order does not of wrong ones."""
    env = words(3, 3)
    policy, _, log_f = solved(env)
    whole = torch.cartesian_prod(*[torch.arange(3)] * 3)
    log_p = log_f - log_f.logsumexp(0)
    for order in itertools.permutations(range(3)):
        said = policy.along(whole, torch.tensor(order).expand(27, 3))
        torch.testing.assert_close(said.detach(), log_p)
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(policy.log_likelihood(whole, 4, generator), log_p)
    other = MarginalPolicy(env, Table(3, 3))
    one, two = (other.log_likelihood(whole, 1, generator) for _ in range(2))
    assert not torch.allclose(one, two)
    many = other.log_likelihood(whole, 300, generator)
    each = torch.stack(
        [
            other.along(whole, torch.tensor(order).expand(27, 3)).detach()
            for order in itertools.permutations(range(3))
        ]
    )
    mean = each.logsumexp(0) - math.log(6)
    torch.testing.assert_close(many, mean, atol=0.2, rtol=0)


def test_evidence_stays_and_the_rest_is_drawn_from_the_posterior() -> None:
    env = words(3, 2)
    policy, _, log_f = solved(env)
    evidence = torch.tensor([[2, 1, 2]]).expand(4000, 3)
    generator = torch.Generator().manual_seed(0)
    whole = torch.cartesian_prod(*[torch.arange(2)] * 3)
    fits = whole[:, 1] == 1
    wanted = log_f[fits].softmax(0)
    for order in (None, torch.tensor([2, 1, 0])):
        drawn = policy.sample(evidence, order, generator)
        assert bool((drawn[:, 1] == 1).all())
        code = drawn[:, 0] * 2 + drawn[:, 2]
        found = torch.bincount(code, minlength=4) / len(code)
        assert float((found - wanted).abs().sum() / 2) < 0.03


def test_chains_leave_the_distribution_as_it_is() -> None:
    """MM-7: exact conditionals; chains that begin in one object forget it."""
    env = words(3, 2)
    policy, _, log_f = solved(env)
    chains = MarginalChains(erase=2, ends=False)
    chains.objects = torch.zeros(3000, 3, dtype=torch.int64)
    sampling = Sampling(policy, Sampler(env), generator=torch.Generator().manual_seed(0))
    for _ in range(12):
        chains.collect(sampling, 3000)
    assert chains.objects is not None
    code = (chains.objects * torch.tensor([4, 2, 1])).sum(1)
    found = torch.bincount(code, minlength=8) / 3000
    assert float((found - log_f.softmax(0)).abs().sum() / 2) < 0.04
    before = chains.objects
    chains.collect(sampling, 3000)
    changed = (before != chains.objects).sum(1)
    assert int(changed.max()) == 2  # no more than it erased
    with pytest.raises(ConfigError, match="Batches must stay of one size"):
        chains.collect(sampling, 10)


def test_chains_are_resumed() -> None:
    env = words(3, 2)
    policy = MarginalPolicy(env, Table(3, 2))
    one = MarginalChains(erase=1, ends=False)
    sampling = Sampling(policy, Sampler(env), generator=torch.Generator().manual_seed(0))
    one.collect(sampling, 5)
    two = MarginalChains(erase=1, ends=False)
    two.load_state_dict(one.state_dict())
    assert sampling.generator is not None
    state = sampling.generator.get_state()
    first = one.collect(sampling, 5)
    sampling.generator.set_state(state)
    second = two.collect(sampling, 5)
    assert torch.equal(first.actions, second.actions)
    assert torch.equal(first.states, second.states)


def test_a_transition_costs_two_marginals_and_one_conditional() -> None:
    """Whatever the number of places."""
    env = words(4, 3)
    network = ResidualSites(4, 3, 16, 1)
    policy = MarginalPolicy(env, network)
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(3, (40, 4), generator=generator)
    batch = transitions(env, policy.sites, whole, generator)
    asked: dict[str, int] = {"marginal": 0, "conditional": 0}
    for name in asked:

        def count(module: Any, args: Any, name: str = name) -> None:
            asked[name] += len(args[0])

        getattr(network, name).register_forward_pre_hook(count)
    needs = Needs(log_flow=True, whole=False, from_source=False)
    terms = evaluate(env, policy, batch, needs)
    left = len(torch.unique(batch.state_index[:, 0]))
    assert asked == {"marginal": batch.num_states, "conditional": left}
    assert left <= 40
    assert batch.num_states <= 80
    dense = policy(env, batch.states)
    law = env.law(batch.states, dense.forward_logits)
    said = law.log_prob(batch.actions, batch.state_index[:, :-1], batch.mask)
    torch.testing.assert_close(said, terms.log_pf)


@pytest.mark.parametrize("kind", ["residual", "transformer"])
def test_networks_are_samplers(kind: str) -> None:
    """Laws add up, open places are equally likely, symbols that may not be are not drawn."""
    allowed = torch.tensor([[True, True, False]] * 4)
    env = AnyOrder("abc", 4, FunctionReward(lambda s: s.double().sum(1)), allowed)
    torch.manual_seed(0)
    network: SiteNetwork = (
        ResidualSites(4, 3, 16, 2) if kind == "residual" else TransformerSites(4, 3, 16, 1, 2)
    )
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.3)
    policy = MarginalPolicy(env, network)
    states = torch.tensor([[3, 3, 3, 3], [0, 3, 1, 3]])
    law = env.law(states, policy(env, states).forward_logits)
    table = law.table().exp().view(2, 4, 3)
    torch.testing.assert_close(table.sum((1, 2)), torch.ones(2))
    torch.testing.assert_close(table[0].sum(1), torch.full((4,), 0.25))
    torch.testing.assert_close(table[1].sum(1), torch.tensor([0.0, 0.5, 0.0, 0.5]))
    drawn = policy.sample(states.repeat(50, 1), generator=torch.Generator().manual_seed(0))
    assert bool((drawn < 2).all())


@pytest.mark.slow
def test_it_learns_the_marginals_of_a_lattice() -> None:
    """MM-4 on 3x3 by detailed balance along chains: all 19,683 marginals and the sampler."""
    torch.set_default_dtype(torch.float32)
    env = EnergyModel(IsingReward(3, 3, 0.1, 0.2))
    torch.manual_seed(0)
    policy = MarginalPolicy(env, ResidualSites(9, 2, 128, 1))
    config = TrainConfig(steps=800, batch_size=256, lr=4e-3, lr_half_life=200)
    trainer = Trainer(env, policy, DetailedBalance(), config, behaviour=MarginalChains(ends=False))
    trainer.train()
    every = env.all_states()
    assert every is not None
    whole = every[(every > 0).all(1)]
    log_f = env.log_reward(whole).double()
    fits = torch.ones(len(whole), len(every), dtype=torch.bool)
    for i in range(9):
        fits &= (whole[:, i, None] == every[:, i]) | (every[:, i] == 0)
    exact = log_f[:, None].where(fits, torch.tensor(-torch.inf)).logsumexp(0)
    error = policy.marginal(every).double() - (exact - log_f.logsumexp(0))
    assert float(error.square().mean().sqrt()) < 0.1
    said = policy.log_likelihood(whole, 20, torch.Generator().manual_seed(0)).double()
    assert float((said.exp() - log_f.softmax(0)).abs().sum() / 2) < 0.06
    given = every[(every == 0).any(1)]
    place = (given == 0).long().argmax(1, keepdim=True)
    both = torch.stack([policy.marginal(given.scatter(1, place, v)) for v in (1, 2)])
    gap = both.logsumexp(0) - policy.marginal(given)  # MM-3
    assert float(gap.abs().mean()) < 0.1


def test_others_are_refused() -> None:
    reward: Any = FunctionReward(lambda s: s.double().sum(1))
    with pytest.raises(IncompatibleError, match="does not fill places in any order"):
        MarginalPolicy(Autoregressive("ab", 3, reward), ResidualSites(3, 2, 8, 1))
    env = AnyOrder("ab", 3, reward)
    with pytest.raises(ShapeError, match="3 places of 2 symbols, and the network is for 4 of 2"):
        MarginalPolicy(env, ResidualSites(4, 2, 8, 1))
    policy = MarginalPolicy(env, ResidualSites(3, 2, 8, 1))
    with pytest.raises(IncompatibleError, match="begin and end anywhere"):
        Trainer(env, policy, TrajectoryBalance(), TrainConfig(), behaviour=MarginalChains())
    with pytest.raises(ConfigError, match="multiple of heads"):
        TransformerSites(3, 2, 9, 1, 2)
    orders = random_orders(6, 4, torch.Generator().manual_seed(0))
    assert bool((orders.sort(1).values == torch.arange(4)).all())


def test_chains_of_marginals_refuse_other_policies_before_they_draw() -> None:
    env = words(3, 2)
    plain = MLPPolicy(env, 8, log_flow=1)
    with pytest.raises(IncompatibleError, match="cannot draw from this MLPPolicy"):
        Trainer(env, plain, DetailedBalance(), TrainConfig(), behaviour=MarginalChains())
    said = MarginalChains().refusal(HyperGrid(2, 3), DetailedBalance())
    assert said is not None
    assert "places in any order" in said

"""Marginals that are fitted to conditionals: the loss by hand, and both stages on a known law."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward, Sampler, TrainConfig, Trainer
from gflow.behaviours.base import Sampling
from gflow.envs.sequences.env import AnyOrder
from gflow.errors import ConfigError, IncompatibleError
from gflow.marginals import (
    AnyOrderFit,
    BesideData,
    MarginalChains,
    MarginalPolicy,
    ResidualSites,
    TransformerSites,
    transitions,
)
from gflow.objectives import DetailedBalance, TrajectoryBalance
from gflow.objectives.marginals.consistency import MarginalConsistency


def scattered(env: Any, seed: int = 0) -> MarginalPolicy:
    torch.manual_seed(seed)
    policy = MarginalPolicy(env, ResidualSites(3, 2, 16, 1))
    for parameter in policy.parameters():
        parameter.data.normal_(0, 0.4)
    return policy


def test_the_loss_is_that_of_the_definition_and_reads_no_reward() -> None:
    env = AnyOrder("ab", 3, FunctionReward(lambda s: s.double().sum(1)))
    other = AnyOrder("ab", 3, FunctionReward(lambda s: -9 * s.double().sum(1)))
    policy, generator = scattered(env), torch.Generator().manual_seed(1)
    whole = torch.randint(2, (8, 3), generator=generator)
    size = torch.tensor([0, 0, 1, 1, 2, 2, 2, 2])
    batch = transitions(env, policy.sites, whole, generator, size)
    objective = MarginalConsistency(env, 2.0, anchor=0.3)
    network = policy.network
    delta = []
    for row in range(len(batch)):
        before, after = (batch.states[batch.state_index[row, t]][None] for t in (0, 1))
        place, value = divmod(int(batch.actions[row, 0]), 2)
        said = policy.log_conditionals(before)[0, place, value]
        delta.append(network.log_marginal(before)[0] + said - network.log_marginal(after)[0])
    empty = network.log_marginal(torch.full((1, 3), 2))[0]
    wanted = 2 * (3 * torch.stack(delta).square().mean() + (empty - 0.3).square())
    loss = objective(objective.evaluate(env, policy, batch))
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(objective(objective.evaluate(other, policy, batch)), wanted)
    torch.testing.assert_close(
        objective.log_z_estimate(objective.evaluate(env, policy, batch)), empty.expand(8)
    )


@pytest.mark.parametrize("network", [ResidualSites(3, 2, 16, 1), TransformerSites(3, 2, 16, 1, 2)])
def test_what_is_fitted_to_data_gets_no_gradient_from_balance(network: Any) -> None:
    env = AnyOrder("ab", 3, FunctionReward(lambda s: s.double().sum(1)))
    torch.manual_seed(0)
    policy, whole = MarginalPolicy(env, network), torch.randint(2, (8, 3))
    for parameter in policy.parameters():
        parameter.data.normal_(0, 0.4)
    batch = transitions(env, policy.sites, whole)
    for objective in (MarginalConsistency(env), DetailedBalance()):
        for fitted in (False, True):
            network.fitted = fitted
            policy.zero_grad(set_to_none=True)
            objective(objective.evaluate(env, policy, batch)).backward()
            part = [p.grad for p in network.conditional_part.parameters()]
            moved = [g is not None and bool(g.abs().sum() > 0) for g in part]
            assert any(moved) is not fitted
            assert bool(network.marginal.parameters().__next__().grad.abs().sum() > 0)


def law() -> tuple[Tensor, Tensor]:
    """All strings of three of two letters, and probabilities with strong dependence."""
    whole = torch.cartesian_prod(*[torch.arange(2)] * 3)
    weight = torch.tensor([4.0, 1.0, 1.0, 2.0, 1.0, 2.0, 3.0, 6.0])
    return whole, weight / weight.sum()


def exact_marginal(symbols: Tensor) -> Tensor:
    """(N,) log p of (N, 3) known symbols, 2 where there is none."""
    whole, p = law()
    agree = ((symbols[:, None] == whole) | (symbols[:, None] == 2)).all(-1)
    return (agree * p).sum(1).log()


def test_the_bound_of_a_batch_is_that_of_the_definition() -> None:
    env = AnyOrder("ab", 3, FunctionReward(lambda s: s.double().sum(1)))
    policy = scattered(env)
    whole, p = law()
    fit = AnyOrderFit(policy, whole)
    mean = torch.zeros(())
    for known in torch.cartesian_prod(*[torch.arange(2)] * 3)[:-1].bool():
        size = int(known.sum())
        share = 1 / 3 / (1, 3, 3)[size]  # of this part among all, sizes alike
        said = policy.log_conditionals(whole.masked_fill(~known, 2))
        value = said.gather(2, whole[:, :, None]).squeeze(2)[:, ~known]
        mean = mean - share * (p * value.mean(1)).sum()
    generator = torch.Generator().manual_seed(0)
    rows = whole[torch.multinomial(p, 200_000, True, generator=generator)]
    with torch.no_grad():
        found = fit.loss(rows, generator)
    assert float(found.mean()) == pytest.approx(float(mean.detach()), abs=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ResidualSites, TransformerSites])
def test_two_stages_find_the_marginals_of_data(kind: Any) -> None:
    env = AnyOrder("ab", 3, FunctionReward(lambda s: s.double().sum(1)))
    torch.manual_seed(0)
    network = kind(3, 2, 16, 1)
    policy = MarginalPolicy(env, network)
    whole, p = law()
    data = whole.repeat_interleave((20 * p).round().long(), 0)  # as often as they are likely
    fit = AnyOrderFit(policy, data, steps=1000, each=5, batch_size=128, lr=5e-3)
    trainer = Trainer(
        env,
        policy,
        MarginalConsistency(env),
        TrainConfig(steps=500, batch_size=64, lr=5e-3, lr_half_life=100),
        behaviour=BesideData(env, data, inner=MarginalChains(erase=2)),
        learners=[fit],
    )
    trainer.train()
    assert fit.taken == 1000
    every = torch.cartesian_prod(*[torch.arange(3)] * 3)
    found = policy.marginal(policy.sites.write(every))
    torch.testing.assert_close(found, exact_marginal(every), atol=0.2, rtol=0)
    sums = policy.log_likelihood(policy.sites.write(whole), 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(sums, p.log(), atol=0.2, rtol=0)


def test_a_killed_fit_goes_on_as_if_nothing_had_been() -> None:
    env = AnyOrder("ab", 3, FunctionReward(lambda s: s.double().sum(1)))
    whole, _ = law()

    def trainer() -> Trainer:
        policy = scattered(env)
        return Trainer(
            env,
            policy,
            MarginalConsistency(env),
            TrainConfig(steps=8, batch_size=8),
            behaviour=BesideData(env, whole, inner=MarginalChains(erase=2)),
            learners=[AnyOrderFit(policy, whole, steps=9, each=2, batch_size=8)],
        )

    straight, first, second = trainer(), trainer(), trainer()
    straight.train(8)
    first.train(3)
    second.load_state_dict(first.state_dict())
    second.train(5)
    for one, two in zip(straight.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(one, two)
    (fit,) = straight.learners
    assert isinstance(fit, AnyOrderFit)
    assert fit.taken == 9  # and no more


def test_some_moves_lead_to_data_and_the_others_come_from_elsewhere() -> None:
    env = AnyOrder("ab", 3, FunctionReward(lambda s: s.double().sum(1)))
    policy, data = scattered(env), torch.tensor([[0, 1, 0], [0, 1, 1]])
    behaviour = BesideData(env, policy.sites.write(data), 0.25, MarginalChains(ends=False))
    sampling = Sampling(policy, Sampler(env), generator=torch.Generator().manual_seed(0))
    batch = behaviour.collect(sampling, 40)
    assert len(batch) == 40
    known = policy.sites.read(batch.final_states)
    agrees = ((known[:, None] == data) | (known[:, None] == 2)).all(-1).any(1)
    assert bool(agrees[:10].all())
    assert not bool(agrees[10:30].all())
    with pytest.raises(ConfigError, match="row 1 of the data set has empty places"):
        BesideData(env, torch.tensor([[0, 1, 0], [0, 2, 1]]))
    with pytest.raises(IncompatibleError, match="trajectories from the source"):
        Trainer(env, policy, TrajectoryBalance(), TrainConfig(), behaviour=behaviour)

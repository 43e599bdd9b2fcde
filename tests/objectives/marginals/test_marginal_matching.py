"""The off-policy loss of marginals of an energy: by hand, and MM-4 in this mode."""

from typing import Any

import pytest
import torch

from gflow import FunctionReward, TrainConfig, Trainer
from gflow.envs.sequences.env import AnyOrder
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import IncompatibleError
from gflow.marginals import (
    ConvolutionSites,
    MarginalChains,
    MarginalPolicy,
    ResidualSites,
    transitions,
)
from gflow.objectives import MarginalDivergence, MarginalMatching
from gflow.objectives.marginals.consistency import MarginalConsistency
from gflow.trajectories import Trajectories


def test_the_loss_is_that_of_the_definition() -> None:
    weight = torch.tensor([0.3, -1.2, 0.8])
    env = AnyOrder("ab", 3, FunctionReward(lambda s: (s * weight).sum(1)))
    torch.manual_seed(0)
    policy = MarginalPolicy(env, ResidualSites(3, 2, 16, 1))
    for parameter in policy.parameters():
        parameter.data.normal_(0, 0.4)
    generator = torch.Generator().manual_seed(1)
    whole = torch.randint(2, (6, 3), generator=generator)
    last = transitions(env, policy.sites, whole, generator, torch.full((6,), 2))
    early = transitions(env, policy.sites, whole, generator, torch.zeros(6, dtype=torch.int64))
    batch = Trajectories.join([early, last])
    objective = MarginalMatching(env, 2.5)
    terms = objective.evaluate(env, policy, batch)
    network, delta = policy.network, []
    for row in range(len(batch)):
        before, after = (batch.states[batch.state_index[row, t]][None] for t in (0, 1))
        place, value = divmod(int(batch.actions[row, 0]), 2)
        said = policy.log_conditionals(before)[0, place, value]
        delta.append(network.log_marginal(before)[0] + said - network.log_marginal(after)[0])
    gap = network.log_marginal(whole) - (whole * weight).sum(1)
    consistency, matching = torch.stack(delta).square().mean(), gap.square().mean()
    torch.testing.assert_close(objective(terms), 2.5 * consistency + matching / 3)
    found = objective.metrics(terms)
    torch.testing.assert_close(found["consistency"], consistency.detach())
    torch.testing.assert_close(found["matching"], matching.detach())
    empty = network.log_marginal(torch.full((1, 3), 2))
    torch.testing.assert_close(
        objective.log_z_estimate(terms), (empty - gap.mean()).expand(len(batch))
    )
    with pytest.raises(IncompatibleError, match="MarginalMatching compares finished objects"):
        objective.evaluate(env, policy, early)


@pytest.mark.parametrize("kind", [MarginalConsistency, MarginalDivergence])
def test_networks_begin_where_nothing_is_held(kind: Any) -> None:
    """The log of the number of objects: no loss where R = 1 and nothing was learned."""
    env = AnyOrder("abc", 4, FunctionReward(lambda s: 0.0 * s.double().sum(1)))
    policy = MarginalPolicy(env, ResidualSites(4, 3, 8, 1))
    whole = torch.randint(3, (10, 4), generator=torch.Generator().manual_seed(0))
    batch = transitions(env, policy.sites, whole, None, torch.full((10,), 3))
    objective = kind(env)
    assert float(objective(objective.evaluate(env, policy, batch)).detach()) < 1e-12


@pytest.mark.slow
def test_it_learns_all_marginals_of_a_lattice() -> None:
    """MM-4; of finished objects, too."""
    torch.set_default_dtype(torch.float32)
    env = EnergyModel(IsingReward(3, 3, 0.1, 0.2))
    torch.manual_seed(0)
    policy = MarginalPolicy(env, ConvolutionSites(3, 3, 2, 16, 0, periodic=True))
    config = TrainConfig(steps=250, batch_size=64, lr=1e-2, lr_half_life=50)
    trainer = Trainer(env, policy, MarginalMatching(env), config, behaviour=MarginalChains())
    record = trainer.train()
    assert float(record["log_z"]) == pytest.approx(7.11537, abs=0.1)
    every = env.all_states()
    assert every is not None
    whole = every[(every > 0).all(1)]
    log_f = env.log_reward(whole).double()
    generator = torch.Generator().manual_seed(1)
    chosen = torch.cat([whole, every[torch.randperm(len(every), generator=generator)[:1000]]])
    fits = ((whole[:, None] == chosen) | (chosen == 0)).all(2)
    exact = log_f[:, None].where(fits, torch.tensor(-torch.inf)).logsumexp(0)
    error = policy.network.log_marginal(policy.sites.read(chosen)).detach().double() - exact
    assert float(error.square().mean().sqrt()) < 0.1
    said = policy.log_likelihood(whole, 20, torch.Generator().manual_seed(0)).double()
    assert float((said.exp() - log_f.softmax(0)).abs().sum() / 2) < 0.06

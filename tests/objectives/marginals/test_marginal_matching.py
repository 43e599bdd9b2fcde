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


def test_the_loss_is_that_of_the_definition(by_hand: Any) -> None:
    objective = MarginalMatching(by_hand.env, 2.5)
    terms = objective.evaluate(by_hand.env, by_hand.policy, by_hand.batch)
    gap = by_hand.learned - by_hand.wanted
    consistency, matching = by_hand.delta.square().mean(), gap.square().mean()
    torch.testing.assert_close(objective(terms), 2.5 * consistency + matching / 3)
    found = objective.metrics(terms)
    torch.testing.assert_close(found["consistency"], consistency.detach())
    torch.testing.assert_close(found["matching"], matching.detach())
    log_z = (by_hand.empty - gap.mean()).expand(len(by_hand.batch))
    torch.testing.assert_close(objective.log_z_estimate(terms), log_z)
    with pytest.raises(IncompatibleError, match="MarginalMatching compares finished objects"):
        objective.evaluate(by_hand.env, by_hand.policy, by_hand.early)


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
    energy = IsingReward(3, 3, 0.1, 0.2)
    env = EnergyModel(energy)
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
    nll, entropy = -float(log_f.softmax(0) @ said), energy.exact.entropy
    assert entropy < nll < entropy + 0.03  # MM-5: no model is below

"""The energy-based loss of marginals: by hand, and MM-4 in this mode."""

from typing import Any

import pytest
import torch

from gflow import FunctionReward, MLPPolicy, TrainConfig, Trainer
from gflow.envs import HyperGrid
from gflow.envs.sequences.env import AnyOrder
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import IncompatibleError
from gflow.marginals import (
    MarginalChains,
    MarginalPolicy,
    ResidualSites,
    transitions,
)
from gflow.objectives.marginals.divergence import MarginalDivergence


@pytest.mark.parametrize("standardised", [True, False])
def test_the_loss_is_that_of_the_definition(by_hand: Any, standardised: bool) -> None:
    objective = MarginalDivergence(by_hand.env, 2.5, standardised, anchor=0.7)
    terms = objective.evaluate(by_hand.env, by_hand.policy, by_hand.batch)
    loss = objective(terms)
    gap = (by_hand.learned - by_hand.wanted).detach()
    advantage = gap - gap.mean()
    if standardised:
        advantage = advantage / (gap.std() + 1e-7)
    consistency = by_hand.delta.square().mean()
    wanted = (advantage * by_hand.learned).mean()
    wanted = wanted + 2.5 * (3 * consistency + (by_hand.empty - 0.7).square())
    torch.testing.assert_close(loss, wanted)
    mine, hand = (
        torch.autograd.grad(one, list(by_hand.policy.parameters()), allow_unused=True)
        for one in (loss, wanted)
    )
    for one, two in zip(mine, hand, strict=True):
        torch.testing.assert_close(one, two)
    found = objective.metrics(terms)
    torch.testing.assert_close(found["consistency"], consistency.detach())
    torch.testing.assert_close(found["drift"], by_hand.empty.detach() - 0.7)


def test_it_needs_objects_and_marginals() -> None:
    reward: Any = FunctionReward(lambda s: s.double().sum(1))
    env = AnyOrder("ab", 3, reward)
    policy = MarginalPolicy(env, ResidualSites(3, 2, 8, 1))
    objective = MarginalDivergence(env)
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(2, (4, 3), generator=generator)
    early = transitions(env, policy.sites, whole, generator, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(IncompatibleError, match="the batch has none"):
        objective.evaluate(env, policy, early)
    with pytest.raises(IncompatibleError, match="this MLPPolicy: it is for marginals"):
        objective.check(env, MLPPolicy(env, log_flow=1))
    with pytest.raises(IncompatibleError, match="places in any order"):
        MarginalDivergence(HyperGrid(4, 2)).check(HyperGrid(4, 2))
    assert "trains marginals" in str(MarginalDivergence.refusal(HyperGrid(4, 2)))


@pytest.mark.slow
def test_it_learns_a_lattice() -> None:
    """MM-4 in the energy-based mode, advantages standardised."""
    torch.set_default_dtype(torch.float32)
    env = EnergyModel(IsingReward(3, 3, 0.1, 0.2))
    torch.manual_seed(0)
    policy = MarginalPolicy(env, ResidualSites(9, 2, 128, 1))
    config = TrainConfig(steps=700, batch_size=256, lr=3e-3, lr_half_life=200)
    chains = MarginalChains()
    trainer = Trainer(env, policy, MarginalDivergence(env), config, behaviour=chains)
    record = trainer.train()
    assert float(record["log_z"]) == pytest.approx(7.11537, abs=0.1)
    every = env.all_states()
    assert every is not None
    whole = every[(every > 0).all(1)]
    log_p = env.log_reward(whole).double().log_softmax(0)
    said = policy.log_likelihood(whole, 20, torch.Generator().manual_seed(0)).double()
    assert float((said.exp() - log_p.exp()).abs().sum() / 2) < 0.08
    error = policy.marginal(whole).double() - log_p
    assert float(error.square().mean().sqrt()) < 0.2

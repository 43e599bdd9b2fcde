"""Single moves of a small random model, and their self-consistency written out."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward
from gflow.envs.sequences.env import AnyOrder
from gflow.marginals import MarginalPolicy, ResidualSites, transitions
from gflow.trajectories import Trajectories


@dataclass
class ByHand:
    """Six moves that end in objects after six that begin with nothing, of three letters of two.

    Attributes:
        early: The moves that begin with nothing.
        batch: All twelve.
        delta: (12,) log p(s) + log p(v | s) - log p(s + v), asked for one by one.
        learned: (6,) log p of the finished objects.
        wanted: (6,) their log R.
        empty: () log p of nothing.
    """

    env: AnyOrder
    policy: MarginalPolicy
    early: Trajectories[Tensor]
    batch: Trajectories[Tensor]
    delta: Tensor
    learned: Tensor
    wanted: Tensor
    empty: Tensor


@pytest.fixture
def by_hand() -> ByHand:
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
    batch, network, delta = Trajectories.join([early, last]), policy.network, []
    for row in range(len(batch)):
        before, after = (batch.states[batch.state_index[row, t]][None] for t in (0, 1))
        place, value = divmod(int(batch.actions[row, 0]), 2)
        said = policy.log_conditionals(before)[0, place, value]
        delta.append(network.log_marginal(before)[0] + said - network.log_marginal(after)[0])
    return ByHand(
        env,
        policy,
        early,
        batch,
        torch.stack(delta),
        network.log_marginal(whole),
        (whole * weight).sum(1),
        network.log_marginal(torch.full((1, 3), 2))[0],
    )

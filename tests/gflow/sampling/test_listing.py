"""When all states are looked at once: only where there are few of them."""

from typing import Any

import torch
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, Sampler
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import Autoregressive

EVEN = FunctionReward[Tensor](lambda states: torch.zeros(len(states)))


class Counting(MLPPolicy):
    """Notes how many states it is asked about."""

    asked = 0

    def forward_logits(self, env: Any, states: Any, condition: Tensor | None = None) -> Tensor:
        self.asked += len(states)
        return super().forward_logits(env, states, condition)


def asked(env: Any, count: int) -> tuple[int, int]:
    """States that the network saw, and distinct ones that were visited."""
    policy = Counting(env, width=4)
    batch = Sampler(env).forward(policy, count, generator=torch.Generator().manual_seed(0))
    return policy.asked, len(env.key(batch.states[batch.state_index.unique()]).unique())


def test_few_states_are_listed_for_large_batches_alone() -> None:
    env = HyperGrid(2, 8, EVEN)
    assert asked(env, 64)[0] == 64
    assert asked(env, 4)[0] < 64


def test_many_states_are_never_listed_however_large_the_batch() -> None:
    """8-mers have 87,381 states: a batch of 11,000 asked about all of them."""
    env = Autoregressive("ACGT", 8, EVEN)
    assert env.num_keys is not None
    found, visited = asked(env, 11_000)
    assert found <= visited < env.num_keys // 2
    env = Autoregressive("ACGT", 5, EVEN)  # 1365 states, more of which are visited
    found, visited = asked(env, 2_000)
    assert found <= visited

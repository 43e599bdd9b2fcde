"""Rewards of all prefixes: asked once per batch, whatever the objective reads."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import LogReward, MLPPolicy, Needs, Sampler, Trajectories, evaluate
from gflow.envs.sequences.env import VariableLength
from gflow.objectives import OBJECTIVES
from gflow.policies.transformer import CausalTransformer
from gflow.rewards.wrappers import Clipped, Tempered
from gflow.training.trainer import TrainConfig, Trainer

LETTERS = torch.tensor([0.3, -0.7, 1.1])


class Prefixes(LogReward[Tensor]):
    """A sum over letters and neighbours, as a language model's is: one pass gives all prefixes."""

    has_partial = True

    def __init__(self, blank: int) -> None:
        self.blank, self.passes, self.rows = blank, 0, 0

    def running(self, tokens: Tensor) -> Tensor:
        """(B, L + 1) log R after 0, 1, ... L letters."""
        weight = torch.cat([LETTERS, torch.zeros(1)]).to(torch.get_default_dtype())
        each = weight[tokens]
        each[:, 1:] += 0.5 * (tokens[:, 1:] == tokens[:, :-1]) * (tokens[:, 1:] != self.blank)
        return torch.nn.functional.pad(each.cumsum(1), (1, 0))

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        self.rows += len(states)
        return self.running(states)[:, -1]

    def of_trajectories(
        self, env: Any, trajectories: Trajectories[Tensor], condition: Tensor | None = None
    ) -> Tensor:
        self.passes += 1
        row, time = trajectories.first_visits()
        values = self.running(trajectories.final_states)
        return values[row, time.clamp(max=values.shape[1] - 1)]


def few_letters(wrap: bool = False) -> tuple[VariableLength, Prefixes]:
    env = VariableLength("abc", 4, Prefixes(3))
    reward = env.reward
    assert isinstance(reward, Prefixes)
    if wrap:
        env.reward = Tempered(Clipped(reward, -1.0, 2.0), 1.5)
    return env, reward


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("share", [False, True])
def test_one_pass_says_what_each_prefix_by_itself_does(wrap: bool, share: bool) -> None:
    env, reward = few_letters(wrap)
    policy = MLPPolicy(env, 8, log_flow=True, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    batch = Sampler(env, share=share).forward(policy, 30, generator=generator)
    cut = batch.truncate(torch.randint(1, 6, (30,), generator=generator))
    begin = (torch.rand(30, generator=generator) * batch.length).long()
    part = batch.part(begin, torch.minimum(begin + 1, batch.length))  # read state by state
    few = batch.select(torch.tensor([4, 1]))
    for some in (batch, cut, few, Trajectories.join([cut, batch]), part):
        seen = torch.zeros(some.num_states, dtype=torch.bool)
        seen[some.state_index.flatten()] = True  # a cut leaves states that none visits
        wanted = env.partial_log_reward(some.states)
        torch.testing.assert_close(env.partial_of_trajectories(some)[seen], wanted[seen])
        target = env.target_log_reward(some.states)
        torch.testing.assert_close(env.target_of_trajectories(some)[seen], target[seen])
    assert reward.passes == 8


@pytest.mark.parametrize("name", ["mdb", "fldb", "flsubtb"])
def test_training_asks_once_per_batch(name: str) -> None:
    env, reward = few_letters()
    torch.manual_seed(0)
    policy = CausalTransformer(env, 8, 1, 2, log_flow=True)
    trainer = Trainer(env, policy, OBJECTIVES[name].build(env), TrainConfig(batch_size=12))
    trainer.train(5)
    assert reward.passes == 5
    assert reward.rows <= 5 * 12, "the objects alone, each at most once"


def test_the_terms_are_those_of_a_reward_without_a_pass() -> None:
    class Each(Prefixes):
        of_trajectories = LogReward.of_trajectories

    env, _ = few_letters()
    policy = MLPPolicy(env, 8, log_flow=True, generator=torch.Generator().manual_seed(0))
    batch = Sampler(env).forward(policy, 30, generator=torch.Generator().manual_seed(1))
    needs = Needs(stop=True, energy=True, log_flow=True)
    together = evaluate(env, policy, batch, needs)
    env.reward = Each(3)
    apart = evaluate(env, policy, batch, needs)
    for name in ("state_log_reward", "energy", "log_flow"):
        one, other = getattr(together, name), getattr(apart, name)
        visited = torch.arange(one.shape[1]) <= batch.length[:, None]
        torch.testing.assert_close(one[visited], other[visited])
    assert env.reward.passes == 0
    assert env.reward.rows > 0


def test_the_first_visit_is_the_first() -> None:
    batch = Trajectories(
        states=torch.arange(5),
        state_index=torch.tensor([[2, 0, 3, 3], [2, 4, 3, 1]]),
        actions=torch.zeros(2, 3, dtype=torch.int64),
        backward_actions=torch.zeros(2, 3, dtype=torch.int64),
        length=torch.tensor([2, 3]),
        stopped=torch.tensor([False, False]),
        log_reward=torch.zeros(2),
    )
    row, time = batch.first_visits()
    assert list(zip(row.tolist(), time.tolist(), strict=True)) == [
        (0, 1),
        (1, 3),
        (0, 0),
        (0, 2),
        (1, 1),
    ]

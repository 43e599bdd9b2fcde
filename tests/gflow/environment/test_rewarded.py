"""The same environment with another reward, and flows that are anchored where log Z is known."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy, Needs, Sampler, TrainConfig, Trainer, enumerate_states, evaluate
from gflow.conditions.draws import TableCondition
from gflow.environment import with_reward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.objectives import DetailedBalance, LogPartitionVariance, TrajectoryBalance
from gflow.rewards.base import FunctionReward, LogReward

GRID = HyperGrid(2, 3, Corners(3, 0.1))


class Sums(LogReward[Tensor]):
    """log R = c times the sum of the coordinates."""

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        return condition[:, 0] * states.sum(-1)


class Normalised(Sums):
    """The same, and it knows its log Z."""

    has_known_log_z = True

    def known_log_z(self, condition: Tensor | None) -> Tensor:
        assert condition is not None
        return 2 * (condition * torch.arange(3)).logsumexp(-1)


def flat(states: Tensor) -> Tensor:
    return states.sum(-1) * 0.0


def test_closed_forms_of_the_old_reward_are_gone_and_the_rest_is_there() -> None:
    same = with_reward(GRID, FunctionReward(flat))
    assert GRID.log_partition() is not None
    assert same.log_partition() is None
    assert isinstance(same, HyperGrid)
    assert (same.name, same.has_keys, same.has_backward) == ("HyperGrid", True, True)
    assert float(enumerate_states(same).log_reward().exp().sum()) == pytest.approx(9.0)
    assert float(GRID.log_reward(torch.zeros(1, 2, dtype=torch.int64))) != 0.0
    again = with_reward(same, Corners(3, 0.1), name="again")
    assert type(again) is type(same)
    assert again.name == "again"


def test_they_can_be_copied_and_pickled() -> None:
    same = with_reward(GRID, FunctionReward(flat), name="flat")
    for other in (copy.copy(same), copy.deepcopy(same), pickle.loads(pickle.dumps(same))):
        assert type(other) is type(same)
        assert other.name == "flat"
        assert other.log_partition() is None


class Looking(HyperGrid):
    """A grid that knows energies of unfinished objects by itself."""

    def partial_log_reward(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return torch.full((len(states),), 7.0)


def test_energies_of_unfinished_objects_are_those_of_the_new_reward() -> None:
    same = with_reward(Looking(2, 3, Corners(3, 0.1)), FunctionReward(flat))
    assert same.partial_log_reward(torch.zeros(2, 2, dtype=torch.int64)).tolist() == [0.0, 0.0]


def test_flows_are_anchored_at_the_source_where_log_z_is_known() -> None:
    env = with_reward(GRID, Normalised(), 1)
    policy = MLPPolicy(env, 8, log_flow=True)
    given = torch.tensor([[0.5], [1.0], [-1.0]])
    generator = torch.Generator().manual_seed(0)
    batch = Sampler(env).forward(policy, 3, condition=given, generator=generator)
    terms = evaluate(env, policy, batch, Needs(log_flow=True))
    graph = enumerate_states(env)
    exact = torch.stack([graph.log_reward(c[None]).logsumexp(0) for c in given])
    assert terms.log_flow is not None
    assert torch.allclose(terms.log_flow[:, 0], exact)
    assert torch.allclose(TrajectoryBalance().log_z_estimate(terms), exact)
    assert torch.allclose(LogPartitionVariance().log_z_estimate(terms), exact)
    inner = batch.length > 1
    rest = batch.select(inner.nonzero().squeeze(1))
    rest = rest.part(torch.ones_like(rest.length), rest.length)
    cut = evaluate(env, policy, rest, Needs(log_flow=True))
    assert cut.log_flow is not None
    assert not (cut.log_flow[:, 0] == exact[inner]).any()


@pytest.mark.parametrize("objective", [DetailedBalance, TrajectoryBalance])
def test_what_is_known_is_not_asked_for(objective: Any) -> None:
    """One log Z for all conditions is refused, unless nobody learns it."""
    table = TableCondition(torch.tensor([[0.5], [1.0]]))
    config = TrainConfig(steps=2, batch_size=4)
    env = with_reward(GRID, Normalised(), 1)
    Trainer(env, MLPPolicy(env, 8, log_flow=True), objective(), config, condition=table).train()
    other = with_reward(GRID, Sums(), 1)
    if objective is TrajectoryBalance:
        with pytest.raises(Exception, match="one log Z for all conditions"):
            Trainer(other, MLPPolicy(other, 8), objective(), config, condition=table)

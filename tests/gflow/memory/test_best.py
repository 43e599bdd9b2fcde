"""The best objects seen, against a dictionary of everything seen."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, Sampler, TabularPolicy, enumerate_states
from gflow.conditions.preferences import DirichletPreferences
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.memory.best import BestObjects
from gflow.memory.pareto import ParetoArchive
from gflow.memory.replay import ReplayBuffer
from gflow.rewards.scalarizations import Preferences

SIDE = 4
VALUE = torch.randint(0, 6, (SIDE**2,), generator=torch.Generator().manual_seed(0)).double()
ENV: HyperGrid = HyperGrid(2, SIDE, FunctionReward(lambda s: VALUE[ENV.key(s)]))


@settings(max_examples=40)
@given(
    batches=st.lists(st.lists(st.integers(0, SIDE**2 - 1), min_size=1, max_size=7), max_size=8),
    capacity=st.integers(1, 6),
)
def test_it_holds_the_best_distinct_ones_of_all_it_saw(
    batches: list[list[int]], capacity: int
) -> None:
    best = BestObjects(ENV, capacity)
    seen: dict[int, float] = {}
    for batch in batches:
        keys = torch.tensor(batch)
        best.add(ENV.cells(keys), VALUE[keys])
        seen.update({k: float(VALUE[k]) for k in batch})
        wanted = sorted(seen.values(), reverse=True)[:capacity]
        assert best.log_reward.tolist() == wanted
        assert len(set(best.keys.tolist())) == len(best) == len(wanted)
        assert best.log_reward.tolist() == VALUE[best.keys].tolist()
        assert torch.equal(ENV.key(best.states), best.keys)
    other = BestObjects(ENV, capacity)
    other.load_state_dict(best.state_dict())
    assert torch.equal(other.keys, best.keys)
    assert torch.equal(other.states, best.states)


class Labelled(HyperGrid):
    def log_symmetry(self, states: Tensor) -> Tensor:
        return states.sum(-1).double()


def test_rewards_are_those_of_the_environment_not_of_the_training() -> None:
    env = Labelled(2, 3)
    batch = Sampler(env).forward(
        TabularPolicy(enumerate_states(env)), 20, generator=torch.Generator().manual_seed(0)
    )
    best = BestObjects(env, 5)
    best(SimpleNamespace(), batch, {})
    torch.testing.assert_close(best.log_reward, env.log_reward(best.states))
    assert (batch.log_reward - env.log_reward(batch.final_states)).abs().max() > 0.5


def test_conditional_rewards_are_compared_by_their_mean_score() -> None:
    env = landscape_grid(side=5, scalarization=Preferences(9.0))
    policy = MLPPolicy(env, 8, 1, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    condition = DirichletPreferences(2)(30, generator)
    batch = Sampler(env).forward(policy, 30, condition=condition, generator=generator)
    best = BestObjects(env, 3)
    best(SimpleNamespace(), batch, {})
    mean = env.scores(batch.final_states.unique(dim=0)).mean(1)
    torch.testing.assert_close(best.log_reward.exp(), mean.sort(descending=True).values[:3])
    torch.testing.assert_close(env.scores(best.states).mean(1), best.log_reward.exp())


class Mirrored(HyperGrid):
    """Cells (i, j) and (j, i) stand for one object, as two Kekulé structures for one molecule."""

    def object_key(self, states: Tensor) -> Tensor:
        return self.key(states.sort(-1).values)

    def log_multiplicity(self, states: Tensor) -> Tensor:
        return torch.where(states[:, 0] == states[:, 1], 1.0, 2.0).double().log()


def test_an_object_that_several_states_stand_for_counts_once_with_its_whole_reward() -> None:
    env = Mirrored(2, 3, FunctionReward(lambda s: s.sum(-1).double()))
    batch = Sampler(env).forward(
        TabularPolicy(enumerate_states(env)), 300, generator=torch.Generator().manual_seed(0)
    )
    assert len(env.key(batch.final_states).unique()) == 9
    best = BestObjects(env, 20)
    best(SimpleNamespace(), batch, {})
    assert best.log_reward.tolist() == [4.0, 3.0, 2.0, 2.0, 1.0, 0.0]
    assert best.states.sum(-1).tolist() == [4, 3, 2, 2, 1, 0]
    other = BestObjects(env, 20)
    other.load_state_dict(best.state_dict())
    other(SimpleNamespace(), batch, {})
    assert len(other) == 6, "they are known again"


@pytest.mark.parametrize("saved", [False, True])
def test_a_memory_of_distinct_objects_takes_each_in_once(saved: bool) -> None:
    env = Mirrored(2, 3)
    batch = Sampler(env).forward(
        TabularPolicy(enumerate_states(env)), 300, generator=torch.Generator().manual_seed(0)
    )
    memory = ReplayBuffer(env, 50, distinct=True)
    memory.add(batch)
    assert len(memory) == 6
    if saved:
        state, memory = memory.state_dict(), ReplayBuffer(env, 50, distinct=True)
        memory.load_state_dict(state)
    memory.add(batch)
    assert len(memory) == 6


def test_a_front_holds_each_object_once() -> None:
    class Twice(Mirrored):
        pass

    reward = landscape_grid(("branin", "currin"), side=3).reward
    env = Twice(2, 3, reward)
    cells = env.cells(torch.arange(9))
    scores = torch.full((9, 2), 0.5)
    archive = ParetoArchive(env)
    assert archive.add(cells, scores) == 6
    other = ParetoArchive(env)
    other.load_state_dict(archive.state_dict())
    other.add(cells, scores)
    assert len(other) == len(archive) == 6

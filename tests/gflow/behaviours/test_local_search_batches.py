"""Batches of a local search: whole trajectories, conditions, scores, and how many."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    Exploration,
    MLPPolicy,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.behaviours.base import Sampling
from gflow.behaviours.local_search import LocalSearch
from gflow.conditions.draws import ConditionSampler, UniformCondition
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.objectives import TrajectoryBalance
from gflow.rewards.vector import VectorReward
from gflow.rewards.wrappers import TemperatureConditional
from gflow.testing import TableEnvironment, sample_environments

SETS = FixedSizeSets(5, 3, AdditiveEnergy(torch.tensor([0.3, -0.8, 1.1, -0.2, 0.6])))
INTEGERS = TableEnvironment(
    [[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5], [5], []],
    [0.2, -0.9, 0.7, -0.3, 1.1, 0.4],
    stops=[True] * 6,
)
"""0 ... 5 with steps +1, +2, +3 and a stop everywhere: trajectories of different lengths."""
GRID = HyperGrid(2, 3)
"""Ends by stopping; the length of a trajectory is a function of its object."""
TWINS = sample_environments()[-1]
"""Several actions with one child, forward and backward; ends by force and by stopping."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def scattered(env: DiscreteEnvironment[Any], seed: int = 0) -> TabularPolicy:
    """Random P_F and P_B."""
    policy = TabularPolicy(enumerate_states(env))
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def codes(env: DiscreteEnvironment[Any], batch: Trajectories[Any], width: int) -> Tensor:
    """(B,) a number for each trajectory, from the states it passes."""
    keys = env.key(batch.states)[batch.state_index] + 1
    time = torch.arange(keys.shape[1])
    keys = keys.where(time <= batch.length[:, None], 0)
    radix = int(keys.max()) + 2 if env.num_keys is None else env.num_keys + 2
    assert radix**width < 2**62
    return (keys * radix**time).sum(-1)


def conditional() -> tuple[DiscreteEnvironment[Any], MLPPolicy]:
    env = HyperGrid(2, 3)
    env.reward, env.condition_dim = TemperatureConditional(env.reward), 1
    return env, MLPPolicy(env, width=8, depth=1, generator=seeded())


def assert_whole(env: DiscreteEnvironment[Any], batch: Trajectories[Any]) -> None:
    """Replayed action by action it is the same: states, ends, rewards, log-weights."""
    again = Sampler(env).along(batch.actions, batch.length, condition=batch.condition)
    assert torch.equal(again.stopped, batch.stopped)
    width = again.actions.shape[1]
    assert torch.equal(again.backward_actions, batch.backward_actions[:, :width])
    torch.testing.assert_close(again.log_reward, batch.log_reward)
    for time in range(width + 1):
        assert torch.equal(again.states_at(time), batch.states_at(time))
    assert batch.complete is None


@pytest.mark.parametrize("plan", ["ragged", "static", "auto"])
@pytest.mark.parametrize("prefix", ["kept", "resampled"])
@pytest.mark.parametrize("env", [SETS, INTEGERS, GRID, TWINS], ids=lambda e: e.name)
def test_ls5_stored_trajectories_are_whole(
    env: DiscreteEnvironment[Any], prefix: Any, plan: Any
) -> None:
    """They start at s0, are legal, end at x; the residual of the stored is that of the replayed.

    Guards against training on the rebuilt end alone. Fails if `splice` drops what was kept.
    """
    policy = scattered(env)
    sampling = Sampling(policy, Sampler(env, plan), generator=seeded(1))
    batch = LocalSearch(3, "random", "metropolis", prefix).collect(sampling, 40)
    assert_whole(env, batch)
    assert bool((env.is_initial(batch.states_at(0))).all())
    if env is SETS:
        assert bool((batch.length == 3).all())
    if env is GRID:
        assert torch.equal(batch.length, batch.final_states.sum(-1) + 1)
    again = Sampler(env).along(batch.actions, batch.length)
    objective = TrajectoryBalance(0.3)
    torch.testing.assert_close(
        objective.residual(evaluate(env, policy, batch)),
        objective.residual(evaluate(env, policy, again)),
    )


@pytest.mark.parametrize("prefix", ["kept", "resampled"])
def test_ls5_conditions_stay_with_their_chains(prefix: Any) -> None:
    env, policy = conditional()
    condition = UniformCondition(0.5, 2.0)
    sampling = Sampling(policy, Sampler(env), condition=condition, generator=seeded(2))
    search = LocalSearch(3, 2, "metropolis", prefix)
    batch = search.collect(sampling, 20)
    assert_whole(env, batch)
    assert batch.condition is not None
    assert batch.owner is not None
    assert torch.equal(batch.condition, batch.condition[:5].repeat(4, 1))
    for row in range(20):
        mine = batch.state_index[row, : int(batch.length[row]) + 1]
        assert bool((batch.owner[mine] == row).all())


class TwoScores(VectorReward[Tensor]):
    """How far a cell is along each axis."""

    num_scores = 2

    def scores(self, states: Tensor) -> Tensor:
        return states.to(torch.get_default_dtype()) + 1


@pytest.mark.parametrize("prefix", ["kept", "resampled"])
def test_ls5_scores_stay_with_their_objects(prefix: Any) -> None:
    env = HyperGrid(2, 3)
    env.reward, env.condition_dim = TwoScores(lambda u, c: (u * c).sum(-1).log()), 2  # type: ignore[arg-type]
    policy = MLPPolicy(env, width=8, depth=1, generator=seeded())
    sampling = Sampling(policy, Sampler(env), condition=Weights(), generator=seeded(2))
    batch = LocalSearch(3, 2, "metropolis", prefix).collect(sampling, 20)
    assert_whole(env, batch)
    assert batch.scores is not None
    torch.testing.assert_close(batch.scores, env.scores(batch.final_states))


class Weights(ConditionSampler):
    """Two positive numbers."""

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return 0.1 + torch.rand(count, 2, generator=generator)


def test_ls6_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """B = M (1 + I); every candidate is trained on, only accepted ones are revised further.

    Guards against chains that mix with earlier rounds, and against forgetting rejected candidates.
    Fails if `revise` follows the candidate always.
    """
    search = LocalSearch(4, "random", "metropolis")
    sampling = Sampling(scattered(INTEGERS), Sampler(INTEGERS), generator=seeded(4))
    rounds = []
    revise = search.revise

    def noted(*args: Any) -> Any:
        rounds.append(revise(*args))
        return rounds[-1]

    monkeypatch.setattr(search, "revise", noted)
    batch = search.collect(sampling, 60)
    assert len(batch) == 60
    assert len(rounds) == 4
    shown = codes(INTEGERS, batch, 8).view(5, 12)
    state = shown[0]
    for k, revision in enumerate(rounds):
        assert torch.equal(codes(INTEGERS, revision.current, 8), state)
        assert torch.equal(codes(INTEGERS, revision.candidate, 8), shown[k + 1])
        state = torch.where(revision.accepted, shown[k + 1], state)
        assert torch.equal(codes(INTEGERS, revision.following, 8), state)
    share = torch.stack([r.accepted for r in rounds]).double().mean()
    assert 0 < float(share) < 1
    assert search.metrics["acceptance"] == float(share)
    assert search.metrics["reward_calls"] == 60


class Counted(AdditiveEnergy):
    """Counts the objects it scores."""

    calls = 0

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        self.calls += len(states)
        return super().__call__(states, condition)


@pytest.mark.parametrize("prefix", ["kept", "resampled"])
def test_ls6_every_object_is_scored_once(prefix: Any) -> None:
    """What is left over by the division is fresh."""
    reward = Counted(torch.arange(5.0))
    env = FixedSizeSets(5, 3, reward)
    policy = TabularPolicy(enumerate_states(env))
    search = LocalSearch(3, 2, "metropolis", prefix)
    batch = search.collect(Sampling(policy, Sampler(env), generator=seeded()), 22)
    assert len(batch) == 22
    assert reward.calls == search.metrics["reward_calls"] == 22


def test_ls6_only_fresh_trajectories_explore() -> None:
    """Under epsilon = 1 they are uniform; a policy that never takes the first item shows it."""
    policy = TabularPolicy(enumerate_states(SETS))
    with torch.no_grad():
        policy.forward_table[:, 0] = -1e4
    sampling = Sampling(policy, Sampler(SETS), Exploration(epsilon=1.0), generator=seeded())
    batch = LocalSearch(1, 9, "none").collect(sampling, 400)
    first = batch.final_states[:, 0]
    assert bool((first[200:] == 0).all())
    assert 0.5 < float(first[:200].double().mean()) < 0.7  # 3 / 5

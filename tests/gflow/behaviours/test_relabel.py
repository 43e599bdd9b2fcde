"""Hindsight: other conditions for the same trajectories, rewards from scores, no new scoring."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy, Sampler
from gflow.behaviours.base import Incomplete, Sampling
from gflow.behaviours.hindsight import Hindsight, own_direction, relabelled
from gflow.conditions.draws import UniformCondition
from gflow.conditions.preferences import FocusTable, UniformDirections, simplex_grid
from gflow.conditions.temperatures import GammaBeta
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import LandscapeScores, landscape_grid
from gflow.errors import ConfigError, IncompatibleError
from gflow.memory.replay import ReplayBuffer
from gflow.objectives import DetailedBalance, LogPartitionVariance, TrajectoryBalance
from gflow.rewards.scalarizations import Goals, Preferences
from gflow.training.trainer import TrainConfig, Trainer


class Counting(LandscapeScores):
    calls = 0

    def scores(self, states: Tensor) -> Tensor:
        self.calls += len(states)
        return super().scores(states)


class Labelled(HyperGrid):
    """Corrections that a relabelled reward must keep."""

    def log_symmetry(self, states: Tensor) -> Tensor:
        return states.sum(-1).double() / 7

    def log_multiplicity(self, states: Tensor) -> Tensor:
        return (states[:, 0] + 1).double().log()


def grid(rule: Any) -> Labelled:
    reward = Counting(("branin", "currin"), 6, rule)
    env = Labelled(2, 6, reward)
    env.condition_dim = reward.condition_dim
    return env


def sampling(env: HyperGrid, draw: Any, seed: int = 0) -> Sampling:
    policy = MLPPolicy(env, 8, 1, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(seed)
    return Sampling(policy, Sampler(env), condition=draw, generator=generator)


def test_relabelled_rewards_are_those_of_the_other_condition() -> None:
    env = grid(Goals(beta=None, cosine=0.9))
    batch = sampling(env, UniformDirections(2, GammaBeta())).fresh(20)
    assert batch.scores is not None
    assert batch.condition is not None
    calls = env.reward.calls  # type: ignore[attr-defined]
    condition = own_direction(batch.scores, batch.condition)
    other = relabelled(env, batch, condition)
    assert env.reward.calls == calls, "scored again"  # type: ignore[attr-defined]
    objects = batch.final_states
    torch.testing.assert_close(other.log_reward, env.target_log_reward(objects, condition))
    torch.testing.assert_close(batch.log_reward, env.target_log_reward(objects, batch.condition))
    assert bool((other.log_reward - batch.log_reward > 1).any())
    assert torch.equal(condition[:, 2], batch.condition[:, 2]), "beta stays"
    torch.testing.assert_close(condition[:, :2].norm(dim=1), torch.ones(20))
    # On its own axis an object has its full reward.
    plain = batch.condition[:, 2] * batch.scores.mean(-1).log()
    plain = plain - env.log_symmetry(objects) - env.log_multiplicity(objects)
    torch.testing.assert_close(other.log_reward, plain)


def test_no_score_no_direction() -> None:
    asked = torch.tensor([[0.6, 0.8, 5.0], [0.6, 0.8, 5.0]])
    got = own_direction(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), asked)
    torch.testing.assert_close(got, torch.tensor([[0.6, 0.8, 5.0], [1.0, 0.0, 5.0]]))


def test_a_share_of_the_batch_is_relabelled() -> None:
    env = grid(Goals())
    draw = UniformDirections(2)
    plain = sampling(env, draw).fresh(40)
    batch = Hindsight(0.3).collect(sampling(env, draw), 40)
    assert torch.equal(plain.actions, batch.actions)
    assert batch.condition is not None
    assert plain.condition is not None
    changed = (batch.condition != plain.condition).any(1)
    assert int(changed.sum()) == 12
    assert batch.scores is not None
    own = own_direction(batch.scores, plain.condition)
    torch.testing.assert_close(batch.condition[changed], own[changed])
    torch.testing.assert_close(
        batch.log_reward, env.target_log_reward(batch.final_states, batch.condition)
    )
    same = Hindsight(0.0).collect(sampling(env, draw), 40)
    assert torch.equal(same.log_reward, plain.log_reward)


def test_unfinished_trajectories_are_left_alone() -> None:
    env = grid(Goals())
    batch = Hindsight(1.0, Incomplete(0.5)).collect(sampling(env, UniformDirections(2), 3), 40)
    assert batch.complete is not None
    assert bool((~batch.complete).any())
    plain = Incomplete(0.5).collect(sampling(env, UniformDirections(2), 3), 40)
    assert plain.condition is not None
    cut = ~batch.complete
    assert torch.equal(batch.condition[cut], plain.condition[cut])  # type: ignore[index]
    assert torch.equal(batch.log_reward[cut], plain.log_reward[cut])
    whole = batch.whole
    assert whole.condition is not None
    assert whole.scores is not None
    torch.testing.assert_close(whole.condition, own_direction(whole.scores, whole.condition))
    with pytest.raises(IncompatibleError, match="unfinished trajectories have no scores"):
        relabelled(env, batch, batch.condition)  # type: ignore[arg-type]


def test_what_cannot_be_relabelled_is_refused() -> None:
    objective = LogPartitionVariance()
    for env in (HyperGrid(2, 6), landscape_grid(side=6)):
        with pytest.raises(IncompatibleError, match="VectorReward whose scalarization reads"):
            Hindsight().check(env, objective)
    env = grid(Preferences())
    env.source_reads_condition = True
    with pytest.raises(IncompatibleError, match="no other condition fits"):
        Hindsight().check(env, objective)
    env = grid(Preferences())
    with pytest.raises(IncompatibleError, match="needs whole trajectories"):
        Hindsight(inner=Incomplete()).check(env, objective)
    Hindsight(inner=Incomplete()).check(env, DetailedBalance())
    with pytest.raises(ConfigError, match="share must lie"):
        Hindsight(1.5)
    batch = Sampler(HyperGrid(2, 6)).forward(MLPPolicy(HyperGrid(2, 6), 8, 1), 3)
    with pytest.raises(IncompatibleError, match="carry no scores"):
        relabelled(HyperGrid(2, 6), batch, torch.ones(3, 2))
    single = HyperGrid(2, 6)
    with pytest.raises(IncompatibleError, match="VectorReward.* alone"):
        single.target_from_scores(batch.final_states, torch.ones(3, 2))


def test_a_memory_keeps_relabelled_rewards_and_scores() -> None:
    env = grid(Goals())
    batch = Hindsight(1.0).collect(sampling(env, UniformDirections(2)), 8)
    memory = ReplayBuffer(env, 8)
    memory.add(batch)
    calls = env.reward.calls  # type: ignore[attr-defined]
    again = memory.sample(Sampler(env), 16, torch.Generator().manual_seed(0))
    assert env.reward.calls == calls, "scored again"  # type: ignore[attr-defined]
    assert again.scores is not None
    torch.testing.assert_close(again.scores, env.scores(again.final_states))
    torch.testing.assert_close(
        again.log_reward, env.target_log_reward(again.final_states, again.condition)
    )
    other = ReplayBuffer(env, 8)
    other.load_state_dict(memory.state_dict())
    assert other.scores is not None
    assert batch.scores is not None
    assert torch.equal(other.scores, batch.scores)


def test_a_memory_forgets_scores_with_their_trajectories() -> None:
    env = grid(Goals())
    memory = ReplayBuffer(env, 5)
    for seed in range(4):
        memory.add(sampling(env, UniformDirections(2), seed).fresh(3))
    again = memory.sample(Sampler(env), 40, torch.Generator().manual_seed(0))
    assert again.scores is not None
    torch.testing.assert_close(again.scores, env.scores(again.final_states))


def trained(steps: int, resume: dict[str, Any] | None = None) -> tuple[Trainer, FocusTable]:
    env = grid(Goals(cosine=0.95))
    focus = FocusTable(simplex_grid(2, 5))
    torch.manual_seed(0)
    policy = MLPPolicy(env, 16, 1, generator=torch.Generator().manual_seed(0))
    trainer = Trainer(
        env,
        policy,
        TrajectoryBalance(condition_dim=2),
        TrainConfig(steps=steps, batch_size=8),
        condition=focus,
        behaviour=Hindsight(),
        callbacks=[focus.observe],
    )
    if resume is not None:
        trainer.load_state_dict(resume)
    trainer.train()
    return trainer, focus


def test_a_run_with_a_learned_focus_resumes_to_the_same_numbers() -> None:
    whole, focus = trained(12)
    half, _ = trained(6)
    resumed, again = trained(12, half.state_dict())
    for a, b in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(focus.tried, again.tried)
    assert bool(focus.reached.any())


def test_conditions_without_memory_have_no_state() -> None:
    draw = UniformCondition(0.0, 1.0)
    assert draw.state_dict() == {}
    draw.load_state_dict({})

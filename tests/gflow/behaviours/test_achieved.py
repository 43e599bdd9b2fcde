"""Trajectories told what they achieved: what is told, what misses, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy, Sampler, TrainConfig, Trainer, enumerate_states
from gflow.behaviours import Achieved, BackwardReplay, Behaviour, Explorer, Incomplete, OnPolicy
from gflow.behaviours.base import Sampling
from gflow.conditions.draws import TableCondition
from gflow.envs import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError, IncompatibleError, NonFiniteLossError
from gflow.memory.rescore import of_now
from gflow.objectives import DetailedBalance, LogPartitionVariance, TrajectoryBalance
from gflow.outcomes import OutcomeConditioned, OutcomeTables, VisitedOutcomes, outcomes_of
from gflow.trajectories import Trajectories

GRID = HyperGrid(2, 4, Corners(4, 0.1))
TOLD = OutcomeConditioned(GRID, floor=1e-3)
GRAPH = enumerate_states(TOLD)
EVERY = outcomes_of(TOLD, GRAPH.states).double()


def sampling(seed: int = 0) -> Sampling:
    policy = OutcomeTables(GRAPH, EVERY)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    return Sampling(policy, Sampler(TOLD), condition=TableCondition(EVERY), generator=generator)


class Plain(Behaviour):
    """Trajectories without conditions, as an explorer gives them."""

    name = "plain"

    def collect(self, sampling: Sampling, count: int) -> Trajectories[Any]:
        policy = MLPPolicy(GRID, 8, generator=torch.Generator().manual_seed(1))
        return Sampler(GRID).forward(policy, count, generator=sampling.generator)


def achieved(batch: Trajectories[Any]) -> Tensor:
    assert batch.condition is not None
    hits: Tensor = (batch.final_states == batch.condition).all(-1)
    return hits


def check(batch: Trajectories[Any]) -> None:
    """Rewards are those of the conditions, and stored states have their trajectory's."""
    assert torch.equal(of_now(TOLD, batch).log_reward, batch.log_reward)
    given = batch.condition_of_states
    assert given is not None
    assert batch.owner is not None
    rows = torch.arange(len(batch))[:, None].expand_as(batch.state_index)
    assert torch.equal(batch.owner[batch.state_index], rows)


@pytest.mark.parametrize("inner", [None, Plain()])
def test_all_are_told_what_they_achieved(inner: Behaviour | None) -> None:
    batch = Achieved(inner).collect(sampling(), 64)
    assert bool(achieved(batch).all())
    assert bool((batch.log_reward == 0).all())
    assert len(torch.unique(batch.final_states, dim=0)) > 3
    check(batch)


def test_a_share_is_told_and_the_others_keep_what_they_were_asked_for() -> None:
    plain = OnPolicy().collect(sampling(), 64)
    batch = Achieved(share=0.5).collect(sampling(), 64)
    assert torch.equal(plain.final_states, batch.final_states)
    asked, hits = plain.condition, achieved(batch)
    assert asked is not None
    assert batch.condition is not None
    changed = (batch.condition != asked).any(-1)
    assert 20 <= int(changed.sum()) <= 32
    assert bool(hits[changed].all())
    lucky = int(achieved(plain).sum())
    assert 32 <= int(hits.sum()) <= 32 + lucky
    check(batch)


def test_unfinished_trajectories_achieve_nothing() -> None:
    batch = Achieved(Incomplete(0.5)).collect(sampling(), 32)
    assert batch.complete is not None
    assert 0 < int(batch.complete.sum()) < 32
    assert bool(achieved(batch)[batch.complete].all())


def test_the_policy_tries_again_for_what_was_achieved_and_misses_at_the_floor() -> None:
    behaviour = Achieved(Plain(), retried=0.75)
    batch = behaviour.collect(sampling(), 64)
    assert batch.condition is not None
    first, again = batch.select(torch.arange(16)), batch.select(torch.arange(16, 64))
    assert bool(achieved(first).all())
    assert first.condition is not None
    assert again.condition is not None
    assert torch.equal(again.condition, first.condition.repeat(3, 1))
    hits = achieved(again)
    assert 0 < int(hits.sum()) < 48
    assert torch.allclose(again.log_reward.exp(), torch.where(hits, 1.0, 1e-3))
    assert float(behaviour.metrics["reached"]) == pytest.approx(float(hits.double().mean()))
    check(batch)


def test_some_are_told_the_outcome_of_another() -> None:
    batch = Achieved(Plain(), mismatched=0.5).collect(sampling(), 64)
    right, wrong = batch.select(torch.arange(32)), batch.select(torch.arange(32, 64))
    assert right.condition is not None
    assert wrong.condition is not None
    assert bool(achieved(right).all())
    assert torch.equal(wrong.final_states, right.final_states)
    others = (wrong.condition[:, None] == right.condition).all(-1)
    assert bool(others.any(-1).all())
    hits = achieved(wrong)
    assert int(hits.sum()) < 16
    assert torch.allclose(wrong.log_reward.exp(), torch.where(hits, 1.0, 1e-3))
    check(batch)
    one = Achieved(Plain(), mismatched=0.75).collect(sampling(), 8)  # more of them than others
    assert len(one) == 8
    check(one)


def test_conditions_of_other_rewards_are_told_by_a_function() -> None:
    behaviour = Achieved(outcome=lambda cells: cells.double())
    assert behaviour.refusal(TOLD, DetailedBalance()) is None
    assert bool(achieved(behaviour.collect(sampling(), 16)).all())


FREE = OutcomeConditioned(GRID, anchored=False)


@pytest.mark.parametrize(
    ("behaviour", "env", "objective", "match"),
    [
        (Achieved(), GRID, DetailedBalance(), r"OutcomeConditioned\(env\)"),
        pytest.param(Achieved(), FREE, DetailedBalance(), "scale of the flows open", id="scale"),
        (Achieved(retried=0.5), FREE, DetailedBalance(), None),
        (Achieved(mismatched=0.5), FREE, DetailedBalance(), None),
        (Achieved(share=0.5), FREE, DetailedBalance(), None),
        (Achieved(), TOLD, TrajectoryBalance(), None),
        (Achieved(), TOLD, LogPartitionVariance(), None),
        (Achieved(retried=0.5), FREE, LogPartitionVariance(), "compares trajectories"),
        (
            Achieved(retried=0.5),
            OutcomeConditioned(GRID, floor=0.0),
            DetailedBalance(),
            "Give OutcomeConditioned a floor",
        ),
        (Achieved(Incomplete(0.5)), TOLD, TrajectoryBalance(), "whole trajectories"),
    ],
)
def test_what_it_serves(
    behaviour: Achieved, env: HyperGrid, objective: Any, match: str | None
) -> None:
    if match is None:
        behaviour.check(env, objective)
        return
    with pytest.raises(IncompatibleError, match=match):
        behaviour.check(env, objective)


def test_shares_must_leave_something() -> None:
    with pytest.raises(ConfigError, match="must leave something"):
        Achieved(retried=0.5, mismatched=0.5)
    with pytest.raises(ConfigError, match="nobody else"):
        Achieved(mismatched=0.5).check_count(2)


# ---------------------------------------------------------------------- explorers


def explorer(seed: int = 3) -> Explorer:
    policy = MLPPolicy(GRID, 8, generator=torch.Generator().manual_seed(seed))
    return Explorer(Trainer(GRID, policy, TrajectoryBalance(), TrainConfig(batch_size=4, lr=0.01)))


def trainer(behaviour: Behaviour, **settings: Any) -> Trainer:
    policy = MLPPolicy(TOLD, 16, log_flow=1, generator=torch.Generator().manual_seed(0))
    return Trainer(
        TOLD,
        policy,
        DetailedBalance(),
        TrainConfig(batch_size=8, lr=0.01, **settings),
        condition=TableCondition(EVERY),
        behaviour=behaviour,
    )


def test_an_explorer_trains_beside_and_resumes_to_the_same_numbers() -> None:
    whole = trainer(Achieved(explorer(), retried=0.25))
    records = [whole.train_step(record=True) for _ in range(6)]
    assert records[0]["explorer_loss"] != records[1]["explorer_loss"]
    begun = trainer(Achieved(explorer(), retried=0.25))
    for _ in range(3):
        begun.train_step(record=True)
    resumed = trainer(Achieved(explorer(), retried=0.25))
    resumed.load_state_dict(begun.state_dict())
    assert [resumed.train_step(record=True) for _ in range(3)] == records[3:]


def test_an_explorer_that_fails_says_so_at_once_and_keeps_its_weights() -> None:
    """Whoever it explores for may read losses later, as on GPUs."""
    one = explorer()
    with torch.no_grad():
        one.trainer.objective.log_z.value.fill_(torch.nan)  # type: ignore[union-attr,operator]
    before = [p.detach().clone() for p in one.trainer.policy.parameters()]
    run = trainer(Achieved(one), plan="static")
    with pytest.raises(NonFiniteLossError):
        run.train_step(record=False)
    assert all(
        torch.equal(a, b) for a, b in zip(before, one.trainer.policy.parameters(), strict=True)
    )


def test_its_batches_are_as_large_as_asked_and_of_the_same_states() -> None:
    one = explorer()
    batch = one.collect(sampling(), 6)
    assert len(batch) == 6
    assert batch.condition is None
    assert one.trainer.step == 1
    reason = one.refusal(OutcomeConditioned(HyperGrid(2, 5)), DetailedBalance())
    assert reason is not None
    assert "whose states or moves are others" in reason


def test_objects_of_the_past_are_walked_back_from() -> None:
    """Stored outcomes: what a memory of objects, and a data set of them, give."""
    made = trainer(
        Achieved(Plain()), replay=64, replay_rebuild="backward", replay_fraction=0.5,
        replay_distinct=True,
    )  # fmt: skip
    for _ in range(4):
        made.train_step()
    batch = made.sample()
    assert bool(achieved(batch).all())
    check(batch)
    objects = GRAPH.states[[3, 7, 9]]
    data = BackwardReplay(TOLD, objects, share=1.0, condition=outcomes_of(TOLD, objects))
    batch = data.collect(sampling(), 32)
    assert bool(achieved(batch).all())
    assert len(torch.unique(batch.final_states, dim=0)) == 3


def test_outcomes_that_were_achieved_are_asked_for_again() -> None:
    store = VisitedOutcomes(EVERY[:1])
    policy = MLPPolicy(TOLD, 16, log_flow=1)
    made = Trainer(
        TOLD,
        policy,
        DetailedBalance(),
        TrainConfig(batch_size=8),
        condition=store,
        behaviour=Achieved(share=0.5),
        callbacks=[store.observe],
    )
    for _ in range(5):
        made.train_step()
    assert 3 < len(store) <= 16
    assert bool((store.table[:, None] == EVERY).all(-1).any(-1).all())

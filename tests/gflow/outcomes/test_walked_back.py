"""Walks back from objects: what they are told, where they begin, and what is learned from them."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from gflow import Sampler, TrainConfig, Trainer, evaluate
from gflow.behaviours.base import Sampling
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IncompatibleError
from gflow.exact.graph import enumerate_states
from gflow.objectives.tb import TrajectoryBalance
from gflow.outcomes import OutcomeConditioned, OutcomeTables, outcomes_of, success_rate
from gflow.outcomes.likelihood import SURE, OutcomeLikelihood, exponential
from gflow.outcomes.objects import (
    ObjectDraws,
    OutcomeDraws,
    Remembered,
    WalkedBack,
    listed_objects,
)
from gflow.outcomes.store import VisitedOutcomes
from gflow.terms import Needs
from gflow.testing.enumeration import all_trajectories


def sampling(side: int = 4, seed: int = 0) -> Any:
    told = OutcomeConditioned(HyperGrid(2, side))
    graph = enumerate_states(HyperGrid(2, side))
    tables = OutcomeTables(graph, outcomes_of(told, graph.states), backward="uniform")
    return Sampling(tables, Sampler(told), generator=torch.Generator().manual_seed(seed))


def test_all_objects_are_listed_once() -> None:
    for env, count in ((HyperGrid(2, 4), 16), (HyperGrid(2, 4, ending="forced"), 15)):
        objects = listed_objects(env)
        assert len(objects) == count == len(objects.unique(dim=0))
        assert bool(env.can_end(objects).all())
        drawn = ObjectDraws(env)(4000, torch.Generator().manual_seed(0))
        share = (drawn[:, None] == objects).all(-1).double().mean(0)
        torch.testing.assert_close(share, torch.full_like(share, 1 / count), atol=0.02, rtol=0)
    assert listed_objects(HyperGrid(2, 4), most=15) is None
    assert len(ObjectDraws(HyperGrid(2, 4), most=15)(7)) == 7


def test_walks_are_told_what_they_achieve_and_skewed_ones_begin_elsewhere() -> None:
    given = sampling()
    batch = WalkedBack(ObjectDraws(given.env), skewed=0.5).collect(given, 40)
    assert batch.from_source is not None
    assert batch.condition is not None
    begun = int(batch.from_source.sum())
    assert begun == 20
    assert torch.equal(batch.condition, outcomes_of(given.env, batch.final_states))
    assert (batch.log_reward == 0).all()
    source = given.env.is_initial(batch.states_at(0))
    assert torch.equal(source, batch.from_source)
    whole = WalkedBack(ObjectDraws(given.env)).collect(given, 12)
    assert whole.from_source is None
    assert len(whole) == 12


def test_mismatched_walks_are_told_another_outcome_and_begin_elsewhere() -> None:
    given = sampling(side=8)
    batch = WalkedBack(ObjectDraws(given.env), skewed=0.2, mismatched=0.3).collect(given, 100)
    assert batch.condition is not None
    assert batch.from_source is not None
    right = (batch.condition == outcomes_of(given.env, batch.final_states)).all(-1)
    assert bool(right[batch.from_source].all())
    wrong = int((~right).sum())
    assert 25 <= wrong <= 30
    floor = OutcomeConditioned(HyperGrid(2, 8)).reward.floor  # type: ignore[attr-defined]
    torch.testing.assert_close(batch.log_reward[~right].exp(), torch.full((wrong,), floor))
    with pytest.raises(ConfigError, match="must leave something"):
        WalkedBack(ObjectDraws(given.env), skewed=0.6, mismatched=0.4)


def test_skewed_walks_come_through_states_that_even_ones_avoid() -> None:
    given = sampling(side=8)
    corner = lambda count: torch.full((count, 2), 7)  # noqa: E731
    shares = []
    for skewed in (0.0, 0.97):
        walked = WalkedBack(ObjectDraws(given.env), skewed=skewed, spread=4.0)
        walked.draws = lambda count, *_: corner(count)
        batch = walked.collect(given, 300)
        edge = (batch.states == torch.tensor([6, 0])).all(-1)
        shares.append(edge[batch.state_index[:, :-1]].any(1).double().mean())
    assert shares[0] < 0.04
    assert shares[1] > 4 * shares[0] + 0.05


def test_what_needs_the_source_is_refused_by_skewed_walks() -> None:
    env = OutcomeConditioned(HyperGrid(2, 4))
    walked = WalkedBack(ObjectDraws(env), skewed=0.5)
    with pytest.raises(IncompatibleError, match="begin elsewhere"):
        walked.check(env, TrajectoryBalance())
    walked.check(env, OutcomeLikelihood())
    with pytest.raises(ConfigError, match="flow_weight"):
        OutcomeLikelihood(0.0)


def exact_tables(side: int = 4) -> tuple[Any, OutcomeTables, Any]:
    env = OutcomeConditioned(HyperGrid(2, side), floor=0.0)
    graph = replace(enumerate_states(HyperGrid(2, side)), env=env)
    outcomes = outcomes_of(env, graph.states)
    tables = OutcomeTables.solved(graph, outcomes)
    return env, tables, graph


def test_exact_flows_have_no_loss_on_any_walk() -> None:
    """No residual anywhere; and of the pull of the cross-entropy, walk by walk, `leak` is left."""
    env, tables, _ = exact_tables()
    given = Sampling(tables, Sampler(env), generator=torch.Generator().manual_seed(0))
    batch = WalkedBack(ObjectDraws(env), skewed=0.5).collect(given, 200)
    objective = OutcomeLikelihood()
    terms = evaluate(env, tables, batch, Needs(log_flow=True))
    assert objective.residual(terms).abs().max() < 1e-9
    assert objective.per_trajectory(terms).abs().max() < 1e-9
    assert terms.from_source is not None
    whole = -terms.log_pf.sum(-1)[terms.from_source].mean()
    pulls = [
        torch.autograd.grad(part, tables.forward_table, retain_graph=True)[0]
        for part in (objective(terms), whole)
    ]
    assert pulls[1].abs().max() > 1e-3
    torch.testing.assert_close(pulls[0], objective.leak * pulls[1], atol=1e-9, rtol=0)


def test_walks_pull_as_the_likelihood_does_on_average() -> None:
    """P_F sums to one: over all walks back, each as likely as it is, the gradients are the same."""
    env, tables, _ = exact_tables(3)
    generator = torch.Generator().manual_seed(0)
    tables.forward_table.data += 0.2 * torch.randn(tables.forward_table.shape, generator=generator)
    every = all_trajectories(HyperGrid(2, 3), 1000)
    outcomes = outcomes_of(env, every.final_states)
    batch = every.told(outcomes, env.target_log_reward(every.final_states, outcomes))
    terms = evaluate(env, tables, batch, Needs(log_flow=True))
    chance = terms.log_pb.sum(-1).exp()
    torch.testing.assert_close(chance.sum(), torch.tensor(9.0))
    delta = (terms.log_pf - terms.log_pb).sum(-1)
    assert delta.max() < SURE  # where the slope is that of the exponential
    mine = (OutcomeLikelihood().extra(terms) * len(batch) * chance).sum()
    theirs = -(terms.log_pf.sum(-1) * chance).sum()
    pulls = [
        torch.autograd.grad(part, tables.forward_table, retain_graph=True)[0]
        for part in (mine, theirs)
    ]
    assert pulls[1].abs().max() > 0.05
    torch.testing.assert_close(*pulls, atol=1e-9, rtol=0)


def test_what_is_given_too_much_pulls_along_a_line() -> None:
    delta = torch.tensor([-40.0, -1.0, 0.0, 0.3, SURE, 2.0, 30.0], requires_grad=True)
    found = exponential(delta, 0.2)
    slope = torch.autograd.grad(found.sum(), delta)[0]
    exact = 0.8 * torch.expm1(delta.detach()).clamp(max=1.0) - 0.2
    torch.testing.assert_close(slope, exact)
    low = delta.detach()[:4]
    torch.testing.assert_close(found.detach()[:4], 0.8 * (low.exp() - 1) - low)
    assert (found[5] - found[4]).item() == pytest.approx(0.6 * (2.0 - SURE))


def test_residuals_are_those_of_the_parts_between_a_state_and_the_ends() -> None:
    given = sampling(side=3)
    tables = given.policy
    assert isinstance(tables, OutcomeTables)
    generator = torch.Generator().manual_seed(3)
    for table in (tables.forward_table, tables.flow_table):
        table.data += torch.randn(table.shape, generator=generator)
    batch = WalkedBack(ObjectDraws(given.env), skewed=0.5).collect(given, 30)
    terms = evaluate(given.env, tables, batch, Needs(log_flow=True))
    assert terms.log_flow is not None
    assert terms.from_source is not None
    delta, weight = OutcomeLikelihood().residual(terms), OutcomeLikelihood().weight(terms)
    for b in range(len(batch)):
        size, begun = int(batch.length[b]), bool(terms.from_source[b])
        step = (terms.log_pf - terms.log_pb)[b]
        flow = terms.log_flow[b]
        for t in range(size):
            head = flow[0] + step[:t].sum() - flow[t] if begun and t else torch.zeros(())
            tail = flow[t] + step[t:size].sum() - flow[size]
            tail = tail if t or not begun else torch.zeros(())
            torch.testing.assert_close(delta[b, t], torch.stack([head, tail]))
    assert (weight[delta != 0] > 0).all()
    torch.testing.assert_close(weight.sum(), torch.tensor(OutcomeLikelihood().flow_weight))


@pytest.mark.slow
def test_flows_and_policy_are_learned_by_the_ordinary_trainer() -> None:
    """T3.1: success for certain, and the flows of the walks back from each outcome."""
    env, exact, graph = exact_tables(3)
    told = OutcomeConditioned(HyperGrid(2, 3))
    policy = OutcomeTables(graph, exact.outcomes, backward="uniform")
    draws = ObjectDraws(told)
    config = TrainConfig(steps=120, batch_size=32, lr=0.3, lr_half_life=25)
    Trainer(
        told,
        policy,
        OutcomeLikelihood(),
        config,
        condition=OutcomeDraws(told, draws),
        behaviour=WalkedBack(draws, skewed=0.5),
    ).train()
    generator = torch.Generator().manual_seed(0)
    rate = success_rate(told, policy, exact.outcomes, repeat=20, generator=generator)
    assert rate.mean() > 0.95
    reached = exact.flow_table > -100
    inner = reached & ~env.is_initial(graph.states)
    difference = (policy.flow_table - exact.flow_table)[inner]
    assert difference.abs().mean() < 0.1


def test_outcomes_of_batches_are_remembered_to_be_asked_for() -> None:
    given = sampling()
    store = VisitedOutcomes(torch.zeros(1, 2))
    behaviour = Remembered(WalkedBack(ObjectDraws(given.env)))
    batch = behaviour.collect(replace(given, condition=store), 30)
    assert batch.condition is not None
    seen = torch.cat([torch.zeros(1, 2), batch.condition]).unique(dim=0)
    assert torch.equal(store.table.unique(dim=0), seen)

"""Sampling: the same trajectories however they are computed, the exact law whoever draws them."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    Exploration,
    MLPPolicy,
    Policy,
    PolicyOutput,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, GFlowError, IllegalActionError, ShapeError
from gflow.exact.graph import StateGraph
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.strategies import random_dags, trajectories

GRID = HyperGrid(2, 3)
FORK = TableEnvironment(
    [[1, 2, 1], [3, 2, 2], [3, 4, 4], [5], [5], []],
    [0.3, -0.4, 0.9, -1.1, 0.2, 0.7],
    stops=[False, True, False, True, False, False],
    merge_parents=False,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(env: DiscreteEnvironment[Any], seed: int = 0) -> TabularPolicy:
    policy = TabularPolicy(enumerate_states(env))
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def assert_same(a: Trajectories[Any], b: Trajectories[Any]) -> None:
    """Equal trajectories, whatever their stores and paddings look like."""
    assert torch.equal(a.length, b.length)
    assert torch.equal(a.stopped, b.stopped)
    torch.testing.assert_close(a.log_reward, b.log_reward)
    for k, n in enumerate(a.length.tolist()):
        assert torch.equal(a.actions[k, :n], b.actions[k, :n])
        assert torch.equal(a.backward_actions[k, :n], b.backward_actions[k, :n])
        for one, two in zip(
            a.states[a.state_index[k, : n + 1]], b.states[b.state_index[k, : n + 1]], strict=True
        ):
            assert torch.equal(one, two)


def assert_legal(env: DiscreteEnvironment[Any], batch: Trajectories[Any]) -> None:
    """Step by step, by the public methods that check every action."""
    for k, n in enumerate(batch.length.tolist()):
        states = env.initial(1)
        for t in range(n):
            assert torch.equal(states, batch.states[batch.state_index[k, t]][None])
            assert not bool(env.is_terminal(states))
            action = batch.actions[k, t][None]
            if action.item() == env.stop_action:
                assert bool(env.forward_mask(states)[0, action])
                assert t == n - 1
                assert bool(batch.stopped[k])
                continue
            child = env.step(states, action)
            assert torch.equal(env.backstep(child, batch.backward_actions[k, t][None]), states)
            states = child
        assert bool(batch.stopped[k]) or bool(env.is_terminal(states))
        final = batch.states[batch.state_index[k, n]][None]
        assert torch.equal(states, final)
        assert torch.equal(final, batch.final_states[k][None])
        torch.testing.assert_close(batch.log_reward[k], env.target_log_reward(final)[0])
        assert bool((batch.actions[k, n:] == 0).all())
        assert bool((batch.backward_actions[k, n:] == 0).all())


# ---------------------------------------------------------------------- one meaning


@settings(max_examples=15)
@given(
    env=st.one_of(random_dags(), st.sampled_from([GRID, HyperGrid(2, 4, ending="forced")])),
    seed=st.integers(0, 99),
)
def test_sharing_equal_states_changes_nothing(env: DiscreteEnvironment[Any], seed: int) -> None:
    """Shared, apart, or all states listed in advance: the same seed gives the same trajectories."""
    policy = scattered(env, seed)
    how = Exploration(0.2, 0.1, other=scattered(env, seed + 1), other_weight=0.3)
    found = [
        Sampler(env, "ragged", share).forward(policy, 40, exploration=how, generator=seeded(seed))
        for share in (True, False, None)
    ]
    assert_same(*found[:2])
    assert_same(*found[1:])
    assert found[0].num_states <= found[1].num_states
    back = [
        Sampler(env, "ragged", share).backward(policy, found[0].final_states, generator=seeded(1))
        for share in (True, False, None)
    ]
    assert_same(*back[:2])
    assert_same(*back[1:])
    terms = [evaluate(env, policy, batch) for batch in found]
    torch.testing.assert_close(terms[0].log_weight, terms[1].log_weight)
    torch.testing.assert_close(terms[0].log_weight, terms[2].log_weight)


@settings(max_examples=15)
@given(
    env=st.one_of(random_dags(), st.sampled_from([GRID, HyperGrid(2, 4, ending="forced")])),
    seed=st.integers(0, 99),
    plan=st.sampled_from(["ragged", "static"]),
)
def test_every_sampled_trajectory_is_legal(
    env: DiscreteEnvironment[Any], seed: int, plan: Any
) -> None:
    policy = scattered(env, seed)
    sampler = Sampler(env, plan)
    forward = sampler.forward(policy, 12, generator=seeded(seed))
    assert_legal(env, forward)
    assert_legal(env, sampler.backward(policy, forward.final_states, generator=seeded(seed)))


@settings(max_examples=15)
@given(
    env=st.one_of(random_dags(), st.sampled_from([GRID, HyperGrid(2, 4, ending="forced")])),
    seed=st.integers(0, 99),
    plan=st.sampled_from(["ragged", "static"]),
)
def test_trajectories_can_be_walked_again_in_either_direction(
    env: DiscreteEnvironment[Any], seed: int, plan: Any
) -> None:
    """Along the actions that were drawn, forward or backward, come the same states and numbers."""
    policy, sampler = scattered(env, seed), Sampler(env, plan)
    forward = sampler.forward(policy, 12, generator=seeded(seed))
    assert_same(forward, sampler.along(forward.actions, forward.length))
    backward = sampler.backward(policy, forward.final_states, generator=seeded(seed))
    assert torch.equal(backward.final_states, forward.final_states)
    again = sampler.along(backward.actions, backward.length)
    assert_same(backward, again)
    one, two = evaluate(env, policy, backward), evaluate(env, policy, again)
    torch.testing.assert_close(one.log_weight, two.log_weight)


def test_rewards_that_are_known_are_not_asked_for_again() -> None:
    policy = scattered(GRID)
    batch = Sampler(GRID).forward(policy, 5, generator=seeded())
    known = torch.arange(5.0)
    again = Sampler(GRID).along(batch.actions, batch.length, log_reward=known)
    assert torch.equal(again.log_reward, known)
    back = Sampler(GRID).backward(policy, batch.final_states, log_reward=known)
    assert torch.equal(back.log_reward, known)


@settings(max_examples=15)
@given(env=random_dags(), data=st.data())
def test_in_a_batch_as_alone(env: TableEnvironment, data: st.DataObject) -> None:
    batch = data.draw(trajectories(env, min_size=2, max_size=6))
    policy = scattered(env)
    terms = evaluate(env, policy, batch)
    for k, n in enumerate(batch.length.tolist()):
        one = Sampler(env).along(batch.actions[k : k + 1, :n], batch.length[k : k + 1])
        assert_same(batch.select(torch.tensor([k])), one)
        alone = evaluate(env, policy, one)
        torch.testing.assert_close(terms.log_pf[k, :n], alone.log_pf[0, :n])
        torch.testing.assert_close(terms.log_pb[k, :n], alone.log_pb[0, :n])


def test_padding_of_given_actions_may_hold_anything() -> None:
    batch = Sampler(GRID).forward(scattered(GRID), 20, generator=seeded())
    outside = ~batch.mask
    assert bool(outside.any())
    for garbage in (-7, 1, 10**12):
        again = Sampler(GRID).along(batch.actions.masked_fill(outside, garbage), batch.length)
        assert_same(batch, again)


def test_order_of_given_trajectories_is_kept() -> None:
    batch = Sampler(GRID).forward(scattered(GRID), 20, generator=seeded())
    order = torch.randperm(20, generator=seeded(1))
    permuted = Sampler(GRID).along(batch.actions[order], batch.length[order])
    assert_same(batch.select(order), permuted)


def test_single_precision_is_close_to_double() -> None:
    policy = MLPPolicy(GRID, 16, generator=seeded(), log_flow=True)
    batch = Sampler(GRID).forward(policy, 20, generator=seeded())
    double = evaluate(GRID, policy, batch)
    single = evaluate(GRID, policy.float(), batch)
    assert single.log_pf.dtype == single.log_pb.dtype == torch.float32
    torch.testing.assert_close(single.log_pf.double(), double.log_pf, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(single.log_pb.double(), double.log_pb, atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------------- randomness


@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_the_generator_decides_everything(plan: Any) -> None:
    policy = scattered(GRID)
    how = Exploration(0.3, 0.2, 1.5, 0.5, other=scattered(GRID, 3), other_weight=0.2)
    sampler = Sampler(GRID, plan)
    before = torch.get_rng_state()
    one, two, other = (
        sampler.forward(policy, 30, exploration=how, generator=seeded(s)) for s in (1, 1, 2)
    )
    assert_same(one, two)
    assert not torch.equal(one.length, other.length)
    back = [sampler.backward(policy, one.final_states, generator=seeded(s)) for s in (1, 1, 2)]
    assert_same(*back[:2])
    assert not torch.equal(back[0].actions, back[2].actions)
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"


# ---------------------------------------------------------------------- laws


def critical(freedom: int) -> float:
    """99.99 % point of chi-square, by Wilson and Hilferty."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + 3.719 * math.sqrt(part)) ** 3


def paths(graph: StateGraph[Any], batch: Trajectories[Any]) -> list[tuple[int, ...]]:
    rows = graph.rows(batch.states)
    return [
        tuple(rows[batch.state_index[k, : n + 1]].tolist())
        for k, n in enumerate(batch.length.tolist())
    ]


@pytest.mark.parametrize("plan", ["ragged", "static"])
@pytest.mark.parametrize("backward", ["learned", "uniform", "maxent"])
@pytest.mark.parametrize("env", [GRID, FORK, HyperGrid(3, 2)], ids=["grid", "fork", "cube"])
def test_backward_trajectories_have_the_distribution_that_is_evaluated(
    env: DiscreteEnvironment[Any], backward: Any, plan: Any
) -> None:
    """Chi-square over all trajectories to an object, 1 in 10 000, against the evaluated log P_B."""
    graph = enumerate_states(env)
    policy: TabularPolicy = (
        scattered(env) if backward == "learned" else TabularPolicy(graph, backward)
    )
    known = all_trajectories(env)
    log_pb = evaluate(env, policy, known).log_pb.sum(1).detach()
    target = graph.objects[-1]
    law: Counter[tuple[int, ...]] = Counter()
    for path, value in zip(paths(graph, known), log_pb.exp().tolist(), strict=True):
        if path[-1] == target:
            law[path] += value
    assert len(law) > 1
    torch.testing.assert_close(sum(law.values()), 1.0)
    count = 4000
    objects = graph.states[target][None].expand(count, *graph.states.shape[1:]).clone()
    found = Counter(paths(graph, Sampler(env, plan).backward(policy, objects, generator=seeded(2))))
    assert set(found) <= set(law)
    statistic = sum((found[path] - count * p) ** 2 / (count * p) for path, p in law.items())
    assert statistic < critical(len(law) - 1), f"{statistic}: {found} against {law}"


def test_forward_trajectories_have_the_distribution_that_is_evaluated() -> None:
    graph, policy = enumerate_states(FORK), scattered(FORK)
    known = all_trajectories(FORK)
    law: Counter[tuple[int, ...]] = Counter()
    for path, value in zip(
        paths(graph, known), evaluate(FORK, policy, known).log_pf.sum(1).exp().tolist(), strict=True
    ):
        law[path] += value
    torch.testing.assert_close(sum(law.values()), 1.0)
    for plan in ("ragged", "static"):
        found = Counter(
            paths(graph, Sampler(FORK, plan).forward(policy, 4000, generator=seeded(4)))
        )
        statistic = sum((found[path] - 4000 * p) ** 2 / (4000 * p) for path, p in law.items())
        assert set(found) <= set(law)
        assert statistic < critical(len(law) - 1)


# ---------------------------------------------------------------------- refusals


class Stuck(HyperGrid):
    """A cell from which nothing is allowed although it is not finished."""

    def forward_mask(self, states: Tensor) -> Tensor:
        mask = super().forward_mask(states)
        return mask & ~(states == torch.tensor([1, 2])).all(-1, keepdim=True)

    def is_terminal(self, states: Tensor) -> Tensor:
        return torch.zeros(len(states), dtype=torch.bool)


def test_a_state_without_a_legal_action_is_named() -> None:
    env = Stuck(2, 4)
    env.every_state_stops = False
    policy = TabularPolicy(enumerate_states(HyperGrid(2, 4)))
    with pytest.raises(IllegalActionError, match=r"Stuck: .*no action in the state \(1, 2\)"):
        Sampler(env).forward(policy, 200, generator=seeded())


def test_illegal_or_incomplete_actions_are_named() -> None:
    sampler = Sampler(GRID)
    with pytest.raises(
        IllegalActionError, match=r"action 0 of trajectory 1 is illegal at time 2; legal: \[1, 2\]"
    ):
        sampler.along(torch.tensor([[2, 0, 0, 0], [0, 0, 0, 2]]), torch.tensor([1, 4]))
    with pytest.raises(
        IllegalActionError, match=r"trajectory 1 is not finished after its 2 actions"
    ):
        sampler.along(torch.tensor([[0, 2], [0, 1]]), torch.tensor([2, 2]))
    with pytest.raises(
        IllegalActionError, match=r"trajectory 0 is finished after 1 of its 2 actions"
    ):
        sampler.along(torch.tensor([[2, 1], [0, 2]]), torch.tensor([2, 2]))
    with pytest.raises(IllegalActionError, match=r"action -1 of trajectory 0 is illegal"):
        sampler.along(torch.tensor([[-1]]), torch.tensor([1]))
    with pytest.raises(ShapeError, match=r"must be \(B, T\) and `length` \(B,\), got \(2,\)"):
        sampler.along(torch.tensor([1, 2]), torch.tensor([1, 1]))


def test_more_actions_than_the_horizon_allows_are_refused() -> None:
    """A trajectory of `horizon` transitions passes, one of `horizon` + 1 does not."""
    env = HyperGrid(1, 4)
    longest = torch.tensor([[0, 0, 0, 1]]), torch.tensor([4])
    assert env.horizon == 4
    Sampler(env).along(*longest)
    env.horizon = 3
    with pytest.raises(IllegalActionError, match=r"still going after horizon = 3 .*\(3\)"):
        Sampler(env).along(*longest)
    env.horizon = 1
    with pytest.raises(IllegalActionError, match=r"still going after horizon = 1"):
        Sampler(env).along(*longest)


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="plan must be auto, ragged or static, got 'fast'"):
        Sampler(GRID, "fast")  # type: ignore[arg-type]
    huge = HyperGrid(40, 8)
    assert not huge.has_keys
    with pytest.raises(ConfigError, match=r"share=True needs states with keys; HyperGrid"):
        Sampler(huge, share=True)
    with pytest.raises(ConfigError, match="at least one trajectory, got 0"):
        Sampler(GRID).forward(scattered(GRID), 0)


@pytest.mark.slow
def test_an_environment_without_keys_is_sampled_all_the_same() -> None:
    huge = HyperGrid(40, 8)
    policy = MLPPolicy(huge, 8, generator=seeded())
    batch = Sampler(huge).forward(policy, 40, generator=seeded())
    assert_legal(huge, batch)
    assert_legal(huge, Sampler(huge).backward(policy, batch.final_states, generator=seeded()))


class Nan(Policy):
    """Logits that are not numbers."""

    backward = "uniform"

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        return PolicyOutput(torch.full((len(states), 3), torch.nan))


def test_even_a_broken_policy_takes_legal_actions() -> None:
    for plan in ("ragged", "static"):
        try:
            batch = Sampler(GRID, plan).forward(Nan(), 20, generator=seeded())
        except GFlowError:
            continue
        assert_legal(GRID, batch)


# ---------------------------------------------------------------------- conditions


class Conditional(HyperGrid):
    condition_dim = 1


class Told(Policy):
    """Steps as often as its condition says, then stops: the condition must reach its row."""

    backward = "uniform"

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        assert condition is not None
        go = states.sum(-1) < condition[:, 0]
        logits = torch.where(
            go[:, None], torch.tensor([0.0, 0, -1e4]), torch.tensor([-1e4, -1e4, 0])
        )
        return PolicyOutput(logits)


@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_conditions_stay_with_their_trajectories(plan: Any) -> None:
    env = Conditional(2, 5)
    condition = torch.randint(0, 5, (40, 1), generator=seeded()).double()
    batch = Sampler(env, plan).forward(Told(), 40, condition=condition, generator=seeded())
    assert torch.equal(batch.final_states.sum(-1), condition[:, 0].long())
    terms = evaluate(env, Told(), batch)
    assert terms.log_pf.exp().min() > 0.49, "each state is evaluated under its own condition"
    order = torch.tensor([7, 3, 3, 30])
    part = batch.select(order)
    torch.testing.assert_close(
        evaluate(env, Told(), part).log_pf.sum(1), terms.log_pf.sum(1)[order]
    )
    both = Trajectories.join([part, batch])
    torch.testing.assert_close(evaluate(env, Told(), both).log_pf.sum(1)[4:], terms.log_pf.sum(1))
    assert both.condition is not None
    shuffled = replace(batch, condition=condition.roll(1, 0))
    assert evaluate(env, Told(), shuffled).log_pf.min() < -1000
    back = Sampler(env, plan).backward(
        Told(), batch.final_states, condition=condition, generator=seeded()
    )
    assert evaluate(env, Told(), back).log_pf.exp().min() > 0.49

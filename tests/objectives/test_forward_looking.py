"""Forward-looking balance: what its energies change, what they must not, and known mistakes."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    FlowTerms,
    FunctionReward,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.environment.base import Environment
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.exact.graph import StateGraph
from gflow.metrics import total_variation
from gflow.objective import Objective
from gflow.objectives import (
    DetailedBalance,
    ForwardLookingDetailedBalance,
    ForwardLookingSubTrajectoryBalance,
    SubTrajectoryBalance,
)
from gflow.testing import TableEnvironment, all_trajectories, minimise
from gflow.testing.strategies import random_dags

PAIRS = [
    (ForwardLookingDetailedBalance, DetailedBalance),
    (ForwardLookingSubTrajectoryBalance, SubTrajectoryBalance),
]
LOOKING = [pair[0] for pair in PAIRS]


def wavy(states: Tensor) -> Tensor:
    """-E of the grid on which two released codes go wrong: E(0, 0) = 0."""
    i, j = states.double().unbind(-1)
    return -((3 * i + 1).sin() + (2 * j).cos()).where(states.any(-1), 0.0)


GRID = HyperGrid(2, 3, FunctionReward(wavy, partial=True), ending="free")
ENERGIES = torch.randn(6, generator=torch.Generator().manual_seed(3)).double()
SETS = FixedSizeSets(6, 3, AdditiveEnergy(ENERGIES))


def scattered(graph: StateGraph[Any], seed: int = 0, backward: Any = "uniform") -> TabularPolicy:
    policy = TabularPolicy(graph, backward)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def distance(graph: StateGraph[Any], policy: TabularPolicy) -> float:
    return float(total_variation(graph.terminal_distribution(policy), graph.log_target()))


# ---------------------------------------------------------------------- FL-1


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOOKING)
@settings(max_examples=8)
@given(env=random_dags(max_states=7))
def test_fl1_any_energies_lead_to_the_policy_of_detailed_balance(kind: Any, env: Any) -> None:
    """Guards against energies that bias: the table's energies of unfinished states are random."""
    graph = enumerate_states(env)
    policy, objective = TabularPolicy(graph, "uniform"), kind()
    batch = all_trajectories(env)
    minimise(lambda: objective(objective.evaluate(env, policy, batch)), policy.parameters(), 800)
    log_pf, _ = graph.log_pf(policy)
    wanted = graph.exact_flows().log_pf
    torch.testing.assert_close(log_pf.exp(), wanted.exp(), atol=1e-5, rtol=0)


# ---------------------------------------------------------------------- FL-2


@pytest.mark.parametrize(("looking", "base"), PAIRS)
@settings(max_examples=15)
@given(env=random_dags(max_states=9), seed=st.integers(0, 100))
def test_fl2_it_is_the_base_with_the_energy_taken_from_the_flow(
    looking: Any, base: Any, env: DiscreteEnvironment[Any], seed: int
) -> None:
    """Guards against a wrong sign or place of the energy."""
    graph = enumerate_states(env)
    policy = scattered(graph, seed, "learned")
    batch = all_trajectories(env)
    got = looking().residual(evaluate(env, policy, batch, looking.needs))
    with torch.no_grad():
        policy.flow_table.add_(env.partial_log_reward(graph.states))
    wanted = base().residual(evaluate(env, policy, batch, base.needs))
    torch.testing.assert_close(got, wanted, atol=1e-10, rtol=1e-9)


# ---------------------------------------------------------------------- FL-3


@pytest.mark.parametrize("kind", LOOKING)
def test_fl3_the_flow_head_is_not_read_at_the_end(kind: Any) -> None:
    graph = enumerate_states(SETS)
    policy, objective = scattered(graph), kind()
    batch = all_trajectories(SETS)
    before = objective(objective.evaluate(SETS, policy, batch))
    with torch.no_grad():
        policy.flow_table[graph.objects] += 5.0
    torch.testing.assert_close(objective(objective.evaluate(SETS, policy, batch)), before)


class Unanchored(ForwardLookingDetailedBalance):
    """The mistake of the released set code: log F~ of finished objects is left to the network."""

    def evaluate(
        self, env: Environment[Any], policy: Any, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        terms = super().evaluate(env, policy, trajectories)
        free = policy(env, trajectories.final_states).log_flow
        assert terms.log_flow is not None
        last = torch.arange(terms.log_flow.shape[1]) == terms.length[:, None]
        flow = torch.where(last, (free + terms.log_reward)[:, None], terms.log_flow)
        return replace(terms, log_flow=flow)


def loss_on(objective: Objective, policy: Any, batch: Trajectories[Any]) -> Tensor:
    loss: Tensor = objective(objective.evaluate(SETS, policy, batch))
    return loss


@pytest.mark.slow
def test_fl3_without_the_anchor_a_zero_loss_means_nothing() -> None:
    """The wrong form reaches zero far from the target, and ours the target from the same start."""
    graph, batch = enumerate_states(SETS), all_trajectories(SETS)
    for objective, right in ((Unanchored(), False), (ForwardLookingDetailedBalance(), True)):
        policy = scattered(graph, 1)
        loss = minimise(partial(loss_on, objective, policy, batch), policy.parameters(), 2000)
        assert loss < 1e-15
        assert (distance(graph, policy) < 1e-6) if right else (distance(graph, policy) > 0.1)


# ---------------------------------------------------------------------- FL-4


class Cancelled(ForwardLookingDetailedBalance):
    """The mistake of the released molecule code: the last flow stands on both ends of the stop."""

    def evaluate(
        self, env: Environment[Any], policy: Any, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        terms = super().evaluate(env, policy, trajectories)
        last = terms.length[:, None]
        assert terms.log_flow is not None
        before = terms.log_flow.gather(1, last - 1)
        ends = torch.arange(terms.log_flow.shape[1]) == last
        return replace(terms, log_flow=torch.where(ends, before, terms.log_flow))


@pytest.mark.slow
def test_fl4_a_flow_that_cancels_makes_the_policy_stop_at_once() -> None:
    graph, batch = enumerate_states(GRID), all_trajectories(GRID)
    right, wrong = TabularPolicy(graph, "uniform"), TabularPolicy(graph, "uniform")
    good, bad = ForwardLookingDetailedBalance(), Cancelled()
    minimise(lambda: good(good.evaluate(GRID, right, batch)), right.parameters(), 3000, 1e-14)
    left = minimise(lambda: bad(bad.evaluate(GRID, wrong, batch)), wrong.parameters(), 3000, 1e-14)
    assert distance(graph, right) < 1e-9
    assert left < 1e-6
    assert distance(graph, wrong) > 0.9  # tends to .920: everything stops in s0


# ---------------------------------------------------------------------- FL-5


def single_transitions(graph: StateGraph[Any], ends: bool) -> Trajectories[Any]:
    """Every transition by itself; stops only if `ends`."""
    env = graph.env
    edges = len(graph.parent)
    index = torch.stack([graph.parent, graph.child], 1)
    actions, undo = graph.action[:, None], graph.backward_action[:, None]
    stopped = torch.zeros(edges, dtype=torch.bool)
    if ends:
        rows = graph.objects
        index = torch.cat([index, rows[:, None].expand(-1, 2)])
        assert env.stop_action is not None
        actions = torch.cat([actions, torch.full((len(rows), 1), env.stop_action)])
        undo = torch.cat([undo, torch.zeros(len(rows), 1, dtype=torch.int64)])
        stopped = torch.cat([stopped, torch.ones(len(rows), dtype=torch.bool)])
    reward = torch.zeros(len(index), dtype=torch.float64)
    reward[edges:] = graph.log_reward()[index[edges:, 0]]
    return Trajectories(
        graph.states, index, actions, undo, torch.ones(len(index), dtype=torch.int64), stopped,
        reward, complete=stopped,
    )  # fmt: skip


@pytest.mark.slow
def test_fl5_transitions_by_themselves_suffice_if_some_are_ends() -> None:
    """Incomplete trajectories: any weights will do, but without an end nothing anchors the flow."""
    graph, objective = enumerate_states(GRID), ForwardLookingDetailedBalance()

    def solved(ends: bool, seed: int) -> TabularPolicy:
        batch, policy = single_transitions(graph, ends), scattered(graph, seed)
        weight = torch.where(batch.stopped, 0.05, 1.0)[:, None]

        def loss() -> Tensor:
            terms = objective.evaluate(GRID, policy, batch)
            return (weight * objective.residual(terms).square()).sum()

        assert minimise(loss, policy.parameters(), 4000, 1e-14) < 1e-16
        return policy

    assert distance(graph, solved(True, 0)) < 1e-6
    one, other = solved(False, 0), solved(False, 1)
    law, another = graph.terminal_distribution(one), graph.terminal_distribution(other)
    assert float(total_variation(law, another)) > 0.05


def test_fl5_a_sampler_that_cuts_anchors_what_it_finishes_and_nothing_else() -> None:
    policy = scattered(enumerate_states(GRID), 2)
    generator = torch.Generator().manual_seed(0)
    for plan in ("ragged", "static"):
        sampler = Sampler(GRID, plan=plan)
        batch = sampler.forward(policy, 64, limit=2, generator=generator)
        assert batch.complete is not None
        assert 5 < int(batch.complete.sum()) < 60
        assert int(batch.length.max()) == 2
        assert torch.equal(batch.complete, batch.stopped)
        assert bool((batch.log_reward[~batch.complete] == 0).all())
        terms = evaluate(GRID, policy, batch, ForwardLookingDetailedBalance.needs)
        assert terms.log_flow is not None
        last = terms.log_flow.gather(1, batch.length[:, None]).squeeze(1)
        rows = policy.graph.rows(batch.final_states)
        free = policy.flow_table[rows] + GRID.partial_log_reward(batch.final_states)
        wanted = torch.where(batch.complete, batch.log_reward, free)
        torch.testing.assert_close(last, wanted)


# ---------------------------------------------------------------------- FL-6


@pytest.mark.parametrize("kind", LOOKING)
@settings(max_examples=10)
@given(env=random_dags(max_states=8), shift=st.floats(-3, 3))
def test_fl6_only_differences_of_energies_enter(kind: Any, env: Any, shift: float) -> None:
    graph = enumerate_states(env)
    table = env.reward.log_reward
    children, stops = env._children, env._stops
    policy, objective = scattered(graph), kind()

    def loss_of(values: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        other = TableEnvironment(children, values, stops if env.stop_action is not None else None)
        batch = all_trajectories(other)
        terms = objective.evaluate(other, policy, batch)
        loss = objective(terms)
        learned = [policy.forward_table, policy.flow_table]
        grads = torch.autograd.grad(loss, learned, allow_unused=True)
        known = [
            torch.zeros_like(p) if g is None else g for p, g in zip(learned, grads, strict=True)
        ]
        return loss.detach(), known, objective.log_z_estimate(terms).detach()

    loss, grads, log_z = loss_of(table)
    moved_loss, moved_grads, moved_log_z = loss_of(table + shift)
    torch.testing.assert_close(moved_loss, loss)
    for a, b in zip(moved_grads, grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-7)
    torch.testing.assert_close(moved_log_z, log_z + shift)  # R is rescaled, and Z with it

    inner = torch.ones(len(table), dtype=torch.bool)
    inner[graph.states[graph.objects]] = False  # states that are no objects
    with torch.no_grad():
        policy.flow_table[inner[graph.states]] += shift
    compensated, _, same_log_z = loss_of(table - shift * inner)
    torch.testing.assert_close(compensated, loss)
    torch.testing.assert_close(same_log_z, log_z)


# ---------------------------------------------------------------------- FL-7


@pytest.mark.parametrize("kind", LOOKING)
def test_fl7_values_of_nothing_in_particular_are_not_taken_for_ends(kind: Any) -> None:
    """Guards against marking ends by values: zero energies, log R of 0 and of -700."""
    env = TableEnvironment(
        [[1, 2], [3, 4], [4], [], [], ], [0.0, 0.0, 0.0, -700.0, 0.0],
        stops=[True, False, True, False, False],
    )  # fmt: skip
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows, forward_looking=True)
    terms = evaluate(env, policy, all_trajectories(env), kind.needs)
    assert float(kind().residual(terms).detach().abs().max()) < 1e-9
    with torch.no_grad():
        policy.flow_table[0] += 0.5
        terms = evaluate(env, policy, all_trajectories(env), kind.needs)
        assert float(kind().residual(terms).abs().max()) > 0.4


def test_it_is_refused_where_there_are_no_energies() -> None:
    env = HyperGrid(2, 3, FunctionReward(wavy), ending="forced")
    reason = ForwardLookingDetailedBalance.refusal(env)
    assert reason is not None
    assert "partial" in reason
    with pytest.raises(TypeError, match="looks forward to the energies"):
        ForwardLookingDetailedBalance().check(env)
    with pytest.raises(TypeError, match="defined on finished objects only"):
        env.partial_log_reward(env.initial(2))

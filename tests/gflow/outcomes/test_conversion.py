"""T3.1 and T3.2: exact flows to single outcomes mix to the sampler of any reward."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.rewarded import with_reward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import AnyOrder, PrependAppend
from gflow.errors import IncompatibleError, ShapeError
from gflow.evaluation.evaluate import evaluate
from gflow.exact.graph import StateGraph, enumerate_states
from gflow.exact.tabular import TabularPolicy
from gflow.metrics import total_variation
from gflow.objectives.db import DetailedBalance
from gflow.outcomes.amortised import Amortised
from gflow.outcomes.conditioned import OutcomeConditioned, outcomes_of
from gflow.outcomes.conversion import Converted, Outcomes
from gflow.outcomes.flows import OutcomeFlows
from gflow.outcomes.monte_carlo import MonteCarlo
from gflow.outcomes.posterior import ListedPosterior
from gflow.outcomes.tables import OutcomeTables
from gflow.outcomes.tabulated import PairTable, reachable_pairs
from gflow.policies.base import Policy
from gflow.rewards.base import FunctionReward
from gflow.sampling.sampler import Sampler
from gflow.state import take
from gflow.terms import Needs

ANY: FunctionReward[Tensor] = FunctionReward(lambda states: states.sum(-1) * 0.0)


def environments() -> list[DiscreteEnvironment[Any]]:
    """Ends by a stop, by force, and by both; trees, and states with many parents."""
    return [
        HyperGrid(2, 5),
        HyperGrid(2, 4, ending="forced"),
        AnyOrder("01", 3, ANY),
        PrependAppend("AB", 3, ANY),
    ]


def told(env: DiscreteEnvironment[Any], **more: Any) -> StateGraph[Any]:
    """All states of an environment that is told what to build, with no floor."""
    graph = enumerate_states(env)
    return replace(graph, env=OutcomeConditioned(env, floor=0.0, **more))


def flows_of(graph: StateGraph[Any], seed: int = 0) -> OutcomeFlows:
    """The exact flows to each outcome, with a backward policy at random for each."""
    env = graph.env
    outcomes = outcomes_of(env, objects_of(graph)).unique(dim=0)
    generator = torch.Generator().manual_seed(seed)
    log_pb = []
    for _ in outcomes:
        logits = 2 * torch.randn(len(graph), env.num_backward_actions, generator=generator)
        law = env.backward_law(graph.states, logits).table()
        log_pb.append(law[graph.child, graph.backward_action])
    return OutcomeFlows(OutcomeTables.solved(graph, outcomes, torch.stack(log_pb)), env)


def objects_of(graph: StateGraph[Any]) -> Any:
    return take(graph.states, graph.objects)


def rewarded(graph: StateGraph[Any], seed: int, zeros: float = 0.0) -> DiscreteEnvironment[Any]:
    """The same states with random rewards, some of them zero."""
    generator = torch.Generator().manual_seed(seed)
    value = 2 * torch.randn(len(graph), generator=generator)
    none = torch.rand(len(graph), generator=generator) < zeros
    value = value.masked_fill(none, -torch.inf)
    return with_reward(graph.env, FunctionReward(lambda states: value[graph.rows(states)]))


def converted(graph: StateGraph[Any], target: DiscreteEnvironment[Any], **more: Any) -> Converted:
    outcomes = Outcomes.of(target, graph.env, objects_of(graph))
    return Converted(flows_of(graph), outcomes, **more)


def distance(graph: StateGraph[Any], policy: Policy, target: DiscreteEnvironment[Any]) -> float:
    """Total variation of what a policy samples from the reward."""
    listed = replace(graph, env=target)
    return float(total_variation(listed.terminal_distribution(policy), listed.log_target()))


@pytest.mark.parametrize("env", environments(), ids=lambda env: env.name)
def test_mixtures_of_flows_sample_any_reward(env: DiscreteEnvironment[Any]) -> None:
    """T3.2: for any r >= 0 and any P_B(. | ., y)."""
    graph = told(env)
    for seed, zeros in ((0, 0.0), (1, 0.4), (2, 0.7)):
        target = rewarded(graph, seed, zeros)
        assert distance(graph, converted(graph, target), target) < 1e-12


@pytest.mark.parametrize("env", environments(), ids=lambda env: env.name)
def test_the_mixture_is_a_flow(env: DiscreteEnvironment[Any]) -> None:
    """Its log F and P_B balance every transition, which is more than the right objects."""
    graph = told(env)
    target = rewarded(graph, 3)
    policy = converted(graph, target)
    batch = Sampler(target).forward(policy, 64, generator=torch.Generator().manual_seed(0))
    terms = evaluate(target, policy, batch, Needs(log_flow=True))
    assert DetailedBalance().residual(terms).abs().max() < 1e-9
    log_z = target.target_log_reward(objects_of(graph)).logsumexp(0)
    assert terms.log_flow is not None
    torch.testing.assert_close(terms.log_flow[:, 0], log_z.expand(64))


@pytest.mark.parametrize("env", environments(), ids=lambda env: env.name)
def test_tables_of_all_states_say_the_same(env: DiscreteEnvironment[Any]) -> None:
    """Where the list tells what is reached: equal sums, from far fewer pairs."""
    graph = told(env)
    target = rewarded(graph, 1, zeros=0.2)
    policy = converted(graph, target)
    table = PairTable(graph, policy.flows, objects_of(graph), pairs=11).policy(target)
    said = policy(target, graph.states)
    legal = target.forward_mask(graph.states) & (said.forward_logits > -9e3)
    torch.testing.assert_close(table.forward_table[legal], said.forward_logits[legal])
    assert said.log_flow is not None
    some = said.log_flow > -9e3
    torch.testing.assert_close(table.flow_table[some], said.log_flow[some])
    assert distance(graph, table, target) < 1e-12


def test_both_ends_of_a_move_say_more_than_one() -> None:
    """With errors in P_F, the mean of what both ends say is closer; lost moves carry nothing."""
    graph = told(HyperGrid(2, 5))
    target, flows = rewarded(graph, 2), flows_of(graph)
    tables = flows.policy
    assert isinstance(tables, OutcomeTables)
    generator = torch.Generator().manual_seed(0)
    tables.forward_table.data = tables.forward_table.data.clamp(min=-3.0)  # leaks everywhere
    tables.forward_table.data += 0.3 * torch.randn(tables.forward_table.shape, generator=generator)
    one, both = (
        distance(
            graph,
            PairTable(graph, flows, objects_of(graph), both_ends=ends).policy(target),
            target,
        )
        for ends in (False, True)
    )
    assert both < 0.75 * one
    assert one > 0.02


def test_reachable_pairs_are_those_that_moves_connect() -> None:
    graph = told(HyperGrid(2, 4))
    policy = converted(graph, rewarded(graph, 1))
    rows, which = reachable_pairs(graph, policy.flows, policy.outcomes.conditions)
    found = torch.zeros(16, 16, dtype=torch.bool)
    found[rows, which] = True
    assert len(rows) == int(found.sum())
    cells, ends = graph.states, objects_of(graph)
    assert torch.equal(found, (cells[:, None] <= ends).all(-1))


def sums_in_threes(states: Tensor) -> Tensor:
    """(B, 1) an outcome that several cells share."""
    return (states.sum(-1) // 3)[:, None]


def test_outcomes_that_objects_share() -> None:
    """T3.2: many objects for one outcome, a reward of the outcome: in proportion to r(f(x))."""
    graph = told(HyperGrid(2, 5), outcome=sums_in_threes)
    value = torch.tensor([0.3, -1.0, 2.0])
    target = with_reward(graph.env, FunctionReward(lambda s: value[s.sum(-1) // 3]))
    policy = converted(graph, target)
    assert len(policy.outcomes) == 3
    assert distance(graph, policy, target) < 1e-12
    table = PairTable(graph, policy.flows, objects_of(graph)).policy(target)
    assert distance(graph, table, target) < 1e-12


def test_sums_over_drawn_objects_are_for_outcomes_of_one_object_each() -> None:
    """Drawn objects count each for itself: a shared outcome would count n-fold."""

    def ones(states: Tensor) -> Tensor:
        return (states == 1).sum(-1, keepdim=True)

    def binomial(outcomes: Tensor) -> Tensor:
        return torch.tensor([1.0, 3.0, 3.0, 1.0]).log()[outcomes[:, 0].long()]

    for more in ({}, {"log_count": binomial}):
        graph = told(AnyOrder("01", 3, ANY), outcome=ones, **more)
        target, objects, flows = rewarded(graph, 3), objects_of(graph), flows_of(graph)
        even = torch.zeros(8).log_softmax(0)
        with pytest.raises(IncompatibleError, match="several objects share an outcome"):
            Outcomes.of(target, graph.env, objects, even)
        with pytest.raises(IncompatibleError, match="several objects share an outcome"):
            MonteCarlo(flows, target, 4).forward_logits(target, graph.states)
        amortised = Amortised(flows, ListedPosterior(target, objects))
        policy = TabularPolicy(replace(graph, env=target))
        batch = Sampler(target).forward(policy, 4)
        with pytest.raises(IncompatibleError, match="several objects share an outcome"):
            amortised.evaluate(target, policy, batch)


def test_outcomes_that_tell_all_objects_apart_may_be_drawn() -> None:
    graph = told(
        AnyOrder("01", 3, ANY),
        outcome=lambda s: s.flip(-1),
        log_count=lambda y: torch.zeros(len(y)),
    )
    target = rewarded(graph, 3)
    policy = MonteCarlo(flows_of(graph), target, 3000)
    assert distance(graph, policy, target) < 0.05


def test_objects_of_one_outcome_must_have_one_reward() -> None:
    graph = told(HyperGrid(2, 5), outcome=sums_in_threes)
    with pytest.raises(IncompatibleError, match="differ in their reward"):
        converted(graph, rewarded(graph, 0))


def test_chunks_change_nothing() -> None:
    graph = told(HyperGrid(2, 4))
    target = rewarded(graph, 5)
    whole, parts = (converted(graph, target, pairs=n) for n in (1 << 16, 7))
    a, b = (p(target, graph.states) for p in (whole, parts))
    torch.testing.assert_close(a.forward_logits, b.forward_logits)
    torch.testing.assert_close(a.backward_logits, b.backward_logits)
    torch.testing.assert_close(a.log_flow, b.log_flow)


def test_the_numerator_of_a_stop_is_the_reward() -> None:
    """Spec 3.2: the stop is a child like any other, with numerator r(s) R(s | s)."""
    graph = told(HyperGrid(2, 4))
    target = rewarded(graph, 5)
    logits = converted(graph, target).forward_logits(target, graph.states)
    stop = target.stop_action
    torch.testing.assert_close(logits[:, stop], target.log_reward(graph.states))


def test_scales_that_are_hidden_spoil_the_law() -> None:
    """T3.3: flows with Z(y) = c(y) that are taken for flows of one give objects as r c."""
    graph = told(AnyOrder("01", 3, ANY), anchored=False)
    target, scale = rewarded(graph, 5), torch.linspace(-2, 3, 8)
    policy = converted(graph, target)
    tables = policy.flows.policy
    assert isinstance(tables, OutcomeTables)
    tables.flow_table.data[tables.places(policy.outcomes.conditions)] += scale[:, None]
    listed = replace(graph, env=target)
    found, log_r = listed.terminal_distribution(policy), listed.log_reward()[listed.objects]
    assert total_variation(found, (log_r + scale).log_softmax(0)) < 1e-12
    assert total_variation(found, listed.log_target()) > 0.1


def test_unreachable_outcomes_are_left_out_where_the_environment_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network says anything of F(s | y) where y cannot be reached; `reaches` keeps it out."""
    graph = told(HyperGrid(2, 4))
    target, flows = rewarded(graph, 6), flows_of(graph)
    tables = flows.policy
    assert isinstance(tables, OutcomeTables)
    tables.flow_table.data[tables.flow_table < -100] = 1.0
    outcomes = Outcomes.of(target, graph.env, objects_of(graph))
    monkeypatch.setattr(HyperGrid, "reaches", lambda env, states, objects: None)
    assert distance(graph, Converted(flows, outcomes), target) > 0.05
    monkeypatch.setattr(
        HyperGrid, "reaches", lambda env, states, objects: (states <= objects).all(-1)
    )
    assert distance(graph, Converted(flows, outcomes), target) < 1e-12


def test_drawn_outcomes_are_right_on_average() -> None:
    """Numerators from outcomes drawn from q, weighed r / q, have the exact ones as their mean."""
    graph = told(HyperGrid(2, 3))
    target = rewarded(graph, 7)
    flows, objects = flows_of(graph), objects_of(graph)
    log_q = torch.linspace(0, 1.5, 9).log_softmax(0)
    drawn = log_q.exp().multinomial(
        40_000, replacement=True, generator=torch.Generator().manual_seed(0)
    )
    some = Outcomes.of(target, graph.env, take(objects, drawn), log_q[drawn])
    every = Outcomes.of(target, graph.env, objects)
    a = Converted(flows, some).forward_logits(target, graph.states).exp()
    b = Converted(flows, every).forward_logits(target, graph.states).exp()
    legal = target.forward_mask(graph.states)
    torch.testing.assert_close(a[legal], b[legal], rtol=0.08, atol=1e-3)


def test_states_without_an_outcome_go_anywhere() -> None:
    """With few outcomes drawn some states reach none: their moves come out even, and finite."""
    graph = told(HyperGrid(2, 3))
    target, flows = rewarded(graph, 7), flows_of(graph)
    one = take(objects_of(graph), torch.tensor([0]))
    policy = Converted(flows, Outcomes.of(target, graph.env, one, torch.zeros(1)))
    batch = Sampler(target).forward(policy, 50, generator=torch.Generator().manual_seed(0))
    assert (batch.final_states == 0).all()
    logits = policy.forward_logits(target, graph.states)
    assert logits.isfinite().all()


def test_refusals() -> None:
    graph = told(HyperGrid(2, 3))
    flows = flows_of(graph)
    none = with_reward(graph.env, FunctionReward(lambda s: s.sum(-1) - torch.inf))
    with pytest.raises(IncompatibleError, match="none of the 9 outcomes"):
        Outcomes.of(none, graph.env, objects_of(graph))
    with pytest.raises(ShapeError, match=r"\(K, C\)"):
        Outcomes(torch.zeros(3, 1), torch.zeros(2))
    flows.policy.has_log_flow = False
    with pytest.raises(IncompatibleError, match="no log-flow head"):
        OutcomeFlows(flows.policy, graph.env)

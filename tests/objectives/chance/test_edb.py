"""Expected detailed balance: zero at the exact flows alone, means and not geometric ones."""

import copy
import math
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    MLPPolicy,
    Sampler,
    TabularPolicy,
    TrainConfig,
    Trainer,
    Trajectories,
    enumerate_states,
)
from gflow.environment.movers import CHANCE
from gflow.errors import ConfigError, IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.objectives import ExpectedDetailedBalance as EDB
from gflow.objectives import FlowMatching
from gflow.objectives.chance.environment_model import EnvironmentModel
from gflow.objectives.chance.target_network import TargetNetwork
from gflow.policies.chunked import Chunked
from gflow.source import Source
from gflow.testing import TableEnvironment, all_trajectories, check_objective
from gflow.testing.noisy_tree import noisy_tree
from gflow.testing.slipping import SlippingGrid
from gflow.testing.solve import minimise
from gflow.testing.strategies import random_trees

C = CHANCE
MICRO = TableEnvironment(
    [[1, 2], [3, 4], [5, 6], [], [], [], []],
    [0.0, 0.0, 0.0, *(math.log(r) for r in (2, 3, 1, 4))],
    movers=[0, C, C, 0, 0, 0, 0],
    chance=[[], [0.5, 0.5], [0.9, 0.1], [], [], [], []],
)
SUMS: list[dict[str, Any]] = [
    {"form": form, "graph": graph, "target": target}
    for form in ("one_step", "two_step")
    for graph in ("tree", "dag")
    for target in ("live", "stop", "ema")
]
ALL = [*SUMS, {"branching": "regress"}, {"branching": "regress", "graph": "dag"}]


def named(settings: dict[str, Any]) -> str:
    return "-".join(settings.values()) or "default"


def random_log_pb(graph: StateGraph[Any], seed: int = 0) -> Tensor:
    edge = torch.randn(len(graph.parent), generator=torch.Generator().manual_seed(seed))
    total = torch.zeros(len(graph)).index_add(0, graph.child, edge.exp()).log()
    return edge - total[graph.child]


def population(env: TableEnvironment, per: int = 10) -> Trajectories[Any]:
    """All trajectories of `MICRO`, as often as chance has them if the agent tries both."""
    every = all_trajectories(env)
    graph = enumerate_states(env)
    weight = graph.expected_flows().log_pf.exp()
    rows = graph.rows(every.states)[every.state_index]
    times = []
    for row in rows.tolist():
        p = 1.0
        for s, c in pairwise(row):
            edge = ((graph.parent == s) & (graph.child == c)).nonzero()
            p *= float(weight[edge]) if int(graph.movers[s]) == C else 1.0
        times.append(round(per * p))
    return every.select(torch.repeat_interleave(torch.arange(len(every)), torch.tensor(times)))


def worst(objective: EDB, env: Any, policy: TabularPolicy, batch: Trajectories[Any]) -> float:
    return float(objective.residual(objective.evaluate(env, policy, batch)).detach().abs().max())


# ---------------------------------------------------------------------- at the solution


@pytest.mark.slow
@pytest.mark.parametrize("settings", ALL, ids=named)
@given(env=random_trees(max_states=16))
def test_residuals_vanish_on_trees(settings: dict[str, Any], env: TableEnvironment) -> None:
    """T1.1: at the exact flows all residuals are zero, of whole trajectories and of their parts."""
    graph, objective = enumerate_states(env), EDB(**settings)
    policy = TabularPolicy.solved(graph, objective.exact_flows(graph, random_log_pb(graph)))
    whole = all_trajectories(env)
    assert worst(objective, env, policy, whole) < 1e-9
    for time in range(int(whole.length.max())):
        begin = torch.full_like(whole.length, time)
        kept = (whole.length > time).nonzero().squeeze(1)
        one = whole.select(kept).part(begin[kept], begin[kept] + 1)
        assert worst(objective, env, policy, one) < 1e-9


@pytest.mark.parametrize("settings", ALL, ids=named)
@pytest.mark.parametrize("env", [SlippingGrid(2, 3), SlippingGrid(3, 2, 0.4)], ids=["2", "3"])
def test_residuals_vanish_on_ice(settings: dict[str, Any], env: SlippingGrid) -> None:
    graph, objective = enumerate_states(env), EDB(**settings)
    policy = TabularPolicy.solved(graph, objective.exact_flows(graph, random_log_pb(graph)))
    every = all_trajectories(env)
    assert worst(objective, env, policy, every) < 1e-9
    log_z = objective.log_z_estimate(objective.evaluate(env, policy, every)).detach()
    torch.testing.assert_close(log_z, policy.flow_table.detach()[:1].expand(len(every)))


@pytest.mark.slow
@pytest.mark.parametrize("settings", ALL, ids=named)
def test_it_keeps_the_contract_of_objectives(settings: dict[str, Any]) -> None:
    plain = settings.get("target", "live") == "live" and "branching" not in settings
    checked = check_objective(partial(EDB, **settings), solve=plain, garbage=True)
    assert (checked.environments, checked.refused) == (8, 0)


@given(env=random_trees(max_states=16), seed=st.integers(0, 99))
def test_other_flows_have_residuals(env: TableEnvironment, seed: int) -> None:
    """T1.1: a wrong log F of any state of the agent's shows."""
    graph, objective = enumerate_states(env), EDB()
    policy = TabularPolicy.solved(graph, graph.expected_flows())
    ours = ((graph.movers != C) & ~env.is_terminal(graph.states)).nonzero().squeeze(1)
    if not len(ours):
        return
    row = ours[seed % len(ours)]
    with torch.no_grad():
        policy.flow_table[row] += 0.3
    terms = objective.evaluate(env, policy, all_trajectories(env))
    assert float(objective.residual(terms).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("settings", [s for s in SUMS if s["target"] == "live"], ids=named)
def test_there_is_one_solution(settings: dict[str, Any]) -> None:
    """T1.1: from two starts to the same flows, which are the exact ones."""
    env = SlippingGrid(2, 2, 0.3)
    graph, batch = enumerate_states(env), all_trajectories(env)
    objective = EDB(**settings)
    flows = objective.exact_flows(graph)
    ours = (graph.movers != C) | (settings["form"] == "two_step")
    for seed in (0, 1):
        policy = TabularPolicy(graph, backward="uniform")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.normal_(generator=generator)

        def loss(policy: TabularPolicy = policy) -> Tensor:
            value: Tensor = objective(objective.evaluate(env, policy, batch))
            return value

        minimise(loss, policy.parameters())
        found = policy.flow_table.detach()
        torch.testing.assert_close(found[ours], flows.log_flow[ours], rtol=0, atol=1e-5)
        log_pf, _ = graph.log_pf(policy)
        torch.testing.assert_close(log_pf.exp(), flows.log_pf.exp(), rtol=0, atol=1e-5)


# ---------------------------------------------------------------------- means


def test_the_target_is_the_mean_and_not_the_geometric_one() -> None:
    """T1.6: the log of the mean flow, above the mean of the logs unless all flows are equal."""
    graph, every = enumerate_states(MICRO), all_trajectories(MICRO)
    policy = TabularPolicy.solved(graph, graph.expected_flows())
    terms = EDB().evaluate(MICRO, policy, every)
    assert terms.target_log_flow is not None
    left = graph.rows(every.states)[every.state_index][:, 1] == 1
    wanted = torch.where(left, math.log(2.5), math.log(1.3))
    torch.testing.assert_close(terms.target_log_flow[:, 1].detach(), wanted)
    geometric = torch.where(left, math.log(6) / 2, 0.1 * math.log(4))
    assert bool((terms.target_log_flow[:, 1] - geometric > 1e-2).all())

    alike = TableEnvironment(
        MICRO._children, [0.0, 0.0, 0.0, 0.7, 0.7, 0.7, 0.7], movers=MICRO._movers,
        chance=MICRO._chance.exp(),
    )  # fmt: skip
    graph = enumerate_states(alike)
    terms = EDB().evaluate(alike, TabularPolicy(graph), all_trajectories(alike))
    assert terms.target_log_flow is not None
    torch.testing.assert_close(terms.target_log_flow[:, 1].detach(), torch.full((4,), 0.7))


@pytest.mark.slow
def test_single_samples_in_place_of_the_mean_find_the_geometric_one() -> None:
    """T1.6: least squares of log F(s') find the mean of logs, the Poisson loss the log of means."""
    batch, graph = population(MICRO), enumerate_states(MICRO)
    assert len(batch) == 20
    objective, policy = EDB(branching="regress"), TabularPolicy(graph)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1)
    for step in range(800):
        optimizer.param_groups[0]["lr"] = 0.1 * 0.995**step
        loss = objective(objective.evaluate(MICRO, policy, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    flow = policy.flow_table.detach().exp()
    torch.testing.assert_close(flow[:3], torch.tensor([3.8, 2.5, 1.3]), rtol=0, atol=2e-3)
    log_pf, _ = graph.log_pf(policy)
    torch.testing.assert_close(log_pf[:2].exp(), torch.tensor([25, 13]) / 38, rtol=0, atol=1e-3)

    # what a squared error of the logarithm would have found instead
    logs = graph.log_reward()[3:]
    rows = graph.rows(batch.states)[batch.state_index]
    squares = [logs[rows[rows[:, 1] == e, 2] - 3].mean().exp() for e in (1, 2)]
    assert float(squares[0]) == pytest.approx(math.sqrt(6))
    assert float(squares[1]) == pytest.approx(4**0.1)


def test_the_regression_is_unbiased_at_the_exact_flows_and_looks_at_one_successor() -> None:
    batch, graph = population(MICRO), enumerate_states(MICRO)
    for shift, zero in ((0.0, True), (0.2, False)):
        objective = EDB(branching="regress")
        policy = TabularPolicy.solved(graph, graph.expected_flows())
        with torch.no_grad():
            policy.flow_table[1:3] += shift
        terms = objective.evaluate(MICRO, policy, batch)
        assert terms.mean_log_flow is None
        extra = objective.extra(terms)
        assert extra is not None
        assert bool((extra >= -1e-12).all())
        extra.sum().backward()
        assert policy.flow_table.grad is not None
        assert (float(policy.flow_table.grad.abs().max()) < 1e-12) is zero
        if not zero:
            assert bool((policy.flow_table.grad[1:3] > 0).all())


def test_the_scale_of_the_regression_comes_from_earlier_batches() -> None:
    """A scale that knew what followed would be smaller where that is large: a bias."""
    graph, objective = enumerate_states(MICRO), EDB(branching="regress")
    policy, every = TabularPolicy(graph), all_trajectories(MICRO)
    low = objective.evaluate(MICRO, policy, every.select(torch.tensor([0, 2])))
    objective(low)
    assert float(objective.head_room) == pytest.approx(math.log(2.5) / 2)  # of the first itself
    high = objective.evaluate(MICRO, policy, every.select(torch.tensor([1, 3])))
    objective(high)
    assert float(objective.head_room) == pytest.approx(math.log(2.5) / 2)
    objective(objective.evaluate(MICRO, policy, every))
    assert float(objective.head_room) == pytest.approx(math.log(12.5) / 2)
    with torch.no_grad():
        objective(objective.evaluate(MICRO, policy, every.select(torch.tensor([0, 2]))))
    assert float(objective.head_room) == pytest.approx(math.log(12.5) / 2)
    assert low.log_flow is not None
    assert high.log_flow is not None


def test_residuals_are_those_of_the_definition() -> None:
    """Signs and places, at random tables of a tree with chance first, twice and after a choice."""
    env = TableEnvironment(
        [[1, 2], [3], [4, 5], [6, 7], [], [], [], []],
        [0, 0.9, 0, 0, -0.4, 0.6, 1.0, -0.2],
        stops=[False, True, False, False, False, False, False, False],
        movers=[C, 0, C, C, 0, 0, 0, 0],
        chance=[[0.5, 0.5], [], [0.3, 0.7], [0.45, 0.55], [], [], [], []],
    )
    graph, policy = enumerate_states(env), TabularPolicy(enumerate_states(env))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    f = dict(zip(graph.states.tolist(), policy.flow_table.tolist(), strict=True))
    logits = policy.forward_table[int(graph.rows(torch.tensor([1]))[0])]
    go, stop = logits[[0, 2]].log_softmax(0).tolist()

    def mean(*terms: tuple[float, float]) -> float:
        return math.log(sum(p * math.exp(v) for p, v in terms))

    first = f[0] - mean((0.5, f[1]), (0.5, f[2]))
    end = mean((0.45, 1.0), (0.55, -0.2))
    wanted = {
        (0, 1): {"one_step": [first, f[1] + stop - 0.9], "two_step": [first, f[1] + stop - 0.9]},
        (0, 1, 3, 6): {
            "one_step": [first, f[1] + go - end, 0.0],
            "two_step": [first, f[1] + go - f[3], f[3] - end],
        },
        (0, 2, 4): {
            "one_step": [first, f[2] - mean((0.3, -0.4), (0.7, 0.6))],
            "two_step": [first, f[2] - mean((0.3, -0.4), (0.7, 0.6))],
        },
    }
    every = all_trajectories(env)
    seen = 0
    for form in ("one_step", "two_step"):
        objective = EDB(form=form)
        residual = objective.residual(objective.evaluate(env, policy, every)).detach()
        for row in range(len(every)):
            count = int(every.length[row])
            path = env_path(env, every, row)
            if path not in wanted:
                continue
            seen += 1
            torch.testing.assert_close(residual[row, :count], torch.tensor(wanted[path][form]))
            assert bool((residual[row, count:] == 0).all())
    assert seen == 6


def env_path(env: Any, every: Trajectories[Any], row: int) -> tuple[int, ...]:
    count = int(every.length[row]) + 1 - int(every.stopped[row])
    return tuple(every.states[every.state_index[row, :count]].tolist())


# ---------------------------------------------------------------------- targets and models


class Table(torch.nn.Module):
    """Logits of chance's moves, one row for each state."""

    def __init__(self, env: TableEnvironment) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(env.num_states, env.num_actions))

    def forward(self, env: Any, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.logits[states]


def test_a_model_learns_nothing_where_a_part_ends_before_chance_moved() -> None:
    batch = all_trajectories(MICRO)
    one = torch.ones_like(batch.length)
    lengths = torch.tensor([1, 2, 1, 2])  # beside longer parts the others are filled up
    learner = EnvironmentModel(Table(MICRO), lr=0.1)
    assert learner.loss(MICRO, batch.part(0 * one, one)) is None
    mixed, both = (learner.loss(MICRO, b) for b in (batch.part(0 * one, lengths), batch))
    assert mixed is not None
    assert both is not None
    mixed.backward()
    logits = learner.module.logits
    assert isinstance(logits, torch.nn.Parameter)
    assert logits.grad is not None
    seen = [tuple(row) for row in batch.actions[lengths == 2].tolist()]
    counts = torch.zeros(3, 2)
    for choice, outcome in seen:
        counts[1 + choice, outcome] += 1
    expected = counts.sum(1, keepdim=True) / 2 - counts  # even probabilities less what happened
    torch.testing.assert_close(logits.grad[:3], expected / len(seen))


def test_a_learned_model_has_the_solution_of_what_it_has_counted() -> None:
    """T1.8: with tabular counts the fixed point is the exact solution of the empirical kernel."""
    value = torch.randn(9, generator=torch.Generator().manual_seed(1))
    env = noisy_tree(3, 2, 0.5, value)
    graph = enumerate_states(env)
    batch = Sampler(env).forward(
        TabularPolicy(graph), 200, generator=torch.Generator().manual_seed(2)
    )
    counts = torch.zeros(env.num_states, env.num_actions)
    index, moved = batch.state_index[:, :-1], batch.mask
    at = batch.states[index[moved]]
    counts.index_put_((at, batch.actions[moved]), torch.ones(len(at)), accumulate=True)
    assert env._movers is not None
    chance = env._movers == C
    assert bool((counts[chance].sum(1) > 0).all())
    empirical = TableEnvironment(
        env._children, env._log_rewards, movers=env._movers,
        chance=counts / counts.sum(1, keepdim=True).clamp(min=1),
    )  # fmt: skip

    model = Table(env)
    objective = EDB(model=model)
    (learner,) = objective.learners(env)
    minimise(lambda: learner.loss(env, batch), model.parameters())  # type: ignore[attr-defined]
    model.zero_grad()
    share = model.logits.detach().log_softmax(1).exp()[chance]
    wanted = empirical._chance.exp()[chance]
    torch.testing.assert_close(share, wanted, rtol=0, atol=1e-4)

    policy = TabularPolicy(graph, backward="uniform")
    every = all_trajectories(env)
    minimise(lambda: objective(objective.evaluate(env, policy, every)), policy.parameters())
    flows = enumerate_states(empirical).expected_flows()
    ours = (graph.movers != C) & ~graph.can_end
    torch.testing.assert_close(
        policy.flow_table.detach()[ours], flows.log_flow[ours], rtol=0, atol=1e-3
    )
    assert float((flows.log_flow - graph.expected_flows().log_flow)[ours].abs().max()) > 0.05
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())  # detached


def trained(settings: dict[str, Any], steps: int, saved: dict[str, Any] | None = None) -> Trainer:
    env = SlippingGrid(2, 3)
    torch.manual_seed(0)
    objective = EDB.build(env, **settings)
    policy = MLPPolicy(env, 16, 1, log_flow=True)
    trainer = Trainer(env, policy, objective, TrainConfig(steps=steps, batch_size=8, lr=1e-2))
    if saved is not None:
        trainer.load_state_dict(saved)
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "settings",
    [
        {"target": "ema", "ema_rate": 0.3},
        {"kernel": "learned", "width": 8, "model_lr": 0.01},
        {"branching": "regress"},
        {"kernel": "learned", "width": 8, "target": "ema", "graph": "dag"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_resuming_gives_the_same_bits(settings: dict[str, Any]) -> None:
    straight = trained(settings, 8)
    half = trained(settings, 4)
    state = copy.deepcopy(half.state_dict())
    again = trained(settings, 8, state)
    for name, value in straight.policy.state_dict().items():
        assert torch.equal(value, again.policy.state_dict()[name]), name
    for name, value in straight.objective.state_dict().items():
        assert torch.equal(value, again.objective.state_dict()[name]), name
    a, b = (t.learners[-1].state_dict() if t.learners else {} for t in (straight, again))
    for name, value in a.get("module", {}).items():
        assert torch.equal(value, b["module"][name]), name
    moved = [not torch.equal(v, half.policy.state_dict()[k]) for k, v in
             straight.policy.state_dict().items()]  # fmt: skip
    assert any(moved)


def test_the_average_of_a_policy_by_chunks_is_that_of_the_policy() -> None:
    """A run evaluates by chunks before its first step; another process goes on with a policy."""
    graph = enumerate_states(MICRO)
    one, other, policy = TargetNetwork(0.5), TargetNetwork(0.5), TabularPolicy(graph)
    one.of(Chunked(policy, 2))
    other.load_state_dict(one.state_dict())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        policy.flow_table.add_(1.0)
    for average in (one, other):
        average.learn(MICRO, policy, all_trajectories(MICRO), generator)
    found, again = one.of(policy), other.of(Chunked(policy, 2))
    assert isinstance(found, TabularPolicy)
    assert isinstance(again, TabularPolicy)
    torch.testing.assert_close(found.flow_table, policy.flow_table - 0.5)
    torch.testing.assert_close(again.flow_table, policy.flow_table - 0.5)


def test_the_target_network_is_an_average_of_the_policy() -> None:
    trainer = trained({"target": "ema", "ema_rate": 0.25}, 1)
    objective = trainer.objective
    assert isinstance(objective, EDB)
    assert objective.average is not None
    slow = objective.average.of(trainer.policy)
    before = [p.clone() for p in slow.parameters()]
    now = [p.detach().clone() for p in trainer.policy.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, now, strict=True))
    trainer.train(1)
    for old, live, new in zip(before, now, slow.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * live)
    assert not any(p.requires_grad for p in slow.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("target", ["stop", "ema"])
def test_targets_without_gradient_find_the_same_flows(target: Any) -> None:
    env = MICRO
    graph = enumerate_states(env)
    policy = TabularPolicy(graph)
    objective = EDB(target=target, ema_rate=0.2)
    trainer = Trainer(env, policy, objective, TrainConfig(steps=400, batch_size=16, lr=0.05))
    trainer.train()
    exact = graph.expected_flows()
    assert policy.flow_table[0].item() == pytest.approx(exact.log_z, abs=0.02)
    log_pf, _ = graph.log_pf(policy)
    torch.testing.assert_close(log_pf[:2].exp(), exact.log_pf[:2].exp(), rtol=0, atol=0.02)


def test_only_a_live_target_sends_gradient_to_successors() -> None:
    env = TableEnvironment([[1, 2], [3, 4], [], [], []], [0.0, 0.0, 0.3, -0.2, 0.9])
    graph = enumerate_states(env)
    one = Trajectories.transitions(env, torch.tensor([0]), torch.tensor([0]), torch.tensor([1]))
    for target, reached in (("live", True), ("stop", False), ("ema", False)):
        objective, policy = EDB(target=target), TabularPolicy(graph)  # type: ignore[arg-type]
        objective(objective.evaluate(env, policy, one)).backward()
        assert policy.flow_table.grad is not None
        assert bool(policy.flow_table.grad[1] != 0) is reached, target
        assert bool(policy.flow_table.grad[0] != 0)


def test_a_target_of_chance_is_still_too() -> None:
    """The mean over what chance may do sends gradient to the flows in it only where it is live."""
    env, graph = SlippingGrid(2, 3), enumerate_states(SlippingGrid(2, 3))
    batch = Trajectories.transitions(
        env, env.initial(1), torch.tensor([0]), torch.tensor([[0, 0, 1]])
    )
    after = graph.rows(torch.tensor([[1, 0, 0], [0, 1, 0]]))
    for target, reached in (("live", True), ("stop", False), ("ema", False)):
        objective, policy = EDB(target=target), TabularPolicy(graph)  # type: ignore[arg-type]
        objective(objective.evaluate(env, policy, batch)).backward()
        assert policy.flow_table.grad is not None
        assert bool((policy.flow_table.grad[after] != 0).all()) is reached, target


# ---------------------------------------------------------------------- what it learns from


def test_single_transitions_into_chance_are_learned_from() -> None:
    env, graph = MICRO, enumerate_states(MICRO)
    policy = TabularPolicy.solved(graph, graph.expected_flows())
    batch = Trajectories.transitions(
        env, torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([1, 2])
    )
    objective = EDB()
    assert worst(objective, env, policy, batch) < 1e-9
    with torch.no_grad():
        policy.forward_table[0, 0] += 0.5
    residual = objective.residual(objective.evaluate(env, policy, batch)).detach()
    shift = torch.tensor([25.0, 13.0]) / 38 * torch.tensor([math.exp(0.5), 1.0])
    wanted = (shift / shift.sum()).log() - (torch.tensor([25.0, 13.0]) / 38).log()
    torch.testing.assert_close(residual[:, 0], wanted)


def test_what_it_takes_for_chances_own_draws_is_made_forward() -> None:
    assert EDB().learns_from is Source.ANY
    for objective in (EDB(branching="regress"), EDB(model=Table(MICRO))):
        assert objective.learns_from == Source.OWN | Source.EXPLORED | Source.REPLAYED


def test_without_chance_it_is_built_as_detailed_balance() -> None:
    """Where nothing is chance's, histories should not count unless somebody asks for that."""
    env = TableEnvironment([[1, 2], [3, 4], [3], [], []], [0.0, 0.0, 0.0, 0.7, -0.4])
    graph = enumerate_states(env)
    built, asked = EDB.build(env), EDB.build(env, graph="tree")
    assert isinstance(built, EDB)
    assert built.needs.log_pb
    policy = TabularPolicy.solved(graph, graph.exact_flows(random_log_pb(graph)))
    assert worst(built, env, policy, all_trajectories(env)) < 1e-9
    assert isinstance(asked, EDB)
    assert worst(asked, env, policy, all_trajectories(env)) > 0.1
    ice = EDB.build(SlippingGrid())
    assert isinstance(ice, EDB)
    assert (ice.graph, ice.needs.log_pb) == ("tree", False)


def test_refusals() -> None:
    game = TableEnvironment([[1, 2], [], []], [0.0, 1.0, -1.0], movers=[1, 0, 0])
    reason = EDB.refusal(game)
    assert reason is not None
    assert "aedb" in reason
    with pytest.raises(ConfigError, match="branching=regress learns"):
        EDB(branching="regress", form="two_step")
    with pytest.raises(ConfigError, match="branching=regress fits to each other.*live or ema"):
        EDB(branching="regress", target="stop")
    with pytest.raises(ConfigError, match="form must be one of"):
        EDB(form="three_step")  # type: ignore[arg-type]
    with pytest.raises(IncompatibleError, match="log_flow=True"):
        EDB().check(SlippingGrid(), MLPPolicy(SlippingGrid(), 8))


def test_flow_matching_names_it_where_chance_moves() -> None:
    reason = FlowMatching.refusal(SlippingGrid())
    assert reason is not None
    assert "edb, which has a solution whatever chance does" in reason

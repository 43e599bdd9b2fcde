"""Expected gradients in closed form, every trajectory enumerated; and where training ends."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    FlowTerms,
    Objective,
    TabularPolicy,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.objectives import (
    PROPORTIONAL,
    DetailedBalance,
    FlowMatching,
    LogPartitionVariance,
    ModifiedDetailedBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.strategies import random_dags
from gflow.trajectories import Trajectories

DIAMOND = TableEnvironment(
    [[1, 2], [3, 2], [3], []], [0.4, -0.7, 1.1, 0.2], stops=[False, True, False, False]
)
EVERYWHERE = TableEnvironment(
    [[1, 2, 1], [2, 3], [3, 4], [4], []],
    [0.5, -1.0, 0.3, 1.4, -0.2],
    stops=[True] * 5,
    merge_parents=False,
)


def scattered(env: DiscreteEnvironment[Any], seed: int, scale: float = 1.0) -> TabularPolicy:
    """A policy with random tables: far from the solution, in all its heads."""
    policy = TabularPolicy(enumerate_states(env))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, scale, generator=generator)
    return policy


def forward_gradient(value: Tensor, policy: TabularPolicy) -> Tensor:
    return torch.autograd.grad(value, policy.forward_table, retain_graph=True)[0]


def divergence(terms: FlowTerms, log_z: float) -> Tensor:
    """KL from the trajectories of P_F to those of P_B R / Z, by summing over all of them."""
    log_p = terms.log_pf.sum(1)
    log_q = terms.log_pb.sum(1) + terms.log_reward - log_z
    return (log_p.exp() * (log_p - log_q)).sum()


def rows_of(terms: FlowTerms, rows: list[int]) -> FlowTerms:
    fields: dict[str, Any] = {n: v[rows] for n, v in vars(terms).items() if isinstance(v, Tensor)}
    return replace(terms, **fields)


@settings(max_examples=15)
@given(
    env=random_dags(max_states=7), seed=st.integers(0, 99), log_z=st.sampled_from([-3.0, 0, 4.0])
)
def test_trajectory_balance_descends_the_divergence_whatever_log_z(
    env: TableEnvironment, seed: int, log_z: float
) -> None:
    policy = scattered(env, seed)
    terms = evaluate(env, policy, all_trajectories(env))
    p = terms.log_pf.sum(1).exp().detach()
    torch.testing.assert_close(p.sum().item(), 1.0)
    loss = TrajectoryBalance(log_z).residual(terms).square()
    expected = forward_gradient((p * loss).sum(), policy)
    wanted = 2 * forward_gradient(divergence(terms, 0.0), policy)
    torch.testing.assert_close(expected, wanted, rtol=1e-10, atol=1e-11)


def test_the_divergence_has_a_gradient_to_compare_with() -> None:
    """The identity above would hold between zeros, so it must not be about zeros."""
    policy = scattered(DIAMOND, 0)
    terms = evaluate(DIAMOND, policy, all_trajectories(DIAMOND))
    assert forward_gradient(divergence(terms, 0.0), policy).abs().max() > 0.05


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("env", [DIAMOND, HyperGrid(1, 3)], ids=["diamond", "line"])
def test_expected_gradient_of_vargrad_over_all_batches(
    env: DiscreteEnvironment[Any], size: int
) -> None:
    """2 (B - 1) / B times the gradient of the divergence."""
    policy = scattered(env, 1)
    terms = evaluate(env, policy, all_trajectories(env))
    p = terms.log_pf.sum(1).exp().detach()
    objective = LogPartitionVariance()
    total = torch.zeros(())
    for rows in itertools.product(range(len(p)), repeat=size):
        total = total + p[list(rows)].prod() * objective(rows_of(terms, list(rows)))
    wanted = 2 * (size - 1) / size * forward_gradient(divergence(terms, 0.0), policy)
    torch.testing.assert_close(forward_gradient(total, policy), wanted, rtol=1e-10, atol=1e-12)


@given(env=random_dags(max_states=7), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_stopping_the_gradient_through_the_mean_changes_nothing(
    env: TableEnvironment, seed: int
) -> None:
    policy = scattered(env, seed)
    batch = all_trajectories(env)
    if len(batch) < 2:
        batch = Trajectories.join([batch, batch])
    terms = evaluate(env, policy, batch)
    stopped = (terms.log_weight.mean().detach() - terms.log_weight).square().mean()
    torch.testing.assert_close(
        forward_gradient(LogPartitionVariance()(terms), policy), forward_gradient(stopped, policy)
    )


def test_vargrad_is_trajectory_balance_at_the_best_log_z() -> None:
    terms = evaluate(DIAMOND, scattered(DIAMOND, 2), all_trajectories(DIAMOND))
    best = TrajectoryBalance(terms.log_weight.mean().item())
    torch.testing.assert_close(LogPartitionVariance()(terms).item(), best(terms).item())
    (slope,) = torch.autograd.grad(best(terms), best.log_z.value)
    torch.testing.assert_close(slope.item(), 0.0, atol=1e-12, rtol=0)


@settings(max_examples=15)
@given(env=random_dags(max_states=8, endings=("everywhere",)), seed=st.integers(0, 99))
def test_modified_balance_is_detailed_balance_with_the_implied_flow(
    env: TableEnvironment, seed: int
) -> None:
    """With F(s) = R(s) / P_F(stop | s) the residuals agree, and those of stops vanish."""
    policy = scattered(env, seed)
    batch = all_trajectories(env)
    terms = evaluate(env, policy, batch, ModifiedDetailedBalance.needs)
    assert terms.state_log_reward is not None
    assert terms.log_stop is not None
    with torch.no_grad():  # write the implied flow into the head of the policy
        log_reward = env.target_log_reward(policy.graph.states)
        log_stop = policy.graph.log_pf(policy)[1]
        policy.flow_table.copy_(log_reward - log_stop)
    balanced = evaluate(env, policy, batch, DetailedBalance.needs)
    modified, detailed = (
        ModifiedDetailedBalance().residual(terms),
        DetailedBalance().residual(balanced),
    )
    stops = torch.arange(terms.log_pf.shape[1]) == batch.length[:, None] - 1
    torch.testing.assert_close(modified[~stops], detailed[~stops])
    torch.testing.assert_close(detailed[stops], torch.zeros(len(batch)), atol=1e-10, rtol=0)
    if (~stops & batch.mask).any():
        assert modified.abs().max() > 1e-6
        count = int((~stops & batch.mask).sum())
        torch.testing.assert_close(
            ModifiedDetailedBalance()(terms).item(), modified.square().sum().item() / count
        )


def test_modified_balance_has_the_size_written_in_its_docstring() -> None:
    policy = scattered(EVERYWHERE, 4)
    batch = all_trajectories(EVERYWHERE)
    terms = evaluate(EVERYWHERE, policy, batch, ModifiedDetailedBalance.needs)
    got = ModifiedDetailedBalance().residual(terms)
    log_reward = EVERYWHERE.reward.log_reward  # type: ignore[attr-defined]
    seen = 0
    for k in range(len(batch)):
        path = batch.states[batch.state_index[k]].tolist()
        for t in range(int(batch.length[k]) - 1):
            s, c = path[t], path[t + 1]

            def prob(state: int, child: int | None) -> Tensor:
                """Of one child or of stopping, straight from the table of children."""
                legal = (
                    EVERYWHERE.forward_mask(torch.tensor([state]))[0].nonzero().flatten().tolist()
                )
                weight = policy.forward_table[state].exp()
                kids = {a: int(EVERYWHERE._children[state, a]) if a < 3 else None for a in legal}
                total = sum(weight[a] for a in legal)
                into = [weight[a] for a in legal if kids[a] == child]
                return sum(into, torch.zeros(())) / total

            ways = [s for s in range(5) if c in EVERYWHERE._children[s].tolist()]
            back = torch.zeros(())
            slots = EVERYWHERE.backward_mask(torch.tensor([c]))[0].nonzero().flatten().tolist()
            weight = policy.backward_table[c].exp()
            chosen = [weight[b] for b in slots if int(EVERYWHERE._parents[c, b]) == s]
            back = sum(chosen, torch.zeros(()))
            back = (back / sum(weight[b] for b in slots)).log()
            assert s in ways
            wanted = (
                log_reward[s] + prob(s, c).log() + prob(c, None).log()
                - log_reward[c] - back - prob(s, None).log()
            )  # fmt: skip
            torch.testing.assert_close(got[k, t], wanted)
            seen += 1
    assert seen > 10


# ---------------------------------------------------------------------- where training ends


def settle(env: DiscreteEnvironment[Any], policy: TabularPolicy, objective: Objective) -> float:
    """Minimise over all trajectories by L-BFGS; the loss reached."""
    batch = all_trajectories(env)
    parameters = [*policy.parameters(), *objective.parameters()]
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=600,
        tolerance_grad=1e-8,
        tolerance_change=1e-15,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = objective(evaluate(env, policy, batch, objective.needs))
        loss.backward()
        return loss

    optimizer.step(closure)
    return closure().item()


def total_variation(policy: TabularPolicy) -> float:
    graph = policy.graph
    return float(
        (graph.terminal_distribution(policy).exp() - graph.log_target().exp()).abs().sum() / 2
    )


MINIMISED = {
    **{name: kind() for name, kind in sorted(PROPORTIONAL.items())},
    "subtb-geometric": SubTrajectoryBalance(2.0, "geometric"),
    "subtb-equal": SubTrajectoryBalance(weighting="equal"),
    "fm-epsilon": FlowMatching(epsilon=1e-2),
}


@pytest.mark.parametrize(
    "env", [EVERYWHERE, HyperGrid(2, 3, Corners(3, 0.05))], ids=["dag", "grid"]
)
@pytest.mark.parametrize(
    ("objective", "backward"),
    [
        pytest.param(objective, backward, id=f"{name}-{backward}")
        for name, objective in MINIMISED.items()
        for backward in ("uniform", "maxent", "learned")
        if backward == "learned" or not isinstance(objective, FlowMatching)  # which reads no P_B
    ],
)
def test_the_minimum_samples_in_proportion_to_the_reward(
    objective: Objective, env: DiscreteEnvironment[Any], backward: str
) -> None:
    policy = scattered(env, 7, scale=0.5)
    if backward != "learned":
        start = policy
        policy = TabularPolicy(start.graph, backward=backward)  # type: ignore[arg-type]
        with torch.no_grad():
            policy.forward_table.copy_(start.forward_table)
            policy.flow_table.copy_(start.flow_table)
    assert total_variation(policy) > 0.05, "the start must be wrong for the end to mean anything"
    objective = type(objective)(**options_of(objective))
    assert settle(env, policy, objective) < 1e-8
    assert total_variation(policy) < 1e-4
    if backward != "learned" and isinstance(objective, TrajectoryBalance | DetailedBalance):
        # For a fixed backward policy the solution is unique: compare all of it.
        graph = policy.graph
        flows = graph.exact_flows(graph.log_pb(policy))
        torch.testing.assert_close(graph.log_pf(policy)[0], flows.log_pf, atol=1e-3, rtol=1e-3)


def options_of(objective: Objective) -> dict[str, Any]:
    """A fresh objective per test: log Z is a parameter and must not be carried over."""
    if isinstance(objective, SubTrajectoryBalance):
        return {"lam": objective.lam, "weighting": objective.weighting}
    if isinstance(objective, FlowMatching) and objective.log_epsilon is not None:
        return {"epsilon": 1e-2}
    return {}


def test_parallel_actions_counted_apart_do_not_settle_on_the_target() -> None:
    """B-8: a model that sums over equivalent actions finds R / Z; one that does not, does not.

    The reference here is the law of the *objects*: two labels of one transition, told apart by the
    forward policy and merged by the backward one, make every object behind them too frequent.
    """
    env = TableEnvironment([[1, 2, 1], [], []], [0.0, 0.0, 0.0])
    env.forward_classes = lambda states: None  # type: ignore[method-assign]
    policy = TabularPolicy(
        enumerate_states(TableEnvironment([[1, 2, 1], [], []], [0.0] * 3)), "uniform"
    )
    batch = Trajectories.join([all_trajectories(env)])
    optimizer = torch.optim.LBFGS(
        [policy.forward_table], max_iter=200, line_search_fn="strong_wolfe"
    )
    objective = LogPartitionVariance()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = objective(evaluate(env, policy, batch))
        loss.backward()
        return loss

    optimizer.step(closure)
    law = policy.forward_table[0].softmax(0).detach()
    assert abs(float(law[0] + law[2]) - 2 / 3) < 1e-4  # instead of 1/2
    assert abs(total_variation(policy) - 1 / 6) < 1e-4

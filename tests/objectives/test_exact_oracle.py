"""Every objective against the exact solution: zero there, the known number elsewhere."""

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    FlowTerms,
    Needs,
    Objective,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners, CosineProduct
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.objectives import (
    OBJECTIVES,
    PROPORTIONAL,
    FlowMatching,
    LogPartitionVariance,
    ModifiedDetailedBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.objectives.regression import REGRESSIONS
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.strategies import random_dags

WEIGHTINGS = (
    "geometric_within", "geometric", "pooled", "equal", "equal_within", "db", "db_within", "tb",
)  # fmt: skip
BACKWARD = ("uniform", "maxent", "random")

# Two actions to one child, ways of different length, an end by force and one by stopping.
FORK = TableEnvironment(
    [[1, 2, 1], [3, 2], [3, 4, 4], [5], [5], []],
    [0.3, -0.4, 0.9, -1.1, 0.2, 0.7],
    stops=[False, True, False, True, False, False],
    merge_parents=False,
)


@st.composite
def grids(draw: st.DrawFn, endings: tuple[str, ...] = ("free", "forced")) -> HyperGrid:
    dim, side = draw(st.sampled_from([(1, 2), (1, 6), (2, 2), (2, 3), (2, 4), (3, 2), (3, 3)]))
    reward = draw(st.sampled_from([Corners(side, 1e-3), Corners(side), CosineProduct(side)]))
    return HyperGrid(dim, side, reward, draw(st.sampled_from(endings)))


environments = st.one_of(random_dags(max_states=9), grids())


def backward_policy(graph: StateGraph[Any], kind: str, seed: int) -> Tensor:
    """(E,) log P_B, normalised over the parents of each child."""
    if kind == "uniform":
        return graph.uniform_log_pb()
    if kind == "maxent":
        return graph.max_entropy_log_pb()
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(len(graph.child), generator=generator, dtype=torch.float64) * 5 + 0.05
    total = torch.zeros(len(graph), dtype=torch.float64).index_add(0, graph.child, weight)
    return (weight / total[graph.child]).log()


PLAIN = Needs()


class Solutions:
    """The solution written for what an objective reads: edge flows, flows, flows plus energies."""

    def __init__(self, graph: StateGraph[Any], flows: ExactFlows) -> None:
        kinds = [(False, False), (True, False)] + [(False, True)] * graph.env.has_partial
        self.made = {kind: TabularPolicy.solved(graph, flows, *kind) for kind in kinds}

    def __call__(self, needs: Needs = PLAIN) -> TabularPolicy:
        return self.made[needs.edge_flow, needs.energy]


def variants(env: DiscreteEnvironment[Any], log_z: float) -> dict[str, Objective]:
    """Every proportional objective that `env` allows, sub-trajectory balance in every weighting."""
    found: dict[str, Objective] = {}
    for name, kind in PROPORTIONAL.items():
        if kind.refusal(env) is None and name != "subtb":
            found[name] = kind(log_z=log_z) if kind is TrajectoryBalance else kind()
    found["fm-epsilon"] = FlowMatching(epsilon=1e-3, leaf_coefficient=10)
    for weighting in WEIGHTINGS:
        found[f"subtb-{weighting}"] = SubTrajectoryBalance(0.8, weighting)  # type: ignore[arg-type]
    return found


def batches(
    env: DiscreteEnvironment[Any], policy: TabularPolicy, seed: int
) -> dict[str, Trajectories[Any]]:
    """Trajectories from everywhere that trajectories come from."""
    generator = torch.Generator().manual_seed(seed)
    sampler = Sampler(env)
    flat = TabularPolicy(policy.graph, backward="uniform")  # reaches what the solution avoids
    forward = sampler.forward(flat, 12, generator=generator)
    static = Sampler(env, plan="static").forward(policy, 4, generator=generator)
    backward = sampler.backward(policy, forward.final_states, generator=generator)
    along = sampler.along(forward.actions, forward.length, log_reward=forward.log_reward)
    joined = Trajectories.join([forward, static, backward])
    selected = joined.select(torch.tensor([27, 3, 3, 14, 0]))
    return {
        "forward": forward,
        "static": static,
        "backward": backward,
        "along": along,
        "joined": joined,
        "selected": selected,
    }


def terms_for(
    env: DiscreteEnvironment[Any],
    objective: Objective,
    policies: Solutions,
    batch: Trajectories[Any],
) -> FlowTerms:
    return evaluate(env, policies(objective.needs), batch, objective.needs)


# ---------------------------------------------------------------------- zero at the solution


@pytest.mark.slow
@settings(max_examples=20)
@given(env=environments, kind=st.sampled_from(BACKWARD), seed=st.integers(0, 1000))
def test_every_residual_is_zero_at_the_exact_flow(
    env: DiscreteEnvironment[Any], kind: str, seed: int
) -> None:
    graph = enumerate_states(env)
    flows = graph.exact_flows(backward_policy(graph, kind, seed))
    policies = Solutions(graph, flows)
    objectives = variants(env, flows.log_z)
    assert len(objectives) >= 13
    for source, batch in batches(env, policies(), seed).items():
        known: dict[Any, FlowTerms] = {}
        for name, objective in objectives.items():
            if objective.needs not in known:
                known[objective.needs] = terms_for(env, objective, policies, batch)
            terms = known[objective.needs]
            worst = objective.residual(terms).abs().max().item()
            assert worst < 1e-10, f"{name} on {source}: {worst}"
            estimate = objective.log_z_estimate(terms)
            torch.testing.assert_close(
                estimate, torch.full_like(estimate, flows.log_z), atol=1e-10, rtol=0
            )


@pytest.mark.parametrize("name", sorted(REGRESSIONS))
@pytest.mark.parametrize("objective", sorted(PROPORTIONAL))
def test_every_loss_is_zero_at_the_exact_flow_and_positive_off_it(
    objective: str, name: str
) -> None:
    env = HyperGrid(2, 3)
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policies = Solutions(graph, flows)
    options: dict[str, Any] = {"regression": REGRESSIONS[name]()}
    if objective == "tb":
        options["log_z"] = flows.log_z
    loss = OBJECTIVES[objective].build(env, **options)
    batch = all_trajectories(env)
    assert terms_for(env, loss, policies, batch).log_pf.shape[0] == len(batch)
    assert abs(loss(terms_for(env, loss, policies, batch)).item()) < 1e-20
    generator = torch.Generator().manual_seed(0)
    for policy in policies.made.values():
        with torch.no_grad():
            noise = torch.empty_like(policy.forward_table).normal_(generator=generator)
            policy.forward_table.add_(noise)
    assert loss(terms_for(env, loss, policies, batch)).item() > 1e-3


@settings(max_examples=15)
@given(env=environments, kind=st.sampled_from(BACKWARD), cut=st.integers(0, 4))
def test_cut_trajectories_balance_too(env: DiscreteEnvironment[Any], kind: str, cut: int) -> None:
    """What does not need the end vanishes on trajectories that were cut before it."""
    graph = enumerate_states(env)
    flows = graph.exact_flows(backward_policy(graph, kind, 1))
    policies = Solutions(graph, flows)
    batch = batches(env, policies(), 2)["joined"]
    lengths = (torch.arange(len(batch)) + cut) % 5
    short = batch.truncate(lengths)
    for name, objective in variants(env, flows.log_z).items():
        if objective.needs.whole or name == "subtb-tb":
            continue
        terms = terms_for(env, objective, policies, short)
        worst = objective.residual(terms).abs().max().item()
        assert worst < 1e-10, f"{name}: {worst}"


def test_exact_flows_of_parallel_actions_are_found_whichever_is_taken() -> None:
    """Equivalent actions count as one transition: P_F sums over them, and P_B too."""
    graph = enumerate_states(FORK)
    flows = graph.exact_flows()
    policies = Solutions(graph, flows)
    sampler = Sampler(FORK)
    stop = FORK.stop_action
    first = sampler.along(torch.tensor([[0, 0, stop]]), torch.tensor([3]))
    other = sampler.along(torch.tensor([[2, 0, stop]]), torch.tensor([3]))
    for objective in variants(FORK, flows.log_z).values():
        if isinstance(objective, LogPartitionVariance):
            continue
        one = terms_for(FORK, objective, policies, first)
        two = terms_for(FORK, objective, policies, other)
        torch.testing.assert_close(one.log_pf, two.log_pf)
        torch.testing.assert_close(one.log_pb, two.log_pb)
        torch.testing.assert_close(objective.residual(two).abs().max(), torch.tensor(0.0))


def test_counting_parallel_actions_apart_is_not_the_solution() -> None:
    """The negative of the test above: without the sum over equivalent actions the residual is off.

    Hiding the classes turns two equivalent actions into two transitions to one child, the field's
    most common wrong result; the oracle must notice.
    """
    graph = enumerate_states(FORK)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows)
    # Spread the probability of the class evenly over its two actions, which changes no law.
    with torch.no_grad():
        row = policy.forward_table[0]
        row[[0, 2]] = row[0] - torch.tensor(2.0).log()
    batch = Sampler(FORK).along(torch.tensor([[0, 0, 3]]), torch.tensor([3]))
    objective = TrajectoryBalance(flows.log_z)
    torch.testing.assert_close(objective.residual(evaluate(FORK, policy, batch)).item(), 0.0)
    FORK.forward_classes = lambda states: None  # type: ignore[method-assign]
    try:
        wrong = objective.residual(evaluate(FORK, policy, batch)).item()
    finally:
        del FORK.forward_classes
    torch.testing.assert_close(wrong, -torch.tensor(2.0).log().item())


# ---------------------------------------------------------------------- known size off it


def choices(env: DiscreteEnvironment[Any], graph: StateGraph[Any]) -> list[tuple[int, int]]:
    """(row, action) of all transitions and stops that leave a state with another choice."""
    found = list(zip(graph.parent.tolist(), graph.action.tolist(), strict=True))
    if env.stop_action is not None:
        stops = env.forward_mask(graph.states)[:, env.stop_action]
        found += [(row, env.stop_action) for row in stops.nonzero().flatten().tolist()]
    rows = [row for row, _ in found]
    return [(row, action) for row, action in found if rows.count(row) > 1]


@settings(max_examples=25)
@given(
    env=environments,
    kind=st.sampled_from(BACKWARD),
    delta=st.sampled_from([-1.5, 0.7, 2.0]),
    data=st.data(),
)
def test_one_wrong_logit_shows_with_its_exact_size(
    env: DiscreteEnvironment[Any], kind: str, delta: float, data: st.DataObject
) -> None:
    """Add delta to the logit of one transition of probability p.

    Its log-probability grows by delta - c, that of its siblings by -c, where
    c = log(1 + p (e^delta - 1)). Every residual is a known sum of these.
    """
    graph = enumerate_states(env)
    flows = graph.exact_flows(backward_policy(graph, kind, 3))
    candidates = choices(env, graph)
    assume(candidates)  # with one single trajectory nothing can be wrong
    row, action = data.draw(st.sampled_from(candidates))
    policies = Solutions(graph, flows)
    policy = policies()
    p = policy.forward_table[row, action].exp().item()
    c = torch.tensor(delta).expm1().mul(p).log1p()
    for each in policies.made.values():
        with torch.no_grad():
            each.forward_table[row, action] += delta
    batch = all_trajectories(env)
    rows = graph.rows(batch.states)[batch.state_index]
    leaves = (rows[:, :-1] == row) & batch.mask
    through = leaves & (batch.actions == action)
    change = delta * through - c * leaves  # (B, T) of log P_F
    objectives = variants(env, flows.log_z)

    def residual(name: str) -> Tensor:
        objective = objectives[name]
        return objective.residual(terms_for(env, objective, policies, batch)).detach()

    def same(got: Tensor, wanted: Tensor) -> None:
        torch.testing.assert_close(got, wanted.to(got), atol=1e-9, rtol=1e-9)

    hit = through.any(1)
    assert bool(hit.any())
    same(residual("db"), change)
    same(residual("tb"), change.sum(1))
    assert bool((residual("tb")[hit].abs() > 1e-6).all())
    assert bool((residual("db").abs().amax(1)[hit] > 1e-6).all())
    if bool((~hit).any()):
        total = change.sum(1)
        same(residual("vargrad"), total - total.mean())
        pair = batch.select(torch.stack([hit.nonzero()[0, 0], (~hit).nonzero()[0, 0]]))
        terms = evaluate(env, policy, pair)
        assert LogPartitionVariance()(terms).item() > 1e-12
    sums = torch.nn.functional.pad(change.cumsum(1), (1, 0))
    i, j = torch.triu_indices(sums.shape[1], sums.shape[1], 1)
    inside = j <= batch.length[:, None]
    same(residual("subtb-equal"), (sums[:, j] - sums[:, i]) * inside)
    assert bool((residual("subtb-equal").abs().amax(1)[hit] > 1e-6).all())

    # Flow matching: the state loses balance, and so does the child that the transition enters.
    inflow = torch.zeros(len(graph))
    if action != env.stop_action:
        edge = int(((graph.parent == row) & (graph.action == action)).nonzero())
        share = flows.log_pb[edge].exp()
        inflow[graph.child[edge]] = torch.tensor(delta).expm1().mul(share).log1p()
    wanted = inflow[rows] - c * (rows == row)
    times = torch.arange(rows.shape[1])
    end = (times == batch.length[:, None]) & batch.stopped[:, None]
    wanted = torch.where(end, delta * ((rows == row) & (action == env.stop_action)), wanted)
    object_by_force = (times == batch.length[:, None]) & ~batch.stopped[:, None]
    wanted = torch.where(object_by_force, inflow[rows], wanted)
    same(residual("fm"), (wanted[:, 1:] * batch.mask))

    if "mdb" in objectives and action != env.stop_action:
        # F(s) = R(s) / P_F(stop | s) grows by e^c: into the state -c, along the transition delta.
        moves = batch.mask & ~((times[:-1] == batch.length[:, None] - 1) & batch.stopped[:, None])
        enters = rows[:, 1:] == row
        same(residual("mdb"), (delta * through - c * enters) * moves)


@given(env=environments, shift=st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3))
@settings(max_examples=10)
def test_a_wrong_log_z_is_the_residual_of_every_trajectory(
    env: DiscreteEnvironment[Any], shift: float
) -> None:
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    batch = all_trajectories(env)
    terms = evaluate(env, TabularPolicy.solved(graph, flows), batch)
    objective = TrajectoryBalance(flows.log_z + shift)
    torch.testing.assert_close(
        objective.residual(terms), torch.full((len(batch),), shift), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(objective(terms).item(), shift**2, atol=1e-9, rtol=1e-9)


@given(env=environments, data=st.data(), shift=st.sampled_from([-2.0, 0.5]))
@settings(max_examples=10)
def test_a_wrong_flow_shows_on_both_sides_of_the_state_and_never_at_the_end(
    env: DiscreteEnvironment[Any], data: st.DataObject, shift: float
) -> None:
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policies = Solutions(graph, flows)
    row = data.draw(st.integers(0, len(graph) - 1))
    with torch.no_grad():
        policies().flow_table[row] += shift
    batch = all_trajectories(env)
    rows = graph.rows(batch.states)[batch.state_index]
    times = torch.arange(rows.shape[1])
    # log R stands in for log F at the end of a trajectory, so an error there cannot matter.
    wrong = shift * ((rows == row) & (times < batch.length[:, None]))
    objective = OBJECTIVES["db"]()
    got = objective.residual(terms_for(env, objective, policies, batch))
    wanted = (wrong[:, :-1] - wrong[:, 1:]) * batch.mask
    torch.testing.assert_close(got, wanted.to(got), atol=1e-9, rtol=0)


def test_modified_balance_is_refused_where_a_state_may_not_stop() -> None:
    env = HyperGrid(2, 3, ending="forced")
    assert ModifiedDetailedBalance.refusal(env) is not None
    with pytest.raises(TypeError, match=r"ModifiedDetailedBalance cannot train on HyperGrid.*Use"):
        ModifiedDetailedBalance().check(env)

"""What must not change a loss: padding, order, company in the batch, exploration, constants."""

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
    FlowTerms,
    Objective,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, IncompatibleError, RewardError
from gflow.objectives import (
    OBJECTIVES,
    PROPORTIONAL,
    DetailedBalance,
    FlowMatching,
    LogPartitionVariance,
    ModifiedDetailedBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.testing.strategies import random_dags, trajectories

GRID = HyperGrid(2, 4)
HERE = [name for name, kind in sorted(OBJECTIVES.items()) if kind.refusal(GRID) is None]
CUTTABLE = [name for name in HERE if not OBJECTIVES[name].needs.whole]


def scattered(env: DiscreteEnvironment[Any], seed: int = 0) -> TabularPolicy:
    policy = TabularPolicy(enumerate_states(env))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def allowed(env: DiscreteEnvironment[Any]) -> list[Objective]:
    return [kind.build(env) for kind in OBJECTIVES.values() if kind.refusal(env) is None]


def sample(env: DiscreteEnvironment[Any], count: int, seed: int = 0) -> Trajectories[Any]:
    flat = TabularPolicy(enumerate_states(env), "uniform")
    return Sampler(env).forward(flat, count, generator=torch.Generator().manual_seed(seed))


def rows(terms: FlowTerms, index: Tensor) -> FlowTerms:
    chosen: Any = {n: v[index] for n, v in vars(terms).items() if isinstance(v, Tensor)}
    return replace(terms, **chosen)


@pytest.mark.slow
@settings(max_examples=10)
@given(env=random_dags(max_states=8), data=st.data())
def test_a_batch_is_the_sum_of_its_trajectories(
    env: DiscreteEnvironment[Any], data: st.DataObject
) -> None:
    """Alone, a trajectory has no padding: its residuals are the ones it has in any company."""
    batch = data.draw(trajectories(env, min_size=2, max_size=5))
    policy = scattered(env)
    for objective in allowed(env):
        if isinstance(objective, LogPartitionVariance):
            continue  # compares trajectories with one another
        together = objective.residual(objective.evaluate(env, policy, batch)).detach()
        for k in range(len(batch)):
            one = batch.select(torch.tensor([k]))
            alone = objective.residual(objective.evaluate(env, policy, one)).detach()
            kept = together[k].flatten()[together[k].flatten() != 0]
            alone = alone.flatten()[alone.flatten() != 0]
            torch.testing.assert_close(kept, alone, atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(PROPORTIONAL))
def test_loss_of_mixed_lengths_from_separate_evaluations(name: str) -> None:
    """B-17, with the weights of each objective written out."""
    batch = sample(GRID, 7)
    assert len(set(batch.length.tolist())) > 2
    policy, objective = scattered(GRID), OBJECTIVES[name].build(GRID)
    together = objective(objective.evaluate(GRID, policy, batch)).item()
    parts = [batch.select(torch.tensor([k, k])) for k in range(7)]
    terms = [objective.evaluate(GRID, policy, part) for part in parts]
    if name == "vargrad":
        values = torch.stack([t.log_weight[0] for t in terms])
        wanted = values.var(correction=0).item()
    else:
        each = torch.stack([objective(t) for t in terms])
        transitions = batch.length.double()
        moves = transitions - batch.stopped.double()
        count = {"mdb": moves, "msubtb": moves * (moves + 1) / 2}.get(name, torch.ones(7))
        if name in ("db", "fldb", "fm", "sgfn", "naive_intended", "naive_realised"):
            count = transitions
        wanted = ((each * count).sum() / count.sum()).item()
    torch.testing.assert_close(together, wanted)


@pytest.mark.parametrize("name", HERE)
def test_longer_padding_changes_nothing(name: str) -> None:
    batch = sample(GRID, 6)
    pad = torch.nn.functional.pad
    longer = replace(
        batch,
        actions=pad(batch.actions, (0, 3)),
        backward_actions=pad(batch.backward_actions, (0, 3)),
        state_index=torch.cat([batch.state_index, batch.state_index[:, -1:].expand(-1, 3)], 1),
    )
    policy, objective = scattered(GRID), OBJECTIVES[name].build(GRID)
    torch.testing.assert_close(
        objective(objective.evaluate(GRID, policy, batch)),
        objective(objective.evaluate(GRID, policy, longer)),
    )


@pytest.mark.parametrize("garbage", [torch.inf, -torch.inf, torch.nan, 1e30])
@pytest.mark.parametrize("name", HERE)
def test_whatever_stands_in_the_padding_of_the_table_is_ignored(name: str, garbage: float) -> None:
    """Terms may be filled by others than `evaluate`: neither value nor gradient reads padding."""
    batch = sample(GRID, 6)
    objective = OBJECTIVES[name].build(GRID)
    terms = objective.evaluate(GRID, scattered(GRID), batch)
    steps = torch.arange(terms.log_pf.shape[1] + 1)
    leaves, dirty = {}, {}
    for field, value in vars(terms).items():
        if isinstance(value, Tensor) and value.dim() == 2 and field != "scores":
            edge = value.shape[1] == terms.log_pf.shape[1]
            outside = steps[: value.shape[1]] >= batch.length[:, None] + (not edge)
            assert bool(outside.any())
            leaves[field] = torch.where(outside, garbage, value.detach()).requires_grad_()
            dirty[field] = leaves[field]
    fields: Any = dirty
    loss = objective(replace(terms, **fields))
    torch.testing.assert_close(loss, objective(terms))
    loss.backward()
    for field, leaf in leaves.items():
        if leaf.grad is not None:
            assert bool(leaf.grad.isfinite().all()), field


@pytest.mark.parametrize("name", HERE)
def test_order_of_the_batch_is_immaterial(name: str) -> None:
    batch = sample(GRID, 9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    policy, objective = scattered(GRID), OBJECTIVES[name].build(GRID)
    terms = objective.evaluate(GRID, policy, batch)
    other = objective.evaluate(GRID, policy, batch.select(order))
    shares = objective.per_trajectory(terms)
    torch.testing.assert_close(objective.per_trajectory(other), shares[order])
    torch.testing.assert_close(objective(other), objective(terms))
    torch.testing.assert_close(shares.sum(), objective(terms))


@pytest.mark.parametrize("name", HERE)
def test_exploring_changes_no_loss_of_given_trajectories(name: str) -> None:
    """B-13: what the sampler thought is not what the objective reads."""
    policy, objective = scattered(GRID), OBJECTIVES[name].build(GRID)
    seen = Sampler(GRID).forward(
        policy,
        8,
        exploration=Exploration(0.5, 0.2, temperature=3.0, stop_bias=1.0),
        generator=torch.Generator().manual_seed(0),
    )
    again = Sampler(GRID).along(seen.actions, seen.length)
    torch.testing.assert_close(
        objective(objective.evaluate(GRID, policy, seen)),
        objective(objective.evaluate(GRID, policy, again)),
    )


@given(shift=st.floats(-20, 20))
@settings(max_examples=10)
def test_a_constant_in_the_reward_is_a_constant_in_log_z(shift: float) -> None:
    """B-16."""
    terms = evaluate(GRID, scattered(GRID), sample(GRID, 8))
    moved = replace(terms, log_reward=terms.log_reward + shift)
    torch.testing.assert_close(
        TrajectoryBalance(0.7 + shift)(moved).item(), TrajectoryBalance(0.7)(terms).item()
    )
    vargrad = LogPartitionVariance()
    torch.testing.assert_close(vargrad(moved).item(), vargrad(terms).item())
    torch.testing.assert_close(vargrad.log_z_estimate(moved), vargrad.log_z_estimate(terms) + shift)


@given(shift=st.floats(-20, 20))
@settings(max_examples=10)
def test_a_constant_in_reward_and_flows_cancels(shift: float) -> None:
    batch, policy = sample(GRID, 8), scattered(GRID)
    terms = evaluate(GRID, policy, batch, DetailedBalance.needs)
    with torch.no_grad():
        policy.flow_table.add_(shift)
    batch = replace(batch, log_reward=batch.log_reward + shift)
    moved = evaluate(GRID, policy, batch, DetailedBalance.needs)
    for objective in (DetailedBalance(), SubTrajectoryBalance()):
        torch.testing.assert_close(objective(moved), objective(terms))


@pytest.mark.parametrize("name", HERE)
def test_gradients_reach_exactly_the_heads_that_are_read(name: str) -> None:
    policy, objective = scattered(GRID), OBJECTIVES[name].build(GRID)
    objective(objective.evaluate(GRID, policy, sample(GRID, 8))).backward()
    beside = {id(p) for learner in objective.learners(GRID) for p in learner.module.parameters()}
    back = objective.needs.log_pb and name not in ("fm", "opfm", "mle")
    reads = {"forward_table"} | ({"backward_table"} if back else set())
    if objective.needs.log_flow:
        reads.add("flow_table")
    found = {
        n for n, p in policy.named_parameters() if p.grad is not None and p.grad.abs().max() > 0
    }
    assert found == reads
    assert all((p.grad is None) == (id(p) in beside) for p in objective.parameters())


@pytest.mark.parametrize("name", sorted(set(HERE) - set(CUTTABLE)))
def test_cut_trajectories_are_refused_by_what_needs_the_end(name: str) -> None:
    batch = sample(GRID, 6).truncate(torch.full((6,), 2))
    objective = OBJECTIVES[name].build(GRID)
    terms = objective.evaluate(GRID, scattered(GRID), batch)
    with pytest.raises(IncompatibleError, match="needs whole trajectories.*Use DetailedBalance"):
        objective(terms)


def check_pairs_before(
    objective: Objective, short: FlowTerms, whole: FlowTerms, cut: Tensor
) -> None:
    """Pairs of states: equal up to the cut, and neither residual nor weight beyond it."""

    def square(terms: FlowTerms, values: Tensor) -> Tensor:
        states = terms.log_pf.shape[1] + 1
        table = torch.zeros(len(values), whole.log_pf.shape[1] + 1, whole.log_pf.shape[1] + 1)
        i, j = torch.triu_indices(states, states, offset=1)
        table[:, i, j] = values.detach()
        return table

    got, full = (square(t, objective.residual(t)) for t in (short, whole))
    weight = square(short, objective.weight(short))
    place = torch.arange(got.shape[1])
    within = (place <= cut[:, None])[:, None].expand_as(got) & (place[:, None] < place)
    ended = (cut == whole.length)[:, None, None]
    alike = within & (ended | (place < whole.length[:, None])[:, None])
    assert int(alike.sum()) > 20
    torch.testing.assert_close(got[alike], full[alike])
    assert float(got[alike].abs().min()) > 0
    assert bool((weight[within] > 0).all())
    assert bool((got[~within] == 0).all() & (weight[~within] == 0).all())
    assert float(weight.sum()) == pytest.approx(1)


def test_flow_matching_balances_ends_of_whole_trajectories_alone() -> None:
    """A state at which a trajectory was cut is no finished object."""
    batch, policy = sample(GRID, 6), scattered(GRID)
    long = batch.length > 2
    assert 0 < int(long.sum()) < 6
    cut = batch.truncate(batch.length.where(~long, 2))
    objective = FlowMatching(leaf_coefficient=10.0)
    terms = objective.evaluate(GRID, policy, cut)
    weight = objective.weight(terms)
    last = weight.gather(1, (terms.length - 1)[:, None]).squeeze(1)
    inner = terms.mask.sum() - (~long).sum()
    torch.testing.assert_close(last[~long], torch.full_like(last[~long], 10 / int((~long).sum())))
    torch.testing.assert_close(last[long], torch.full_like(last[long], 1 / int(inner)))
    assert float(weight.sum()) == pytest.approx(11)


def test_modified_balance_of_one_move_and_of_none() -> None:
    """By hand where there is one move; nothing to balance, and no NaN, where all stop at once."""
    objective, policy = ModifiedDetailedBalance(), scattered(GRID)
    right, stop = 0, GRID.stop_action
    one = Sampler(GRID).along(torch.tensor([[right, stop]]), torch.tensor([2]))
    terms = objective.evaluate(GRID, policy, one)
    graph = policy.graph
    log_pf, log_stop = graph.log_pf(policy)
    source, child = (int(graph.rows(torch.tensor([cell]))[0]) for cell in ([0, 0], [1, 0]))
    edge = int(((graph.parent == source) & (graph.child == child)).nonzero()[0])
    log_reward = GRID.target_log_reward(torch.tensor([[0, 0], [1, 0]]))
    back = graph.log_pb(policy)[edge]
    wanted = (
        log_reward[0] + log_pf[edge] + log_stop[child] - log_reward[1] - back - log_stop[source]
    )
    got = objective.residual(terms)
    torch.testing.assert_close(got, torch.stack([wanted, 0 * wanted])[None])
    assert wanted.abs().item() > 0.1
    torch.testing.assert_close(objective.weight(terms), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(objective(terms), wanted.square())
    none = Sampler(GRID).along(torch.tensor([[stop], [stop]]), torch.tensor([1, 1]))
    empty = objective.evaluate(GRID, policy, none)
    assert objective(empty).item() == 0
    assert objective.weight(empty).tolist() == [[0.0], [0.0]]
    torch.testing.assert_close(
        objective.log_z_estimate(empty), (log_reward[0] - log_stop[source]).expand(2)
    )


@pytest.mark.parametrize("name", [n for n in CUTTABLE if n != "msubtb"])  # see test_msubtb
def test_cut_trajectories_are_read_up_to_the_cut(name: str) -> None:
    """What ends before the cut has the residual that it has in the whole trajectory.

    The gap of learned energies is not known before the end, so led is asked not to share it out.
    """
    batch = sample(GRID, 24)
    settings = {"residual": "terminal"} if name == "led" else {}
    policy, objective = scattered(GRID), OBJECTIVES[name].build(GRID, **settings)
    cut = (batch.length - 1).clamp(min=1)
    whole = objective.evaluate(GRID, policy, batch)
    short = objective.evaluate(GRID, policy, batch.truncate(cut))
    assert objective(short).item() == pytest.approx(
        (objective.weight(short) * objective.residual(short).square()).sum().item()
    )
    if name in ("subtb", "flsubtb", "led"):
        check_pairs_before(objective, short, whole, cut)
        return
    inside = torch.arange(whole.log_pf.shape[1]) < cut[:, None]
    got, full = objective.residual(short), objective.residual(whole)
    if name in (
        "db",
        "fldb",
    ):  # the last kept transition ends in log F instead of log R only at the end
        inside = inside & (cut < batch.length)[:, None]
    torch.testing.assert_close(got[inside], full[inside])
    assert bool((got[torch.arange(got.shape[1]) >= cut[:, None]] == 0).all())


def test_a_given_log_z_of_zero_is_kept() -> None:
    """D1: a peer dropped the value 0.0 as if none had been given."""
    for value in (0.0, 1.0, -2.5):
        objective = TrajectoryBalance(log_z=value)
        assert objective.log_z.value.item() == value
        terms = evaluate(GRID, scattered(GRID), sample(GRID, 3))
        torch.testing.assert_close(objective.log_z_estimate(terms), torch.full((3,), value))
    assert TrajectoryBalance(log_z=0).log_z.value.item() == 0.0


def test_vargrad_needs_company() -> None:
    terms = evaluate(GRID, scattered(GRID), sample(GRID, 1))
    with pytest.raises(ConfigError, match="at least 2 trajectories"):
        LogPartitionVariance()(terms)


def test_vargrad_compares_within_a_condition_only() -> None:
    terms = evaluate(GRID, scattered(GRID), sample(GRID, 6))
    condition = torch.tensor([[1.0], [2.0], [1.0], [2.0], [2.0], [1.0]])
    terms = replace(terms, condition=condition)
    objective = LogPartitionVariance()
    residual = objective.residual(terms)
    for value in (1.0, 2.0):
        members = condition[:, 0] == value
        weight = terms.log_weight[members]
        torch.testing.assert_close(residual[members], weight.mean() - weight)
    # A constant that belongs to one condition is no error of the policy.
    moved = replace(terms, log_reward=terms.log_reward + 3.0 * (condition[:, 0] == 2.0))
    torch.testing.assert_close(objective(moved), objective(terms))
    # One that is alone (replayed, or relabelled) says nothing, and does not end the run.
    mixed = replace(terms, condition=torch.tensor([[1.0], [2.0], [1.0], [2.0], [2.0], [9.0]]))
    assert objective.residual(mixed)[5] == 0
    assert torch.equal(objective.residual(mixed)[[1, 3, 4]], residual[[1, 3, 4]])
    lonely = replace(terms, condition=torch.arange(6.0)[:, None])
    with pytest.raises(ConfigError, match=r"occurs only once.*repeat=2"):
        objective(lonely)


def test_conditional_and_plain_log_z_are_not_mixed_up() -> None:
    plain = evaluate(GRID, scattered(GRID), sample(GRID, 4))
    given_one = replace(plain, condition=torch.ones(4, 1))
    with pytest.raises(IncompatibleError, match="condition_dim=env.condition_dim"):
        TrajectoryBalance()(given_one)
    conditional = TrajectoryBalance(log_z=1.5, condition_dim=1)
    with pytest.raises(IncompatibleError, match="has no condition"):
        conditional(plain)
    estimate = conditional.log_z_estimate(
        replace(plain, condition=torch.tensor([[0.0], [1], [1], [2]]))
    )
    assert estimate.shape == (4,)
    torch.testing.assert_close(estimate[1], estimate[2])
    assert estimate[0] != estimate[3]


def test_flow_matching_floors_and_balances() -> None:
    batch, policy = sample(GRID, 6), scattered(GRID)
    plain = evaluate(GRID, policy, batch, FlowMatching.needs)
    assert plain.log_inflow is not None
    assert plain.log_outflow is not None
    floor = 0.3
    into, out = plain.log_inflow[:, 1:].exp() + floor, plain.log_outflow[:, 1:].exp() + floor
    wanted = (into.log() - out.log()) * plain.mask
    torch.testing.assert_close(FlowMatching(epsilon=floor).residual(plain), wanted)
    objective = FlowMatching(leaf_coefficient=10.0)
    ends = torch.arange(plain.log_pf.shape[1]) == batch.length[:, None] - 1
    inner = plain.mask & ~ends
    square = objective.residual(plain).square()
    torch.testing.assert_close(objective(plain), 10 * square[ends].mean() + square[inner].mean())


def test_flow_matching_adds_the_edges_by_hand() -> None:
    env = HyperGrid(2, 3)
    policy = scattered(env)
    graph = policy.graph
    batch = sample(env, 10)
    terms = evaluate(env, policy, batch, FlowMatching.needs)
    assert terms.log_inflow is not None
    assert terms.log_outflow is not None
    table = policy.forward_table.detach()
    cells = batch.states[batch.state_index]
    checked = 0
    for k in range(len(batch)):
        for t in range(1, int(batch.length[k]) + 1):
            cell = cells[k, t]
            row = int(graph.rows(cell[None]))
            if t == int(batch.length[k]):  # the object, entered by its stop
                into, out = table[row, 2].exp(), batch.log_reward[k].exp()
            else:
                parents = [
                    table[int(graph.rows((cell - step)[None])), a].exp()
                    for a, step in enumerate(torch.eye(2, dtype=torch.int64))
                    if cell[a] > 0
                ]
                into = torch.stack(parents).sum()
                legal = env.forward_mask(cell[None])[0]
                out = table[row][legal].exp().sum()
            torch.testing.assert_close(terms.log_inflow[k, t].exp(), into)
            torch.testing.assert_close(terms.log_outflow[k, t].exp(), out)
            checked += 1
    assert checked > 15


def test_a_negative_reward_is_refused_with_the_object() -> None:
    from gflow import FunctionReward

    env = HyperGrid(2, 3, FunctionReward(lambda s: (s.sum(-1).double() - 2).log()))
    with pytest.raises(RewardError, match=r"HyperGrid: the reward .* returned log R = (nan|-inf)"):
        sample(env, 30)


def test_formulas_of_objectives_are_what_was_written() -> None:
    for cls in OBJECTIVES.values():
        text = cls.__doc__ or ""
        assert text.isascii()
        assert all(sign.isprintable() or sign == "\n" for sign in text), cls


def test_log_z_of_a_condition_starts_around_its_initial_value() -> None:
    """The network adds to it; with a last layer of zeros it adds nothing."""
    objective = TrajectoryBalance(3.0, condition_dim=1)
    network = objective.log_z.network
    assert network is not None
    last = network[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    terms = replace(evaluate(GRID, scattered(GRID), sample(GRID, 4)), condition=torch.ones(4, 1))
    torch.testing.assert_close(objective.log_z_estimate(terms), torch.full((4,), 3.0))
    torch.nn.init.constant_(last.bias, 0.5)
    torch.testing.assert_close(objective.log_z_estimate(terms), torch.full((4,), 3.5))

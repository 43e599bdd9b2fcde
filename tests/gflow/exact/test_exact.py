"""Exact answers against brute force over all trajectories, and against the golden table."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward, TabularPolicy, enumerate_states, evaluate
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import LANDSCAPES, Corners, CosineProduct, Landscape
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.testing import TableEnvironment, all_trajectories, check_env
from gflow.testing.strategies import random_dags

environments = st.one_of(
    random_dags(max_states=9),
    st.sampled_from(
        [HyperGrid(2, 3), HyperGrid(2, 4, ending="forced"), HyperGrid(3, 2), HyperGrid(1, 5)]
    ),
)


def scattered(graph: StateGraph[Any], seed: int) -> TabularPolicy:
    policy = TabularPolicy(graph)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        policy.forward_table.normal_(generator=generator)
        policy.backward_table.normal_(generator=generator)
    return policy


def test_keys_may_be_a_column_of_the_states() -> None:
    """The plainest key is a view with strides, of which torch complains in a warning."""

    class Column(HyperGrid):
        def key(self, states: Tensor) -> Tensor:
            return states[:, 0]

    env = Column(1, 5)
    wide = torch.arange(10).view(5, 2) // 2
    graph = enumerate_states(env)
    for _ in range(2):
        assert torch.equal(graph.rows(wide), torch.arange(5))
        assert check_env(env).num_states == 5


# ---------------------------------------------------------------------- against brute force


@settings(max_examples=20)
@given(env=environments, seed=st.integers(0, 99))
def test_flows_and_distributions_are_sums_over_trajectories(
    env: DiscreteEnvironment[Any], seed: int
) -> None:
    graph = enumerate_states(env)
    policy = scattered(graph, seed)
    batch = all_trajectories(env)
    terms = evaluate(env, policy, batch)
    rows = graph.rows(batch.states)[batch.state_index]
    ends = rows.gather(1, batch.length[:, None]).squeeze(1)

    law = torch.zeros(len(graph)).index_add(0, ends, terms.log_pf.sum(1).exp().detach())
    torch.testing.assert_close(graph.terminal_distribution(policy).exp(), law[graph.objects])
    torch.testing.assert_close(law.sum().item(), 1.0)
    assert bool((law > 0).equal(graph.can_end))

    log_pb = graph.log_pb(policy)
    flows = graph.exact_flows(log_pb)
    weight = (terms.log_reward + terms.log_pb.sum(1)).exp().detach()  # flow of each trajectory
    through = torch.zeros(len(graph))
    for row in range(len(graph)):
        visits = ((rows == row) & (torch.arange(rows.shape[1]) <= batch.length[:, None])).any(1)
        through[row] = weight[visits].sum()
    torch.testing.assert_close(flows.log_flow.exp(), through)
    torch.testing.assert_close(flows.log_z, weight.sum().log().item())
    total = graph.log_reward()[graph.objects].logsumexp(0)
    torch.testing.assert_close(flows.log_z, total.item())

    # The exact policy leaves every state for somewhere, and builds x in proportion to R(x).
    out = flows.log_stop.exp().index_add(0, graph.parent, flows.log_pf.exp())
    torch.testing.assert_close(out, torch.ones(len(graph)))
    torch.testing.assert_close(
        graph.terminal_log_prob(flows.log_pf, flows.log_stop), graph.log_target()
    )


@settings(max_examples=20)
@given(env=environments)
def test_backward_policies_are_normalised_over_distinct_parents(
    env: DiscreteEnvironment[Any],
) -> None:
    graph = enumerate_states(env)
    policies = {
        "uniform": graph.uniform_log_pb(),
        "maxent": graph.max_entropy_log_pb(),
        "learned": graph.log_pb(scattered(graph, 0)),
    }
    for log_pb in policies.values():
        total = torch.zeros(len(graph)).index_add(0, graph.child, log_pb.exp())
        torch.testing.assert_close(total[1:], torch.ones(len(graph) - 1))
        assert total[0] == 0
    count = torch.bincount(graph.child, minlength=len(graph)).double()
    torch.testing.assert_close(policies["uniform"].exp(), 1 / count[graph.child])
    pairs = list(zip(graph.parent.tolist(), graph.child.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs), "each pair of neighbours is one transition"
    for kind in ("uniform", "maxent"):
        policy = TabularPolicy(graph, kind)
        torch.testing.assert_close(graph.log_pb(policy), policies[kind])


@settings(max_examples=15)
@given(env=environments, seed=st.integers(0, 99))
def test_maximum_entropy_makes_all_trajectories_to_an_object_equally_likely(
    env: DiscreteEnvironment[Any], seed: int
) -> None:
    """B-7, with the entropy of trajectories compared with other backward policies."""
    graph = enumerate_states(env)
    batch = all_trajectories(env)
    log_pb = evaluate(env, TabularPolicy(graph, "maxent"), batch).log_pb.sum(1)
    ends = graph.rows(batch.final_states)
    paths = torch.bincount(ends, minlength=len(graph))
    torch.testing.assert_close(log_pb, -paths[ends].double().log())
    count = graph.log_num_trajectories()[graph.objects].exp().round().long()
    assert torch.equal(count, paths[graph.objects])

    def entropy(log_pb: Tensor) -> float:
        policy = TabularPolicy.solved(graph, graph.exact_flows(log_pb))
        log_p = evaluate(env, policy, batch).log_pf.sum(1).detach()
        return float(-(log_p.exp() * log_p).sum())

    best = entropy(graph.max_entropy_log_pb())
    assert best >= entropy(graph.uniform_log_pb()) - 1e-12
    assert best >= entropy(graph.log_pb(scattered(graph, seed))) - 1e-12


def test_uniform_is_not_maximum_entropy_on_a_graph_with_uneven_paths() -> None:
    env = TableEnvironment([[1, 2, 3], [3], [3], []], [0.0] * 4)
    graph = enumerate_states(env)
    assert (graph.uniform_log_pb() - graph.max_entropy_log_pb()).abs().max() == 0
    env = TableEnvironment([[1, 2, 3], [4, 5], [4], [5], [6], [6], []], [0.0] * 7)
    graph = enumerate_states(env)
    assert (graph.uniform_log_pb() - graph.max_entropy_log_pb()).abs().max() == 0
    env = TableEnvironment([[1, 2], [2, 3], [3], []], [0.0] * 4)
    graph = enumerate_states(env)
    assert (graph.uniform_log_pb() - graph.max_entropy_log_pb()).abs().max() > 0.2


# ---------------------------------------------------------------------- the list of states


@settings(max_examples=20)
@given(env=environments)
def test_states_and_transitions_are_all_there_once(env: DiscreteEnvironment[Any]) -> None:
    graph = enumerate_states(env)
    keys = env.key(graph.states).tolist()
    assert len(set(keys)) == len(keys)
    assert bool(env.is_initial(graph.states)[0])
    assert torch.equal(graph.rows(graph.states), torch.arange(len(graph)))
    children = env.step(graph.states[graph.parent], graph.action)
    assert torch.equal(children, graph.states[graph.child])
    parents = env.backstep(children, graph.backward_action)
    assert torch.equal(parents, graph.states[graph.parent])
    # B-9: s' is a child of s exactly if s is a parent of s'.
    found = set()
    back = env.backward_mask(graph.states)
    for row, action in back.nonzero().tolist():
        parent = env.backstep(graph.states[row][None], torch.tensor([action]))
        found.add((int(graph.rows(parent)), row))
    assert found == set(zip(graph.parent.tolist(), graph.child.tolist(), strict=True))
    assert bool((graph.depth[graph.child] > graph.depth[graph.parent]).all())
    stops = torch.zeros(len(graph), dtype=torch.int64)
    if env.stop_action is not None:
        stops = env.forward_mask(graph.states)[:, env.stop_action].long()
    assert (graph.depth + stops)[graph.can_end].max() == env.horizon


def test_unknown_states_and_endless_environments_are_refused() -> None:
    graph = enumerate_states(HyperGrid(2, 3, ending="forced"))
    assert len(graph) == 8
    with pytest.raises(IncompatibleError, match=r"state \(2, 2\) is not among the 8 enumerated"):
        graph.rows(torch.tensor([[1, 2], [2, 2]]))
    with pytest.raises(IncompatibleError, match="has more than 100 states.*Raise `limit`"):
        enumerate_states(HyperGrid(2, 20), limit=100)
    with pytest.raises(IncompatibleError, match="defines no `key`"):
        enumerate_states(HyperGrid(40, 8))
    loop = HyperGrid(1, 3)
    loop._step = lambda states, actions: (states + 1) % 2  # type: ignore[method-assign]
    with pytest.raises(IncompatibleError, match="HyperGrid has a cycle"):
        enumerate_states(loop)


def test_a_single_state_is_an_environment() -> None:
    env = TableEnvironment([[]], [0.7], stops=[True])
    graph = enumerate_states(env)
    assert (len(graph), len(graph.parent)) == (1, 0)
    assert graph.exact_flows().log_z == 0.7
    assert graph.terminal_distribution(TabularPolicy(graph)).tolist() == [0.0]


def test_rewards_far_below_the_range_of_exponentials_are_kept() -> None:
    """Flows of e^-2000 and e^-2001: their ratio is still e."""
    env = TableEnvironment([[1, 2], [], []], [0.0, -2000.0, -2001.0])
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    torch.testing.assert_close(flows.log_z, -2000 + math.log1p(math.exp(-1)))
    torch.testing.assert_close((flows.log_pf[0] - flows.log_pf[1]).item(), 1.0)


# ---------------------------------------------------------------------- golden values

# side, dim, R0, Z, log Z, E[R], modes, their mass, entropy; TV of the uniform law on objects,
# TV and E[R] of the policy uniform over actions
GOLDEN = [
    (8, 2, 0.1, 22.4, 3.109061, 1.421429, 4, 0.464286, 3.323036, 0.535714, 0.699978, 0.572698),
    (8, 4, 0.1, 569.6, 6.344934, 0.408989, 16, 0.073034, 7.956596, 0.263343, 0.800148, 0.368110),
    (8, 4, 1e-3, 164.096, 5.100452, 0.977014, 16, 0.243857, 5.544992, 0.914099, 0.922311, 0.269110),
    (16, 3, 1e-3, 276.096, 5.620749, 0.639445, 8, 0.072468, 6.276079, 0.862019, 0.876838, 0.445103),
    (20, 2, 1e-3, 82.4, 4.411585, 1.470442, 16, 0.485631, 4.344551, 0.746359, 0.817155, 0.596826),
]  # fmt: skip


@pytest.mark.parametrize("row", GOLDEN, ids=[f"{r[0]}^{r[1]}-{r[2]}" for r in GOLDEN])
def test_golden_values_of_free_grids(row: tuple[float, ...]) -> None:
    side, dim, r0, z, log_z, mean, modes, mass, entropy, tv, tv_actions, mean_actions = row
    env = HyperGrid(int(dim), int(side), Corners(int(side), r0))
    graph = enumerate_states(env)
    assert len(graph) == len(graph.objects) == side**dim
    log_reward = graph.log_reward()
    reward, log_pi = log_reward.exp(), graph.log_target()
    pi = log_pi.exp()
    corners = env.reward
    assert isinstance(corners, Corners)
    is_mode = corners.is_mode(graph.states)
    law = graph.terminal_distribution(TabularPolicy(graph)).exp()

    def close(got: Any, wanted: float) -> None:
        assert abs(float(got) - wanted) < 1.01e-6 * max(1.0, abs(wanted)), (got, wanted)

    close(reward.sum(), z)
    close(log_reward.logsumexp(0), log_z)
    close(env.log_partition(), log_z)
    close((pi * reward).sum(), mean)
    assert int(is_mode.sum()) == modes
    close(pi[is_mode].sum(), mass)
    close(-(pi * log_pi).sum(), entropy)
    close((pi - 1 / len(pi)).abs().sum() / 2, tv)
    close((law - pi).abs().sum() / 2, tv_actions)
    close((law * reward).sum(), mean_actions)


@pytest.mark.parametrize(
    ("side", "dim", "rewards", "z", "log_z", "mean", "modes"),
    [
        (20, 4, (1e-3, 0.5, 2.0), 5672.0, 8.643297, 0.713537, 256),
        (64, 2, (1e-3, 0.5, 2.0), 804.096, 6.689719, 1.394863, 144),
        (20, 4, (1e-4, 1.0, 3.0), 10784.0, 9.285819, 1.283583, 256),
    ],
)
def test_golden_values_of_large_grids(
    side: int, dim: int, rewards: tuple[float, ...], z: float, log_z: float, mean: float, modes: int
) -> None:
    reward = Corners(side, *rewards)
    env = HyperGrid(dim, side, reward)
    value = reward.value(env.cells(torch.arange(side**dim)))
    assert abs(value.sum().item() - z) < 1e-6 * z
    assert abs(env.log_partition() - log_z) < 1e-6  # type: ignore[operator]
    assert abs((value.square().sum() / value.sum()).item() - mean) < 1e-6
    assert int((value >= reward.top - 1e-12).sum()) == modes
    cells = env.cells(torch.arange(side**dim))
    assert int(reward.is_mode(cells).sum()) == modes
    regions = {tuple(c) for c in (cells[reward.is_mode(cells)] * 2 > side).int().tolist()}
    assert len(regions) == 2**dim


def test_golden_cosine_grid() -> None:
    free, forced = (HyperGrid(2, 32, CosineProduct(32), ending) for ending in ("free", "forced"))
    graphs = [enumerate_states(env) for env in (free, forced)]
    z = [graph.log_reward()[graph.objects].exp() for graph in graphs]
    assert f"{z[0].sum():.2f}" == "19.85"
    assert f"{z[1].sum():.2f}" == "19.84"
    assert f"{z[0].max():.6f}" == "0.169663"


def test_golden_numbers_of_trajectories_and_objects() -> None:
    graph = enumerate_states(HyperGrid(2, 8))
    assert round(float(graph.log_num_trajectories().exp().sum())) == 12869
    graph = enumerate_states(HyperGrid(2, 32, ending="forced"))
    assert len(graph.objects) == 1023
    at_edge = (graph.states == 31).sum(1)
    assert at_edge.max() == 1, "no object has two coordinates at the edge"
    parents = graph.states[graph.parent[at_edge[graph.child] == 1]]
    assert bool((parents < 31).all()), "a finished cell has only unfinished parents"
    for dim, side in itertools.product((1, 2, 3), (2, 3, 5)):
        graph = enumerate_states(HyperGrid(dim, side, ending="forced"))
        assert len(graph.objects) == (side - 1) ** dim + dim * (side - 1) ** (dim - 1)


def test_golden_ranges_of_the_landscapes() -> None:
    cells = enumerate_states(HyperGrid(2, 32, ending="forced")).states
    names = ["branin", "currin", "shubert", "beale"]
    scores = Landscape(32).functions(cells, names)
    golden = [
        (2.934e-6, 0.998616),
        (0.085723, 1.001525),
        (0.005753, 0.994499),
        (0.112627, 0.997503),
    ]
    for column, (low, high) in zip(scores.unbind(1), golden, strict=True):
        assert abs(float(column.min()) - low) < 1e-6
        assert abs(float(column.max()) - high) < 1e-6
    assert abs(float(column.min()) - golden[-1][0]) < 1e-6
    assert set(LANDSCAPES) == {*names, "sphere"}


FRONTS = {
    ("branin", "currin"): 36, ("branin", "shubert"): 14, ("branin", "beale"): 44,
    ("currin", "shubert"): 32, ("currin", "beale"): 8, ("shubert", "beale"): 22,
    ("branin", "currin", "shubert"): 104, ("branin", "currin", "beale"): 229,
    ("branin", "shubert", "beale"): 147, ("currin", "shubert", "beale"): 127,
    ("branin", "currin", "shubert", "beale"): 372,
}  # fmt: skip


@pytest.mark.parametrize("names", FRONTS, ids="-".join)
def test_golden_fronts_of_the_landscapes(names: tuple[str, ...]) -> None:
    cells = enumerate_states(HyperGrid(2, 32, ending="forced")).states
    points = Landscape(32).functions(cells, list(names))
    better = (points[:, None] >= points[None]).all(-1) & (points[:, None] > points[None]).any(-1)
    assert int((~better.any(0)).sum()) == FRONTS[names]


# ---------------------------------------------------------------------- corrections


class Labelled(HyperGrid):
    """Counts every object as often as its first coordinate plus one says."""

    def log_symmetry(self, states: Tensor) -> Tensor:
        return (states[:, 0] + 1).double().log()


def test_the_target_of_training_is_corrected_and_the_target_distribution_is_not() -> None:
    env = Labelled(2, 3, FunctionReward(lambda s: s.sum(-1).double()))
    graph = enumerate_states(env)
    cells = graph.states[graph.objects]
    wanted = cells.sum(-1).double() - (cells[:, 0] + 1).double().log()
    torch.testing.assert_close(graph.log_reward()[graph.objects], wanted)
    torch.testing.assert_close(graph.log_target(), cells.sum(-1).double().log_softmax(0))

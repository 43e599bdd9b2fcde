from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, TabularPolicy, enumerate_states, evaluate
from gflow.envs.graphs.small_graphs import LabelledGraphs, SmallGraphs
from gflow.errors import ConfigError
from gflow.metrics import total_variation
from gflow.objective import Objective
from gflow.objectives import (
    DetailedBalance,
    FlowMatching,
    ModifiedDetailedBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.testing import all_trajectories, check_env
from gflow.training.trainer import TrainConfig, Trainer


def counts(env: SmallGraphs) -> list[int]:
    sizes = (env.graphs(env.all_states()).node > 0).sum(-1)
    return torch.bincount(sizes).tolist()


def to_networkx(env: SmallGraphs, state: int) -> nx.Graph:
    found = env.graphs(torch.tensor([state]))
    node, edge = found.node[0].tolist(), found.edge[0].tolist()
    graph = nx.Graph()
    graph.add_nodes_from((i, {"label": c}) for i, c in enumerate(node) if c)
    n = len(graph)
    graph.add_edges_from(
        (i, j, {"label": edge[i][j]}) for i in range(n) for j in range(i) if edge[i][j]
    )
    return graph


def same(a: nx.Graph, b: nx.Graph) -> bool:
    equal = lambda x, y: x["label"] == y["label"]  # noqa: E731
    return bool(nx.is_isomorphic(a, b, node_match=equal, edge_match=equal))


def triangles(graphs: LabelledGraphs) -> Tensor:
    joined = (graphs.edge > 0).to(torch.get_default_dtype())
    return (joined @ joined @ joined).diagonal(dim1=1, dim2=2).sum(-1) / 6


def test_number_of_all_graphs() -> None:
    assert counts(SmallGraphs(5)) == [1, 1, 2, 4, 11, 34]
    assert counts(SmallGraphs(5, connected=True)) == [1, 1, 1, 2, 6, 21]


def test_number_of_labelled_graphs() -> None:
    assert counts(SmallGraphs(4, node_labels=2)) == [1, 2, 6, 20, 90]  # two colours of nodes
    assert counts(SmallGraphs(4, edge_labels=2)) == [1, 1, 3, 10, 66]  # two colours of edges


@pytest.mark.slow
def test_number_of_graphs_of_six_nodes() -> None:
    assert counts(SmallGraphs(6))[-1] == 156
    assert counts(SmallGraphs(6, connected=True))[-1] == 112


@pytest.mark.parametrize(
    "options",
    [
        {"nodes": 4},
        {"nodes": 4, "connected": True},
        {"nodes": 3, "node_labels": 2, "edge_labels": 2},
        {"nodes": 3, "node_labels": 2, "edge_labels": 2, "connected": True},
    ],
)
def test_children_and_parents_equal_brute_force(options: dict[str, Any]) -> None:
    """Against networkx: which classes are reached by adding or removing one thing."""
    env = SmallGraphs(**options)
    graphs = [to_networkx(env, s) for s in range(env.num_keys or 0)]
    number = lambda g: next(i for i, h in enumerate(graphs) if same(g, h))  # noqa: E731
    connected = options.get("connected", False)
    node_labels = range(1, env.node_labels + 1)
    edge_labels = range(1, env.edge_labels + 1)
    expected = set()
    for s, graph in enumerate(graphs):
        n = len(graph)
        grown = []
        for i, j in nx.complement(graph).edges:
            for e in edge_labels:
                new = nx.Graph(graph)
                new.add_edge(i, j, label=e)
                grown.append(new)
        for c in node_labels:
            if n == env.nodes:
                break
            new = nx.Graph(graph)
            new.add_node(n, label=c)
            if not connected or n == 0:
                grown.append(new)
                continue
            for i in range(n):
                for e in edge_labels:
                    joined = nx.Graph(new)
                    joined.add_edge(i, n, label=e)
                    grown.append(joined)
        expected |= {(s, number(g)) for g in grown}
    found = enumerate_states(env)
    ids = found.states
    assert len(found) == len(graphs)
    assert {*zip(ids[found.parent].tolist(), ids[found.child].tolist(), strict=True)} == expected
    assert len(found.parent) == len(expected)  # equivalent actions are one transition
    undo = env.backward_mask(ids).nonzero()
    parents = env._backstep(ids[undo[:, 0]], undo[:, 1])
    assert {*zip(parents.tolist(), ids[undo[:, 0]].tolist(), strict=True)} == expected


@settings(max_examples=8)
@given(
    nodes=st.integers(1, 4),
    labels=st.sampled_from([(1, 1), (2, 1), (1, 2)]),
    connected=st.booleans(),
    min_nodes=st.integers(0, 1),
)
def test_contract(nodes: int, labels: tuple[int, int], connected: bool, min_nodes: int) -> None:
    env = SmallGraphs(nodes, None, *labels, connected, min_nodes)
    assert check_env(env).exhaustive


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize(
    "objective",
    [TrajectoryBalance, DetailedBalance, SubTrajectoryBalance, ModifiedDetailedBalance],
)
def test_objectives_vanish_at_the_exact_flows(objective: type[Objective], connected: bool) -> None:
    env = SmallGraphs(4, FunctionReward(triangles), connected=connected, min_nodes=0)
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows)
    terms = evaluate(env, policy, all_trajectories(env, 50_000), objective.needs)
    fitted = objective(log_z=flows.log_z) if objective is TrajectoryBalance else objective()
    assert fitted.residual(terms).abs().max() < 1e-9
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 1e-9


@pytest.mark.slow
def test_every_graph_counts_once_whatever_its_symmetry() -> None:
    """Uniform reward: without merging, symmetric graphs would come up less often."""
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env = SmallGraphs(4)
    policy = MLPPolicy(env, 64)
    Trainer(env, policy, TrajectoryBalance(), TrainConfig(600, 64, lr=5e-3)).train()
    graph = enumerate_states(env)
    law = graph.terminal_distribution(policy)
    assert len(law) == 18
    assert total_variation(law, graph.log_target()) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("objective", [DetailedBalance, FlowMatching])
def test_training_on_a_reward(objective: type[Objective]) -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env = SmallGraphs(4, FunctionReward(triangles), connected=True, min_nodes=2)
    fitted = objective()
    policy = MLPPolicy(env, 64, log_flow=fitted.needs.log_flow)
    Trainer(env, policy, fitted, TrainConfig(600, 64, lr=5e-3)).train()
    graph = enumerate_states(env)
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 0.05


def test_rewards_see_graphs() -> None:
    env = SmallGraphs(3, FunctionReward(triangles))
    lines = env.show(env.all_states())
    value = env.reward(env.all_states())
    assert {line: v for line, v in zip(lines, value.tolist(), strict=True) if v} == {
        "3 nodes: 0-1, 0-2, 1-2": 1.0
    }


def test_labels_are_shown() -> None:
    env = SmallGraphs(2, node_labels=2, edge_labels=2)
    assert "2 nodes [2, 1]: 0-1:2" in env.show(env.all_states())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 8}, r"nodes in 1 \.\.\. 7"),
        ({"nodes": 3, "min_nodes": 4}, r"min_nodes must lie in 0 \.\.\. 3, got 4"),
        ({"nodes": 4, "node_labels": 3, "limit": 50}, "more than 50 graphs"),
        ({"nodes": 7, "edge_labels": 5}, "more codes than a float64"),
    ],
)
def test_bad_sizes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SmallGraphs(**options)

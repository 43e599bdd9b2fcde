import itertools
from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import MLPPolicy, TabularPolicy, enumerate_states, evaluate
from gflow.envs.graphs.dominating_set import DominatingSet
from gflow.envs.graphs.independent_set import Clique, CutSize, IndependentSet, MaxCut
from gflow.envs.graphs.instances import GraphBatch, erdos_renyi
from gflow.envs.graphs.node_subsets import NodeCount, NodeSubsets
from gflow.errors import ConfigError, IllegalActionError, ShapeError
from gflow.metrics import total_variation
from gflow.objective import Objective
from gflow.objectives import DetailedBalance, SubTrajectoryBalance, TrajectoryBalance
from gflow.testing import all_trajectories, check_env
from gflow.training.trainer import TrainConfig, Trainer

Problem = Callable[[GraphBatch], NodeSubsets[Any]]
PROBLEMS: list[Problem] = [IndependentSet, Clique, DominatingSet, MaxCut]
FIVE_NODES = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (1, 4), (2, 4)]


def random_graphs(seed: int, sizes: tuple[int, ...] = (4, 6, 3, 7), p: float = 0.4) -> GraphBatch:
    g = torch.Generator().manual_seed(seed)
    parts = [erdos_renyi(1, n, p, g) for n in sizes]
    return GraphBatch.from_edges(list(sizes), [part.edges(0) for part in parts])


def build(problem: Problem, batch: GraphBatch) -> NodeSubsets[Any]:
    """The environment; graphs without edges get one where there would be nothing to decide."""
    if problem is DominatingSet:
        every = [batch.edges(g) for g in range(len(batch))]
        edges = [pairs if len(pairs) else torch.tensor([(0, 1)]) for pairs in every]
        batch = GraphBatch.from_edges(batch.sizes.tolist(), edges)
    return problem(batch)


# ---------------------------------------------------------------------- the rules, in plain Python


def labels_after(problem: Problem, graph: nx.Graph, taken: frozenset[int]) -> list[int]:
    """Labels of all nodes once the nodes `taken` were acted on, by the published rules."""
    near = {v: set(graph.neighbors(v)) for v in graph}
    labels = []
    for v in graph:
        if problem in (IndependentSet, Clique):
            rivals = near[v] if problem is IndependentSet else set(graph) - near[v] - {v}
            labels.append(1 if v in taken else 0 if rivals & taken else 2)
        elif problem is MaxCut:
            inside = len(near[v] & taken)
            labels.append(1 if v in taken else 0 if inside > len(near[v]) - inside else 2)
        else:
            kept = set(graph) - taken - {v}
            dominated = all(near[w] & kept for w in (near[v] & taken) | {v})
            labels.append(0 if v in taken else 2 if dominated else 1)
    return labels


def brute_force(problem: Problem, graph: nx.Graph) -> dict[frozenset[int], set[int]]:
    """All states that can be reached, as sets acted on, with their parents."""
    source: frozenset[int] = frozenset()
    parents: dict[frozenset[int], set[int]] = {source: set()}
    frontier = [source]
    while frontier:
        fresh = []
        for taken in frontier:
            for v, label in enumerate(labels_after(problem, graph, taken)):
                if label == 2:
                    child = taken | {v}
                    if child not in parents:
                        fresh.append(child)
                    parents.setdefault(child, set()).add(v)
        frontier = fresh
    return parents


def graph_of(batch: GraphBatch, g: int) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(int(batch.sizes[g])))
    graph.add_edges_from(batch.edges(g).tolist())
    return graph


@pytest.mark.parametrize("problem", PROBLEMS)
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), p=st.sampled_from([0.0, 0.25, 0.5, 0.8]))
def test_states_and_parents_equal_brute_force(problem: Problem, seed: int, p: float) -> None:
    env = build(problem, random_graphs(seed, p=p))
    for g in range(len(env.graphs)):
        expected = brute_force(problem, nx_graph := graph_of(env.graphs, g))
        found = enumerate_states(env.on([g]))
        chosen = env.chosen(found.states)
        sets = [frozenset(row.nonzero().squeeze(1).tolist()) for row in chosen]
        assert set(sets) == set(expected)
        assert len(sets) == len(expected)
        back = env.backward_mask(found.states)
        for taken, label, undo in zip(sets, found.states.label, back, strict=True):
            n = len(nx_graph)
            assert label[:n].tolist() == labels_after(problem, nx_graph, taken)
            assert bool((label[n:] == 3).all())
            assert set(undo.nonzero().squeeze(1).tolist()) == expected[taken]
            if problem is not MaxCut:
                assert expected[taken] == taken  # as many parents as nodes acted on


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), p=st.sampled_from([0.1, 0.4, 0.8]))
def test_contract(problem: Problem, seed: int, p: float) -> None:
    env = build(problem, random_graphs(seed, (5, 4), p))
    for g in (0, 1):
        checked = check_env(env.on([g]))
        assert checked.exhaustive


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), p=st.floats(0, 1))
def test_finished_objects_are_what_they_should_be(seed: int, p: float) -> None:
    batch = random_graphs(seed, p=p)
    for problem in PROBLEMS:
        env = build(problem, batch)
        for g in range(len(batch)):
            graph, found = graph_of(env.graphs, g), enumerate_states(env.on([g]))
            every = [found.states.label[i] for i in found.objects]
            sets = [{v for v in graph if label[v] == 1} for label in every]
            if problem is IndependentSet:
                maximal = {frozenset(c) for c in nx.find_cliques(nx.complement(graph))}
                assert {frozenset(s) for s in sets} == maximal
            elif problem is Clique:
                assert {frozenset(s) for s in sets} == {
                    frozenset(c) for c in nx.find_cliques(graph)
                }
            elif problem is DominatingSet:
                for kept in sets:
                    assert nx.is_dominating_set(graph, kept)
                    assert not any(nx.is_dominating_set(graph, kept - {v}) for v in kept)
            else:
                reward = found.log_reward()[found.objects]
                for value, chosen in zip(reward.tolist(), sets, strict=True):
                    assert value == nx.cut_size(graph, chosen)


def test_five_nodes_have_three_parents_where_four_are_selected() -> None:
    """Regression: 1 / |S| counts a parent that cannot be."""
    env = MaxCut(GraphBatch.from_edges([5], [FIVE_NODES]))
    state = env.initial(1)
    for node in (3, 4, 2, 0):
        state = env.step(state, torch.tensor([node]))
    assert state.label.tolist() == [[1, 0, 1, 1, 1]]
    assert env.backward_mask(state).tolist() == [[True, False, False, True, True]]
    with pytest.raises(IllegalActionError, match="backward action 2 is illegal"):
        env.backstep(state, torch.tensor([2]))


def test_isolated_nodes_are_locked_into_dominating_sets() -> None:
    env = DominatingSet(GraphBatch.from_edges([4, 2], [[(0, 1), (1, 2)], [(0, 1)]]))
    assert env.initial(2).label.tolist() == [[2, 2, 2, 1], [2, 2, 3, 3]]
    with pytest.raises(ConfigError, match=r"graphs \[1\] have no edges"):
        DominatingSet(GraphBatch.from_edges([2, 1], [[(0, 1)], []]))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_rows_of_different_graphs_mind_their_own(problem: Problem) -> None:
    """A mixed batch gives every graph what it gives alone."""
    env = problem(random_graphs(5))
    ids = torch.tensor([2, 0, 3, 3, 1, 2])
    mixed = env.initial_for(ids)
    alone = [env.initial_for(ids[i : i + 1]) for i in range(6)]
    for _ in range(4):
        mask = env.forward_mask(mixed)
        action = mask.long().argmax(-1)
        mixed = env._step(mixed, action)
        alone = [env._step(state, action[i : i + 1]) for i, state in enumerate(alone)]
        for i, state in enumerate(alone):
            if bool(mask[i].any()):
                assert torch.equal(state.label[0], mixed.label[i])
                assert torch.equal(state.count[0], mixed.count[i])


def test_initial_cycles_through_the_graphs_of_the_view() -> None:
    env = IndependentSet(random_graphs(0))
    assert env.initial(6).graph.tolist() == [0, 1, 2, 3, 0, 1]
    assert env.on([2, 0]).initial(3).graph.tolist() == [2, 0, 2]
    assert env.initial(2).graph.tolist() == [0, 1]  # views change nothing
    with pytest.raises(ConfigError, match=r"numbered 0 \.\.\. 3, got \[4\]"):
        env.on([4])
    with pytest.raises(ShapeError, match="at least one graph"):
        env.on([])


def test_keys_differ_between_graphs_and_end_with_64_bits() -> None:
    env = IndependentSet(random_graphs(0))
    keys = env.key(env.initial(4))
    assert len(keys.unique()) == 4
    assert not IndependentSet(erdos_renyi(1, 63, 0.1, torch.Generator().manual_seed(0))).has_keys
    assert IndependentSet(erdos_renyi(1, 62, 0.1, torch.Generator().manual_seed(0))).has_keys


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("objective", [TrajectoryBalance, DetailedBalance, SubTrajectoryBalance])
def test_objectives_vanish_at_the_exact_flows(problem: Problem, objective: type[Objective]) -> None:
    env = problem(random_graphs(11, (5,), 0.5))
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows)
    terms = evaluate(env, policy, all_trajectories(env), objective.needs)
    fitted = objective(log_z=flows.log_z) if objective is TrajectoryBalance else objective()
    assert fitted.residual(terms).abs().max() < 1e-9
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 1e-9


@pytest.mark.parametrize("problem", [IndependentSet, DominatingSet])
def test_maximum_entropy_is_uniform(problem: Problem) -> None:
    graph = enumerate_states(problem(random_graphs(3, (6,), 0.3)))
    torch.testing.assert_close(graph.uniform_log_pb(), graph.max_entropy_log_pb())


@pytest.mark.slow
@pytest.mark.parametrize("objective", [TrajectoryBalance, DetailedBalance])
def test_training_reaches_the_exact_law(objective: type[Objective]) -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env = IndependentSet(random_graphs(3, (7,), 0.3), NodeCount(1.5))
    fitted = objective()
    policy = MLPPolicy(env, 64, log_flow=fitted.needs.log_flow, backward="uniform")
    Trainer(env, policy, fitted, TrainConfig(400, 32, lr=5e-3)).train()
    graph = enumerate_states(env)
    assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 0.03


@pytest.mark.parametrize("problem", PROBLEMS)
def test_4096_rows_of_300_nodes(problem: Problem) -> None:
    batch = erdos_renyi(2, (250, 300), 0.1, torch.Generator().manual_seed(0))
    env = problem(batch)
    states = env.initial(4096)
    for _ in range(2):
        states = env._step(states, env.forward_mask(states).long().argmax(-1))
    assert bool((env.backward_mask(states).sum(-1) == 2).all())


def test_horizon_bounds_independent_sets_closely() -> None:
    batch = GraphBatch.from_edges(
        [6, 5], [[(i, j) for j in range(6) for i in range(j)], [(0, 1), (1, 2), (3, 4)]]
    )
    assert IndependentSet(batch).horizon == 3  # a complete graph needs 1, two paths 3
    assert IndependentSet(batch.select([0])).horizon == 1
    assert Clique(batch.select([0])).horizon == 6


def test_rewards_read_unfinished_labellings() -> None:
    batch = GraphBatch.from_edges([3], [[(0, 1), (1, 2)]])
    env = MaxCut(batch, CutSize(batch, 2.0))
    state = env.step(env.initial(1), torch.tensor([1]))
    assert env.reward(state).tolist() == [4.0]
    assert NodeCount(3.0)(state).tolist() == [3.0]
    assert repr(env.reward) == "CutSize(beta=2)"


def test_sets_of_all_orders_agree() -> None:
    """The state is its set: every order of a maximal independent set ends in one key."""
    env = IndependentSet(GraphBatch.from_edges([6], [[(0, 1), (2, 3), (4, 5)]]))
    keys = set()
    for order in itertools.permutations((0, 2, 5)):
        state = env.initial(1)
        for node in order:
            state = env.step(state, torch.tensor([node]))
        keys.add(int(env.key(state)))
    assert len(keys) == 1

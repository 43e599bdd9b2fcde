from collections.abc import Callable
from typing import Any

import pytest
import torch

from gflow import enumerate_states, evaluate
from gflow.envs import HyperGrid
from gflow.envs.graphs.dominating_set import DominatingSet
from gflow.envs.graphs.independent_set import Clique, IndependentSet, MaxCut
from gflow.envs.graphs.instances import GraphBatch, erdos_renyi
from gflow.envs.graphs.node_subsets import NodeCount, NodeState, NodeSubsets
from gflow.envs.graphs.policy import GraphEncoder, GraphPolicy, gather_inputs, neighbour_sum
from gflow.errors import ConfigError, IncompatibleError
from gflow.metrics import total_variation
from gflow.objective import Objective
from gflow.objectives import DetailedBalance, LogPartitionVariance, SubTrajectoryBalance
from gflow.sampling.sampler import Sampler
from gflow.state import cat, take
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig, Trainer

Problem = Callable[[GraphBatch], NodeSubsets[Any]]
PROBLEMS: list[Problem] = [IndependentSet, Clique, DominatingSet, MaxCut]


def graphs(seed: int = 0, sizes: tuple[int, ...] = (6, 9, 7), p: float = 0.5) -> GraphBatch:
    g = torch.Generator().manual_seed(seed)
    parts = [erdos_renyi(1, n, p, g).edges(0) for n in sizes]
    return GraphBatch.from_edges(list(sizes), parts)


def randomised(policy: GraphPolicy, seed: int = 0) -> GraphPolicy:
    """Weights without the zeros of the start, which would hide mistakes."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, 0.5, generator=g)
    return policy


def midway(env: NodeSubsets[NodeState], steps: int, seed: int = 0) -> NodeState:
    g = torch.Generator().manual_seed(seed)
    states = env.initial(2 * len(env.graphs))
    for _ in range(steps):
        mask = env.forward_mask(states)
        going = mask.any(-1)
        mask[~going, 0] = True
        action = torch.multinomial(mask.double(), 1, generator=g).squeeze(1)
        after = env._step(states, action)
        states = type(states)(
            *(
                a.where(going.view(-1, *[1] * (a.dim() - 1)), b)
                for a, b in zip(vars(after).values(), vars(states).values(), strict=True)
            )
        )
    return states


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("every_node", [False, True])
def test_inputs_are_the_induced_subgraphs(problem: Problem, every_node: bool) -> None:
    env = problem(graphs())
    states = midway(env, 2)
    inputs = gather_inputs(env, states, every_node)
    width = env.num_actions
    found = torch.zeros(len(states.graph), width, width, dtype=torch.int64)
    source, target = inputs.edge_index
    assert bool((inputs.row[source] == inputs.row[target]).all())
    found[inputs.row[source], inputs.place[source] % width, inputs.place[target] % width] += 1
    keep = states.label != 3 if every_node else states.label == 2
    expected = env.graphs.adjacency[states.graph] & keep[:, :, None] & keep[:, None]
    assert torch.equal(found, expected.long())
    torch.testing.assert_close(inputs.numbers[:, 0].expm1(), expected.sum(-1)[keep].double())


def test_neighbour_sum_and_its_gradient_equal_the_matrix() -> None:
    joined = graphs(1, (8,)).adjacency[0]
    first = torch.nn.functional.pad(joined.sum(-1).cumsum(0), (1, 0))
    target = joined.nonzero()[:, 1]
    x = torch.randn(8, 3, requires_grad=True)
    torch.testing.assert_close(neighbour_sum(x, first, target), joined.double() @ x)
    assert torch.autograd.gradcheck(lambda x: neighbour_sum(x, first, target), x)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_state_is_judged_by_itself(problem: Problem) -> None:
    """Nothing leaks between the states of a batch."""
    env = problem(graphs())
    policy = randomised(GraphPolicy(env, 8, 2, backward="learned", log_flow=True))
    states = midway(env, 2)
    whole = policy(env, states)
    for i in range(len(states.graph)):
        alone = policy(env, take(states, torch.tensor([i])))
        torch.testing.assert_close(alone.forward_logits[0], whole.forward_logits[i])
        torch.testing.assert_close(alone.backward_logits[0], whole.backward_logits[i])
        torch.testing.assert_close(alone.log_flow[0], whole.log_flow[i])


@pytest.mark.parametrize("problem", [IndependentSet, Clique])
def test_states_with_equal_futures_are_looked_at_once(problem: Problem) -> None:
    env = problem(graphs(3, (7, 7)))
    # All sets of both graphs, the second half of them a second time.
    states = cat([enumerate_states(env.on([graph])).states for graph in (0, 1)])
    count = len(states.graph)
    assert states.graph.unique().tolist() == [0, 1]
    states = take(states, torch.cat([torch.arange(count), torch.arange(count // 2, count)]))
    policy = randomised(GraphPolicy(env, 8, 2, log_flow=True))
    inputs = policy.inputs(env, states)
    pairs = zip(states.graph.tolist(), (states.label == 2).tolist(), strict=True)
    futures = {(graph, tuple(undecided)) for graph, undecided in pairs}
    assert inputs.shape[0] == len(futures) < count
    whole = policy(env, states)
    for i in range(0, len(states.graph), 7):
        alone = policy(env, take(states, torch.tensor([i])))
        torch.testing.assert_close(alone.forward_logits[0], whole.forward_logits[i])
        torch.testing.assert_close(alone.log_flow[0], whole.log_flow[i])


@pytest.mark.parametrize("problem", PROBLEMS)
def test_renumbering_nodes_renumbers_logits(problem: Problem) -> None:
    batch = graphs(2, (8,), 0.4)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    renumbered = GraphBatch.from_edges([8], [order[batch.edges(0)]])
    env, other = problem(batch), problem(renumbered)
    policy = randomised(GraphPolicy(env, 8, 2, log_flow=True))
    state, twin = env.initial(1), other.initial(1)
    while not bool(env.is_terminal(state)[0]):
        a = policy(env, state)
        b = policy(other, twin)
        torch.testing.assert_close(a.forward_logits, b.forward_logits[:, order])
        torch.testing.assert_close(a.log_flow, b.log_flow)
        action = env.forward_mask(state).long().argmax(-1)
        state, twin = env.step(state, action), other.step(twin, order[action])
    assert a.forward_logits.std() > 1e-3


def test_what_is_won_already_is_the_energy_and_not_the_networks_business() -> None:
    """An untrained policy knows it where the objective looks forward, and nowhere else."""
    env = IndependentSet(graphs(), NodeCount(7.0))
    policy = GraphPolicy(env, 8, 1, log_flow=True)
    batch = Sampler(env).forward(policy, 6, limit=2, generator=torch.Generator().manual_seed(0))
    selected = (take(batch.states, batch.state_index[:, 1]).label == 1).sum(-1).double()
    looking = evaluate(env, policy, batch, Needs(log_flow=True, energy=True, whole=False))
    plain = evaluate(env, policy, batch, Needs(log_flow=True, whole=False))
    assert looking.log_flow is not None
    assert plain.log_flow is not None
    torch.testing.assert_close(looking.log_flow[:, 1], 7.0 * selected)
    assert bool((plain.log_flow[:, :2] == 0).all())


def test_the_encoder_reads_graphs_whatever_the_numbers_of_their_nodes() -> None:
    env = IndependentSet(graphs(), NodeCount(1.0))
    states = midway(env, 2)
    encoder = GraphEncoder(8, 2)
    found = encoder(env, states).detach()
    assert found.shape == (len(states.graph), encoder.out_features)
    assert float((found[0] - found[1]).abs().max()) > 1e-3
    one = take(states, torch.tensor([1]))
    torch.testing.assert_close(encoder(env, one)[0].detach(), found[1])


@pytest.mark.parametrize("problem", PROBLEMS)
def test_mixed_batches_flow_through_the_engine(problem: Problem) -> None:
    env = problem(graphs())
    policy = randomised(GraphPolicy(env, 8, 1, log_flow=True))
    batch = Sampler(env).forward(policy, 7, generator=torch.Generator().manual_seed(0))
    assert batch.final_states.graph.tolist() == [0, 1, 2, 0, 1, 2, 0]
    terms = evaluate(env, policy, batch, Needs(log_flow=True))
    loss = DetailedBalance()(terms)
    loss.backward()
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    assert all(bool(g.isfinite().all()) for g in gradients)
    assert sum(float(g.abs().sum()) for g in gradients) > 0


@pytest.mark.slow
@pytest.mark.parametrize("objective", [DetailedBalance, SubTrajectoryBalance])
def test_one_policy_learns_the_laws_of_several_graphs(objective: type[Objective]) -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env = IndependentSet(graphs(4, (5, 6, 7), 0.4), NodeCount(1.0))
    policy = GraphPolicy(env, 32, 3, log_flow=True)
    Trainer(env, policy, objective(), TrainConfig(300, 24, lr=5e-3)).train()
    for g in range(3):
        graph = enumerate_states(env.on([g]))
        law = graph.terminal_distribution(policy)
        assert total_variation(law, graph.log_target()) < 0.08


def test_graph_numbers_as_conditions_serve_log_partition_variance() -> None:
    """Grouped by graph, the exact laws have no variance although Z differs from graph to graph."""
    env = IndependentSet(graphs(4, (5, 6), 0.4), NodeCount(1.0))
    policy = randomised(GraphPolicy(env, 8, 1))
    ids = env.initial(40).graph[:, None].double()
    batch = Sampler(env).forward(
        policy, 40, condition=ids, generator=torch.Generator().manual_seed(0)
    )
    terms = evaluate(env, policy, batch)
    residual = LogPartitionVariance().residual(terms)
    torch.testing.assert_close(residual[0::2].mean(), torch.tensor(0.0), atol=1e-9, rtol=0)
    torch.testing.assert_close(residual[1::2].mean(), torch.tensor(0.0), atol=1e-9, rtol=0)
    assert residual.std() > 0.01


@pytest.mark.slow
def test_layers_of_other_libraries_fit() -> None:
    nn = pytest.importorskip("torch_geometric.nn")
    torch.manual_seed(0)
    env = IndependentSet(graphs())
    policy = GraphPolicy(env, 8, 2, convolution=lambda width: nn.SAGEConv(width, width))
    out = policy(env, env.initial(3))
    assert out.forward_logits.shape == (3, 9)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="HyperGrid is no NodeSubsets"):
        GraphPolicy(HyperGrid())
    with pytest.raises(ConfigError, match=r"got 0, 3, 1\.0"):
        GraphPolicy(IndependentSet(graphs()), width=0)
    with pytest.raises(IncompatibleError, match="MaxCut cannot count its trajectories"):
        GraphPolicy(MaxCut(graphs()), backward="maxent")

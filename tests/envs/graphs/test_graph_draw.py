import pytest
import torch

from gflow import enumerate_states
from gflow.envs.graphs.draw import GraphDraw
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import erdos_renyi
from gflow.envs.graphs.node_subsets import NodeCount
from gflow.envs.graphs.policy import GraphPolicy
from gflow.errors import ConfigError, IncompatibleError
from gflow.metrics import total_variation
from gflow.objectives import DetailedBalance, LogPartitionVariance, TrajectoryBalance
from gflow.training.trainer import TrainConfig, Trainer


def collection(count: int = 6, nodes: int | tuple[int, int] = (4, 7)) -> IndependentSet:
    graphs = erdos_renyi(count, nodes, 0.4, torch.Generator().manual_seed(2))
    return IndependentSet(graphs, NodeCount(1.0))


def test_batches_hold_fresh_graphs_and_repeat_each() -> None:
    env = collection().on([0, 2, 3, 5])
    trainer = Trainer(
        env,
        GraphPolicy(env, 8, 1),
        LogPartitionVariance(),
        TrainConfig(batch_size=6),
        condition=GraphDraw(env.turn, repeat=3),
    )
    seen = set()
    for _ in range(12):
        graph = trainer.sample().final_states.graph.tolist()
        assert graph[:3] == [graph[0]] * 3
        assert graph[3:] == [graph[3]] * 3
        assert graph[0] != graph[3]
        seen |= set(graph)
    assert seen == {0, 2, 3, 5}


def test_more_trajectories_than_graphs_cycle() -> None:
    drawn = GraphDraw([4, 7])(16)
    assert drawn.shape == (16, 1)
    assert sorted(drawn[:, 0].tolist()) == [4] * 8 + [7] * 8


def test_left_over_trajectories_are_not_alone() -> None:
    """Log-partition variance needs two of a kind, also where `repeat` does not divide the batch."""
    drawn = GraphDraw(range(50), repeat=2)(7)
    assert torch.unique(drawn, return_counts=True)[1].min() >= 2


def test_replayed_trajectories_start_on_their_own_graph() -> None:
    env = collection()
    policy = GraphPolicy(env, 8, 1, log_flow=True)
    config = TrainConfig(3, 8, replay=20)
    trainer = Trainer(env, policy, DetailedBalance(), config, condition=GraphDraw(env.turn))
    trainer.train()
    batch = trainer.sample()
    assert batch.condition is not None
    assert batch.final_states.graph.tolist() == batch.condition[:, 0].long().tolist()


@pytest.mark.slow
def test_log_partition_variance_learns_the_laws_of_all_graphs() -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env = collection(3, 6)
    policy = GraphPolicy(env, 32, 3)
    config = TrainConfig(300, 24, lr=5e-3)
    draw = GraphDraw(env.turn, repeat=8)
    Trainer(env, policy, LogPartitionVariance(), config, condition=draw).train()
    for g in range(3):
        graph = enumerate_states(env.on([g]))
        assert total_variation(graph.terminal_distribution(policy), graph.log_target()) < 0.08


def test_what_cannot_work_is_refused() -> None:
    env = collection()
    policy = GraphPolicy(env, 8, 1)
    with pytest.raises(IncompatibleError, match="each has its own"):
        Trainer(env, policy, TrajectoryBalance(), condition=GraphDraw(env.turn))
    single, config = GraphDraw(env.turn), TrainConfig(1, 6)
    alone = Trainer(env, policy, LogPartitionVariance(), config, condition=single)
    with pytest.raises(ConfigError, match="occurs only once"):
        alone.train()
    with pytest.raises(ConfigError, match="repeat >= 1, got 6"):
        GraphDraw(env.turn, repeat=0)
    Trainer(env.on([1]), policy, TrajectoryBalance())  # one graph has one log Z

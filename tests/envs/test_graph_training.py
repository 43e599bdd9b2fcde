import pytest
import torch

from gflow import enumerate_states
from gflow.envs.graph_instances import erdos_renyi
from gflow.envs.graph_policy import GraphPolicy
from gflow.envs.graph_training import GraphTrainer
from gflow.envs.independent_set import IndependentSet
from gflow.envs.node_subsets import NodeCount
from gflow.errors import ConfigError, IncompatibleError
from gflow.metrics import total_variation
from gflow.objectives import DetailedBalance, LogPartitionVariance, TrajectoryBalance
from gflow.training import TrainConfig


def collection(count=6, nodes=(4, 7)):
    graphs = erdos_renyi(count, nodes, 0.4, torch.Generator().manual_seed(2))
    return IndependentSet(graphs, NodeCount(1.0))


def test_batches_hold_fresh_graphs_and_repeat_each():
    env = collection().on([0, 2, 3, 5])
    trainer = GraphTrainer(
        env, GraphPolicy(env, 8, 1), LogPartitionVariance(), TrainConfig(batch_size=6), repeat=3
    )
    seen = set()
    for _ in range(12):
        graph = trainer.sample().final_states.graph.tolist()
        assert graph[:3] == [graph[0]] * 3
        assert graph[3:] == [graph[3]] * 3
        assert graph[0] != graph[3]
        seen |= set(graph)
    assert seen == {0, 2, 3, 5}


def test_more_trajectories_than_graphs_cycle():
    env = collection(2)
    trainer = GraphTrainer(env, GraphPolicy(env, 8, 1, log_flow=True), DetailedBalance())
    assert sorted(trainer.sample().final_states.graph.tolist()) == [0] * 8 + [1] * 8


@pytest.mark.slow
def test_log_partition_variance_learns_the_laws_of_all_graphs():
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    env = collection(3, 6)
    policy = GraphPolicy(env, 32, 3)
    config = TrainConfig(300, 24, lr=5e-3)
    GraphTrainer(env, policy, LogPartitionVariance(), config, repeat=8).train()
    for g in range(3):
        graph = enumerate_states(env.on([g]))
        assert total_variation(graph.terminal_law(policy), graph.log_target()) < 0.08


def test_what_cannot_work_is_refused():
    env = collection()
    policy = GraphPolicy(env, 8, 1)
    with pytest.raises(IncompatibleError, match="each of the 6 graphs has its own"):
        GraphTrainer(env, policy, TrajectoryBalance())
    with pytest.raises(IncompatibleError, match="Set repeat=2 or more"):
        GraphTrainer(env, policy, LogPartitionVariance())
    with pytest.raises(ConfigError, match="divide the batch size 16, got 5"):
        GraphTrainer(env, policy, LogPartitionVariance(), repeat=5)
    with pytest.raises(ConfigError, match="no replay memory"):
        GraphTrainer(env, policy, DetailedBalance(), TrainConfig(replay=10))
    GraphTrainer(env.on([1]), policy, TrajectoryBalance())  # one graph has one log Z

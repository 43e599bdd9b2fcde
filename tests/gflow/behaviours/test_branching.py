import pytest
import torch

from gflow import enumerate_states, evaluate
from gflow.behaviours.base import Sampling
from gflow.behaviours.branching import Branching
from gflow.envs.graphs.draw import GraphDraw
from gflow.envs.graphs.independent_set import IndependentSet
from gflow.envs.graphs.instances import erdos_renyi
from gflow.envs.graphs.node_subsets import NodeCount, NodeState
from gflow.envs.graphs.policy import GraphPolicy
from gflow.errors import ConfigError
from gflow.metrics import total_variation
from gflow.objectives import LogPartitionVariance
from gflow.sampling.sampler import Sampler
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig, Trainer
from gflow.trajectories import Trajectories


def graphs(nodes: tuple[int, int] = (12, 16), count: int = 6) -> tuple[IndependentSet, GraphPolicy]:
    env = IndependentSet(erdos_renyi(count, nodes, 0.3, torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    return env, GraphPolicy(env, 8, 1)


def collected(
    behaviour: Branching, count: int, seed: int = 0, repeat: int = 4
) -> tuple[IndependentSet, GraphPolicy, Trajectories[NodeState]]:
    env, policy = graphs()
    sampling = Sampling(
        policy,
        Sampler(env),
        condition=GraphDraw(env.turn, repeat) if repeat else None,
        generator=torch.Generator().manual_seed(seed),
    )
    return env, policy, behaviour.collect(sampling, count)


def common(batch: Trajectories[NodeState], rows: slice) -> int:
    """How many first states the rows share."""
    width = int(batch.length[rows].min()) + 1
    index = batch.state_index[rows, :width]
    return int((index == index[:1]).all(0).cumprod(0).sum())


def test_groups_share_a_beginning_and_a_graph() -> None:
    _, _, batch = collected(Branching(4, whole=0.01), 22)
    assert len(batch) == 22
    assert batch.condition is not None
    assert batch.condition[::4, 0].unique().numel() == 5
    assert torch.equal(batch.condition[16:], batch.condition[16:17].expand(6, 1))
    shared = [common(batch, slice(4 * g, 4 * g + 4)) for g in range(5)]
    assert max(shared) > 2
    assert len(set(shared)) > 1
    assert bool((batch.final_states.label != 2).all())


def test_whole_groups_share_the_source_alone() -> None:
    _, _, batch = collected(Branching(whole=1.0), 24, repeat=6)
    assert all(common(batch, slice(6 * g, 6 * g + 6)) <= 2 for g in range(4))
    sizes = batch.length.view(4, 6)
    assert bool((sizes.amax(1) > sizes.amin(1)).any())


def test_without_conditions_groups_are_of_the_size_asked_for() -> None:
    env, _, batch = collected(Branching(5, whole=0.01), 12, repeat=0)
    assert batch.condition is None
    assert batch.final_states.graph.tolist() == [0] * 5 + [1] * 7
    assert max(common(batch, slice(0, 5)), common(batch, slice(5, 12))) > 2
    assert bool(env.is_terminal(batch.final_states).all())


def test_what_is_shared_gets_no_gradient() -> None:
    env, policy, batch = collected(Branching(4, whole=0.01), 20, seed=3)
    terms = evaluate(env, policy, batch, Needs())
    terms.log_pf.retain_grad()
    LogPartitionVariance()(terms).backward()
    gradient = terms.log_pf.grad
    assert gradient is not None
    seen = 0
    for g in range(5):
        rows = slice(4 * g, 4 * g + 4)
        steps = common(batch, rows) - 1
        seen += steps
        # The sum over the group is what reaches the network at a state that all of it visited.
        total = gradient[rows, :steps].sum(0)
        torch.testing.assert_close(total, torch.zeros_like(total))
    assert seen > 3
    assert float(gradient.abs().max()) > 1e-3


@pytest.mark.slow
def test_branches_train_to_the_target() -> None:
    env = IndependentSet(
        erdos_renyi(1, (7, 7), 0.4, torch.Generator().manual_seed(1)), NodeCount(1.5)
    )
    torch.manual_seed(0)
    policy = GraphPolicy(env, 16, 2)
    config = TrainConfig(400, 32, lr=1e-2)
    graphs = GraphDraw(env.turn, 32)
    trainer = Trainer(
        env,
        policy,
        LogPartitionVariance(),
        config,
        condition=graphs,
        behaviour=Branching(whole=0.5),
    )
    graph = enumerate_states(env)

    def error() -> float:
        return float(total_variation(graph.terminal_distribution(policy), graph.log_target()))

    before = error()
    trainer.train()
    assert before > 0.15
    assert error() < 0.03


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        Branching(1)
    with pytest.raises(ConfigError, match="Branching: whole must lie"):
        Branching(4, whole=0.0)
    with pytest.raises(ConfigError, match="no group of 8"):
        collected(Branching(8), 4, repeat=0)

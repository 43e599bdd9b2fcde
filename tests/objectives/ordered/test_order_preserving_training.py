"""Order-preserving objectives in training: what they converge to, and with whom they compare."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    FunctionReward,
    MLPPolicy,
    TabularPolicy,
    enumerate_states,
)
from gflow.behaviours.front import FrontReplay
from gflow.conditions.draws import UniformCondition
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sets.sets import FixedSizeSets
from gflow.errors import ConfigError
from gflow.memory.pareto import ParetoArchive
from gflow.objectives import OBJECTIVES, OrderPreserving, Solution
from gflow.rewards.scalarizations import LogSum
from gflow.rewards.vector import VectorReward
from gflow.testing import all_trajectories
from gflow.training.trainer import TrainConfig, Trainer

NAMES = sorted(n for n, kind in OBJECTIVES.items() if kind.solution is Solution.ORDERED)
STOP = HyperGrid(2, 4)


class Ridge(VectorReward[Tensor]):
    """Both coordinates, less five times the distance from a + b = 4: nobody beats that line."""

    num_scores = 2

    def __init__(self) -> None:
        super().__init__(LogSum(low=-10))

    def scores(self, states: Tensor) -> Tensor:
        x = states.to(torch.get_default_dtype())
        return x - 5 * (x.sum(-1, keepdim=True) - 4).abs()


def made(name: str, env: DiscreteEnvironment[Any], **settings: Any) -> OrderPreserving:
    objective = OBJECTIVES[name].build(env, **settings)
    assert isinstance(objective, OrderPreserving)
    return objective


def curve(steps: list[int]) -> list[float]:
    """p(best) of ten sets while OP-TB trains on all their 60 trajectories."""
    table = torch.randn(32, generator=torch.Generator().manual_seed(0))
    places = 2 ** torch.arange(5)
    env = FixedSizeSets(5, 3, FunctionReward(lambda s: table[(s * places).sum(-1)]))
    graph, batch = enumerate_states(env), all_trajectories(env)
    assert len(batch) == 60
    objective, policy = made("optb", env), TabularPolicy(graph, "uniform")
    optimizer = torch.optim.Adam([policy.forward_table], lr=1e-2)
    best, found = graph.log_target().argmax(), []
    for step in range(max(steps) + 1):
        if step in steps:
            found.append(graph.terminal_distribution(policy)[best].exp().item())
        optimizer.zero_grad()
        objective(objective.evaluate(env, policy, batch)).backward()
        optimizer.step()
    return found


@pytest.mark.slow
def test_the_best_takes_over_in_training() -> None:
    """Sparsification: time plays the part of the bound."""
    found = curve([0, 100, 500])
    torch.testing.assert_close(found, [0.10, 0.26, 0.58], atol=0.08, rtol=0)
    assert found == sorted(found)


@pytest.mark.slow
def test_the_best_takes_over_in_long_training() -> None:
    found = curve([0, 100, 500, 1000, 2000, 4000])
    torch.testing.assert_close(found, [0.10, 0.26, 0.58, 0.74, 0.87, 0.96], atol=0.08, rtol=0)
    assert found == sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n if n == "optb" else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_training_finds_the_front(name: str) -> None:
    """From exploring samples of a grid with two scores to the cells that no other beats."""
    env = HyperGrid(2, 5, Ridge())
    graph = enumerate_states(env)
    scores = env.scores(graph.states)
    beaten = ((scores[:, None] >= scores).all(-1) & (scores[:, None] > scores).any(-1)).any(0)
    front = ~beaten[graph.objects]
    assert int(front.sum()) == 5
    torch.manual_seed(0)
    objective = made(name, env, lambda_op=1.0)
    policy = MLPPolicy(env, 32, log_flow=True, generator=torch.Generator().manual_seed(0))
    config = TrainConfig(steps=250, batch_size=32, lr=5e-3, epsilon=0.1)

    def share() -> float:
        return float(graph.terminal_distribution(policy).exp()[front].sum())

    before = share()
    Trainer(env, policy, objective, config).train()
    assert before < 0.4
    assert share() > 0.7


def test_the_front_is_learned_again() -> None:
    """Backward trajectories from an archive of the front, in a batch with fresh ones."""
    env = HyperGrid(2, 5, Ridge())
    archive = ParetoArchive(env)
    objective = made("optb", env)
    policy = MLPPolicy(env, 16, backward="uniform")
    config = TrainConfig(steps=4, batch_size=16)
    trainer = Trainer(env, policy, objective, config, behaviour=FrontReplay(archive, 0.5))
    assert math.isfinite(trainer.train()["loss"])
    assert len(archive) > 1


def test_networks_train_at_the_rate_of_the_policy() -> None:
    objective = made("opflsubtb", STOP)
    policy = MLPPolicy(STOP, 8, log_flow=True)
    trainer = Trainer(STOP, policy, objective, TrainConfig(lr=1e-3, log_z_lr=0.5))
    (group,) = trainer.optimizer.param_groups
    assert {id(p) for p in objective.parameters()} < {id(p) for p in group["params"]}
    assert group["lr"] == 1e-3
    before = [p.detach().clone() for p in objective.parameters()]
    trainer.train_step()
    after = [p.detach() for p in objective.parameters()]
    moved = [float((p - q).abs().max()) for p, q in zip(after, before, strict=True)]
    assert all(0 < m < 1.1e-3 for m in moved)


def test_conditional_training_compares_within_conditions() -> None:
    class Conditional(HyperGrid):
        condition_dim = 1

    class Shifted(FunctionReward[Tensor]):
        def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
            assert condition is not None
            return states.sum(-1) * condition[:, 0]

    env = Conditional(2, 3, Shifted(lambda s: s))
    objective = made("opsubtb", env)
    policy = MLPPolicy(env, 16, log_flow=True)
    config = TrainConfig(steps=3, batch_size=16)
    Trainer(env, policy, objective, config, condition=UniformCondition(-1, 1, repeat=4)).train()
    with pytest.raises(ConfigError, match="no condition occurs twice"):
        Trainer(env, policy, objective, config, condition=UniformCondition(-1, 1)).train()

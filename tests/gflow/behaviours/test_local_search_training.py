"""Local search in training: settings, metrics, and where it ends."""

from typing import Any

import pytest
import torch

from gflow import MLPPolicy, Sampler, TabularPolicy, enumerate_states
from gflow.behaviours.acceptance import FILTERS
from gflow.behaviours.backtracking import FixedSteps, FractionSteps, RandomSteps, backtracking
from gflow.behaviours.base import Behaviour, Sampling
from gflow.behaviours.front import FrontReplay
from gflow.behaviours.hindsight import Hindsight
from gflow.behaviours.local_search import LocalSearch
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.envs.sets.sets import AdditiveEnergy, FixedSizeSets
from gflow.errors import ConfigError, UnknownNameError
from gflow.memory.pareto import ParetoArchive
from gflow.metrics import total_variation
from gflow.objectives import OBJECTIVES, OFF_POLICY, Solution, TrajectoryBalance
from gflow.training.trainer import TrainConfig, Trainer

SETS = FixedSizeSets(5, 3, AdditiveEnergy(torch.tensor([0.3, -0.8, 1.1, -0.2, 0.6])))
GRID = HyperGrid(2, 3)


def test_steps_are_read_from_what_people_write() -> None:
    assert isinstance(backtracking("random"), RandomSteps)
    assert backtracking("3").steps == backtracking(3).steps == 3  # type: ignore[attr-defined]
    assert backtracking("0.25").fraction == 0.25  # type: ignore[attr-defined]
    assert FixedSteps(2).keep(torch.tensor([1, 2, 5])).tolist() == [0, 0, 3]
    assert FractionSteps(0.1).keep(torch.tensor([1, 10, 11])).tolist() == [0, 9, 9]
    for wrong in (0, -1, 1.5, 0.0, "half", "inf"):
        with pytest.raises(ConfigError):
            backtracking(wrong)


def test_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'metropolis'"):
        LocalSearch(accept="metropolis_hastings")
    with pytest.raises(ConfigError, match="iterations"):
        LocalSearch(-1)
    with pytest.raises(ConfigError, match="prefix"):
        LocalSearch(prefix="backward")  # type: ignore[arg-type]
    assert set(FILTERS) == {"greedy", "metropolis", "barker", "none"}
    sampling = Sampling(TabularPolicy(enumerate_states(SETS)), Sampler(SETS))
    with pytest.raises(ConfigError, match="batches of at least 8 trajectories, got 7"):
        LocalSearch(7).collect(sampling, 7)
    assert len(LocalSearch(0).collect(sampling, 7)) == 7


def test_batches_that_replay_makes_too_small_are_refused_at_once() -> None:
    """Not in mid-run, once the memory holds enough to be drawn from."""
    policy, search = MLPPolicy(GRID, width=8, depth=1), LocalSearch(7)

    def build(batch_size: int, behaviour: Behaviour, **settings: Any) -> Trainer:
        config = TrainConfig(batch_size=batch_size, **settings)
        return Trainer(GRID, policy, TrajectoryBalance(), config, behaviour=behaviour)

    build(8, search).train(1)
    build(16, search, replay=20).train(3)
    for count, settings in (
        (7, {}),
        (8, {"replay": 20}),
        (16, {"replay": 9, "replay_fraction": 0.6}),
    ):
        with pytest.raises(ConfigError, match="batches of at least 8 trajectories"):
            build(count, search, **settings)
    env = landscape_grid(side=4)
    front = FrontReplay(ParetoArchive(env), share=0.25, inner=Hindsight(inner=search))
    front.check_count(11)
    with pytest.raises(ConfigError, match="got 7"):
        front.check_count(9)


def test_training_records_the_metrics_and_repeats() -> None:
    def run() -> list[dict[str, float]]:
        torch.manual_seed(0)
        policy = MLPPolicy(GRID, width=16, depth=1)
        config = TrainConfig(steps=5, batch_size=16, epsilon=0.1, replay=64)
        search = LocalSearch(3, "random", "metropolis")
        trainer = Trainer(GRID, policy, TrajectoryBalance(), config, behaviour=search)
        return [trainer.train_step() for _ in range(5)]

    records = run()
    assert records == run()
    assert all(0 <= r["acceptance"] <= 1 for r in records)
    assert records[0]["reward_calls"] == 16
    assert records[-1]["reward_calls"] == 8  # the rest was replayed


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "led" else name
        for name in sorted(OFF_POLICY)
    ],
)
def test_every_objective_trains_on_it(name: str) -> None:
    """Off-policy batches, on-policy solution: the law of the policy comes closer to the exact.

    Objectives that learn a reward of their own seek the best objects and not that law.
    """
    torch.manual_seed(0)
    env = HyperGrid(2, 3)
    objective = OBJECTIVES[name].build(env)
    policy = MLPPolicy(env, width=32, depth=1, log_flow=objective.needs.log_flow)
    graph = enumerate_states(env)
    best = graph.log_target().exp() / graph.log_target().exp().max() > 1 - 1e-6

    def far() -> float:
        """How far the law of the policy is from the solution, in [0, 1]."""
        law = graph.terminal_distribution(policy)
        if objective.solution is Solution.PROPORTIONAL:
            return float(total_variation(law, graph.log_target()))
        return 1 - float(law.exp()[best].sum())

    before = far()
    config = TrainConfig(steps=60, batch_size=16, lr=1e-2)
    Trainer(env, policy, objective, config, behaviour=LocalSearch(3)).train()
    assert far() < (0.6 if objective.solution is Solution.PROPORTIONAL else 0.85) * before


@pytest.mark.slow
def test_training_reaches_the_target() -> None:
    torch.manual_seed(0)
    policy = MLPPolicy(SETS, width=32, depth=1)
    config = TrainConfig(steps=150, batch_size=16, lr=1e-2)
    search = LocalSearch(3, 2)
    Trainer(SETS, policy, TrajectoryBalance(), config, behaviour=search).train()
    graph = enumerate_states(SETS)
    assert float(total_variation(graph.terminal_distribution(policy), graph.log_target())) < 0.05

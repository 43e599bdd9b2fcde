"""Flow matching where rewards are tiny or huge: the scale of R, and a default that explores."""

from typing import Any

import pytest
import torch

from gflow import FunctionReward, MLPPolicy, Sampler, enumerate_states, evaluate
from gflow.behaviours.base import Incomplete
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.metrics import total_variation
from gflow.objectives import FlowMatching, TrajectoryBalance
from gflow.terms import FlowTerms
from gflow.training.trainer import TrainConfig, Trainer


def grid(shift: float) -> HyperGrid:
    return HyperGrid(2, 6, FunctionReward(lambda s: shift - (s.sum(-1) - 3.0).abs()))


def trained(shift: float, objective: FlowMatching, steps: int = 600, **settings: Any) -> float:
    """Total variation after training."""
    env = grid(shift)
    policy = MLPPolicy(env, 32, 1, generator=torch.Generator().manual_seed(0))
    config = TrainConfig(steps=steps, batch_size=16, lr=5e-3, **settings)
    Trainer(env, policy, objective, config, record_every=steps).train()
    graph = enumerate_states(env)
    return float(total_variation(graph.terminal_distribution(policy), graph.log_target()))


@pytest.mark.slow
@pytest.mark.parametrize("shift", [-15.0, -40.0, 25.0])
def test_the_default_finds_targets_of_any_size(shift: float) -> None:
    """log Z of -12.9, -37.9 and 27.1."""
    assert trained(shift, FlowMatching()) < 0.05


@pytest.mark.slow
def test_without_scale_and_exploration_it_does_not() -> None:
    """What the default is for: on policy, rewards far below 1."""
    plain = FlowMatching(log_scale=0.0)
    plain.log_scale.requires_grad_(False)
    assert trained(-40.0, plain, epsilon=0.0) > 0.15


def terms_of(env: HyperGrid, objective: FlowMatching) -> FlowTerms:
    policy = MLPPolicy(env, 8, generator=torch.Generator().manual_seed(1))
    batch = Sampler(env).forward(policy, 20, generator=torch.Generator().manual_seed(2))
    return evaluate(env, policy, batch, objective.needs)


def test_a_scale_is_a_unit_of_the_reward() -> None:
    """Residuals and log Z with R c and log_scale + log c are those with R, log Z moved by log c."""
    one, two = FlowMatching(log_scale=0.3), FlowMatching(log_scale=2.3)
    first, second = terms_of(grid(0.0), one), terms_of(grid(2.0), two)
    torch.testing.assert_close(one.residual(first), two.residual(second))
    torch.testing.assert_close(one.log_z_estimate(first) + 2, two.log_z_estimate(second))
    assert not torch.allclose(one.residual(first), two.residual(first))


def test_the_scale_starts_at_the_first_batch_unless_it_is_given() -> None:
    env = grid(-15.0)
    policy = MLPPolicy(env, 8, generator=torch.Generator().manual_seed(1))
    batch = Sampler(env).forward(policy, 20, generator=torch.Generator().manual_seed(2))
    objective = FlowMatching()
    objective.begin(batch)
    torch.testing.assert_close(objective.log_scale.detach(), batch.log_reward.mean())
    given = FlowMatching(log_scale=-3.0)
    given.begin(batch)
    assert given.log_scale.item() == -3.0
    cut = batch.truncate(torch.tensor([1] * 10 + [99] * 10))
    objective.begin(cut)
    assert cut.complete is not None
    wanted = batch.log_reward[cut.complete].mean()
    torch.testing.assert_close(objective.log_scale.detach(), wanted)


def test_a_resumed_run_keeps_its_scale() -> None:
    def trainer() -> Trainer:
        env = grid(-15.0)
        policy = MLPPolicy(env, 8, generator=torch.Generator().manual_seed(1))
        config = TrainConfig(steps=6, batch_size=8)
        return Trainer(env, policy, FlowMatching(), config, behaviour=Incomplete(0.25))

    whole, first, second = trainer(), trainer(), trainer()
    losses = [whole.train_step()["loss"] for _ in range(6)]
    first.train(3)
    second.load_state_dict(first.state_dict())
    assert [second.train_step()["loss"] for _ in range(3)] == losses[3:]


def test_what_explores_by_default_and_what_switches_it_off() -> None:
    env = grid(0.0)

    def epsilon(objective: Any, **settings: Any) -> float:
        policy = MLPPolicy(env, 8)
        return Trainer(env, policy, objective, TrainConfig(**settings)).exploration.epsilon

    assert epsilon(FlowMatching()) == FlowMatching.epsilon > 0
    assert epsilon(FlowMatching(), epsilon=0.0) == 0
    assert epsilon(FlowMatching(), epsilon=0.3) == 0.3
    assert epsilon(TrajectoryBalance()) == 0

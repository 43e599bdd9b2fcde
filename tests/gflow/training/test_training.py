"""The training loop: what each setting does, and what it says when things go wrong."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import (
    DiscreteEnvironment,
    Exploration,
    FunctionReward,
    MLPPolicy,
    Objective,
    Policy,
    PolicyOutput,
    TabularPolicy,
    enumerate_states,
)
from gflow.behaviours.exact_samples import ExactSamples, draws_of
from gflow.conditions.draws import UniformCondition
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError, IncompatibleError, NonFiniteLossError, RewardError
from gflow.objectives import (
    OBJECTIVES,
    OFF_POLICY,
    PROPORTIONAL,
    DetailedBalance,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.rewards.wrappers import TemperatureConditional
from gflow.source import Source
from gflow.testing import TableEnvironment
from gflow.training.trainer import TrainConfig, Trainer

ENV = HyperGrid(2, 4, Corners(4))
SMALL = TrainConfig(steps=5, batch_size=8, lr=1e-2)


def build(
    config: TrainConfig = SMALL,
    objective: Objective | None = None,
    env: DiscreteEnvironment[Any] = ENV,
    seed: int = 0,
    **options: Any,
) -> Trainer:
    policy = MLPPolicy(env, 16, log_flow=True, generator=torch.Generator().manual_seed(seed))
    return Trainer(env, policy, objective or TrajectoryBalance(), config, **options)


# ---------------------------------------------------------------------- settings


def test_log_z_has_its_own_rate_and_no_decay() -> None:
    """B-15. Adam moves a parameter by its learning rate in the first step."""
    trainer = build(replace(SMALL, log_z_lr=0.25, weight_decay=0.1))
    assert isinstance(trainer.objective, TrajectoryBalance)
    groups = trainer.optimizer.param_groups
    assert [g["lr"] for g in groups] == [1e-2, 0.25]
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert groups[1]["params"][0] is trainer.objective.log_z.value
    grouped = [p for g in groups for p in g["params"]]
    assert len({id(p) for p in grouped}) == len(grouped)
    before = trainer.objective.log_z.value.item()
    assert isinstance(trainer.policy, MLPPolicy)
    weights = trainer.policy.head.weight.detach().clone()
    trainer.train_step()
    assert abs(abs(trainer.objective.log_z.value.item() - before) - 0.25) < 1e-6
    moved = (trainer.policy.head.weight - weights).abs().max().item()
    assert 0 < moved < 0.012


def test_a_given_log_z_is_where_training_starts() -> None:
    """D1: values that are given are kept, 0.0 among them."""
    for value in (0.0, 3.0):
        trainer = build(replace(SMALL, log_z_lr=1e-9), TrajectoryBalance(log_z=value))
        assert abs(trainer.train_step()["log_z"] - value) < 1e-6


def test_gradients_are_clipped_in_every_step() -> None:
    """B-15: a peer's list of parameters was a generator, empty from the second step on."""
    limit, norms = 1e-3, []
    trainer = build(replace(SMALL, grad_clip=limit))
    step = trainer.optimizer.step

    def spy(*args: Any, **kwargs: Any) -> Any:
        norms.append(
            torch.stack([p.grad.norm() for p in trainer.policy.parameters() if p.grad is not None])
            .norm()
            .item()
        )
        return step(*args, **kwargs)

    trainer.optimizer.step = spy  # type: ignore[method-assign]
    trainer.train()
    assert len(norms) == 5
    assert all(abs(norm - limit) < 1e-8 for norm in norms), norms
    free = build()
    free.train_step()
    norm = torch.stack(
        [p.grad.norm() for p in free.policy.parameters() if p.grad is not None]
    ).norm()
    assert norm > 10 * limit, "without the limit the norm is larger, so clipping was tested"


def test_the_average_follows_the_weights_as_declared() -> None:
    trainer = build(replace(SMALL, ema=0.75))
    wanted = [p.detach().clone() for p in trainer.policy.parameters()]
    for _ in range(4):
        trainer.train_step()
        wanted = [
            0.75 * old + 0.25 * new.detach()
            for old, new in zip(wanted, trainer.policy.parameters(), strict=True)
        ]
    for average, value in zip(trainer.evaluated_policy.parameters(), wanted, strict=True):
        torch.testing.assert_close(average.detach(), value)
        assert not average.requires_grad
    assert trainer.evaluated_policy is not trainer.policy
    assert build().evaluated_policy is not None
    plain = build()
    assert plain.evaluated_policy is plain.policy


def test_both_rates_halve_in_the_half_life() -> None:
    trainer = build(replace(SMALL, lr_half_life=4, log_z_lr=0.5))
    rates = []
    for _ in range(9):
        rates.append([g["lr"] for g in trainer.optimizer.param_groups])
        trainer.train_step()
    for step, (policy, log_z) in enumerate(rates):
        assert abs(policy - 1e-2 * 0.5 ** (step / 4)) < 1e-12
        assert abs(log_z - 0.5 * 0.5 ** (step / 4)) < 1e-12
    constant = build()
    constant.train()
    assert constant.optimizer.param_groups[0]["lr"] == 1e-2


def test_exploration_falls_to_nothing() -> None:
    config = replace(SMALL, epsilon=0.8, epsilon_steps=4, temperature=2.0, stop_bias=0.5)
    trainer = build(config)
    seen = []
    for _ in range(6):
        seen.append(trainer.exploration)
        trainer.train_step()
    assert [round(e.epsilon, 12) for e in seen] == [0.8, 0.6, 0.4, 0.2, 0.0, 0.0]
    assert seen[0] == Exploration(0.8, temperature=2.0, stop_bias=0.5)
    assert build(replace(SMALL, epsilon=0.3)).exploration.epsilon == 0.3


def test_the_share_of_replay_is_kept_once_there_is_enough() -> None:
    trainer = build(replace(SMALL, batch_size=8, replay=30, replay_fraction=0.25))
    assert trainer.replay is not None
    sizes = []
    for _ in range(4):
        before = len(trainer.replay)
        batch = trainer.sample()
        assert len(batch) == 8
        sizes.append(len(trainer.replay) - before)
    assert sizes == [8, 6, 6, 6], "fresh ones are remembered, drawn ones are not added again"


def test_seeds_change_the_numbers_and_repeat_them() -> None:
    """D13, X-2: the configured seed reaches the sampler, and nothing else does."""

    def losses(seed: int, unrelated: int) -> list[float]:
        torch.manual_seed(unrelated)
        trainer = build(replace(SMALL, seed=seed, epsilon=0.2, replay=20))
        return [trainer.train_step()["loss"] for _ in range(5)]

    assert losses(1, 0) == losses(1, 99)
    assert losses(1, 0) != losses(2, 0)


def test_training_draws_nothing_from_the_global_generator() -> None:
    trainer = build(replace(SMALL, epsilon=0.2, replay=20))
    before = torch.get_rng_state()
    trainer.train()
    assert torch.equal(torch.get_rng_state(), before)


def test_steps_are_counted_and_reported() -> None:
    seen: list[tuple[int, int]] = []

    def callback(trainer: Trainer, batch: Any, record: dict[str, float]) -> None:
        seen.append((trainer.step, len(batch)))
        assert set(record) == {"loss", "mean_log_reward", "mean_length", "log_z"}
        torch.testing.assert_close(record["mean_length"], batch.length.double().mean().item())
        torch.testing.assert_close(record["mean_log_reward"], batch.log_reward.mean().item())

    trainer = build(callbacks=[callback])
    trainer.train(2)
    trainer.train()
    assert seen == [(1, 8), (2, 8), (3, 8), (4, 8), (5, 8)]
    assert trainer.train() == {}, "there is nothing left to do"


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
@pytest.mark.parametrize(
    "env",
    [HyperGrid(2, 3), HyperGrid(2, 3, ending="forced"), HyperGrid(1, 2)],
    ids=["free", "forced", "smallest"],
)
def test_every_objective_trains_on_every_kind_of_environment(
    name: str, env: DiscreteEnvironment[Any]
) -> None:
    """X-1: five steps, finite, and the heads that are read get gradients."""
    if OBJECTIVES[name].refusal(env) is not None:
        with pytest.raises(IncompatibleError, match="cannot train on"):
            build(SMALL, OBJECTIVES[name].build(env), env)
        return
    source = None
    if OBJECTIVES[name].learns_from == Source.TARGET:
        with pytest.raises(IncompatibleError, match="exact samples of the target, or in data"):
            build(SMALL, OBJECTIVES[name].build(env), env)
        source = ExactSamples(draws_of(enumerate_states(env)))
    trainer = build(SMALL, OBJECTIVES[name].build(env), env, behaviour=source)
    before = [p.detach().clone() for p in trainer.policy.parameters()]
    trainer.train()
    after = list(trainer.policy.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(bool(p.isfinite().all()) for p in after)


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("name", sorted(OFF_POLICY))
def test_every_objective_trains_where_actions_are_equivalent(name: str, merge: bool) -> None:
    env = TableEnvironment(
        [[1, 1, 2], [-1, 2, 3], [-1, 3, 3], [-1, -1, 4], []], [0.1, 0.2, -0.3, 0.4, 0.5],
        stops=[True] * 5, merge_parents=merge,
    )  # fmt: skip
    trainer = build(SMALL, OBJECTIVES[name].build(env), env)
    graph = enumerate_states(env)
    before = graph.terminal_distribution(trainer.policy)
    trainer.train()
    after = graph.terminal_distribution(trainer.policy)
    assert float((after.exp() - before.exp()).abs().sum()) > 1e-4, "the law has moved"
    torch.testing.assert_close(after.exp().sum().item(), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROPORTIONAL))
def test_training_reaches_the_target(name: str) -> None:
    """On-policy samples with a little exploration, from random weights, to the exact law."""
    env = HyperGrid(2, 4, Corners(4, 0.05))
    policy = MLPPolicy(env, 64, log_flow=True, generator=torch.Generator().manual_seed(0))
    graph = enumerate_states(env)

    def distance() -> float:
        law = graph.terminal_distribution(policy).exp()
        return float((law - graph.log_target().exp()).abs().sum() / 2)

    config = TrainConfig(
        steps=500, batch_size=32, lr=5e-3, log_z_lr=0.05, epsilon=0.1, lr_half_life=150
    )
    assert distance() > 0.3
    Trainer(env, policy, OBJECTIVES[name].build(env), config).train()
    assert distance() < 0.05


# ---------------------------------------------------------------------- complaints


class Sour(Policy):
    """A table whose logits turn to NaN in one state."""

    has_log_flow = True

    def __init__(self, env: DiscreteEnvironment[Any], cell: list[int]) -> None:
        super().__init__()
        self.inner = TabularPolicy(enumerate_states(env), "learned")
        self.cell = torch.tensor(cell)
        self.sick = False

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        out = self.inner(env, states)
        here = (states == self.cell).all(-1)
        return PolicyOutput(
            out.forward_logits.masked_fill(here[:, None] & torch.tensor(self.sick), torch.nan),
            out.backward_logits,
            out.log_flow,
        )

    def forward_logits(self, env: Any, states: Any, condition: Tensor | None = None) -> Tensor:
        return torch.zeros(len(states), self.inner.graph.env.num_actions)


@pytest.mark.parametrize("name", ["db", "mdb", "subtb", "tb", "vargrad"])
def test_a_loss_that_is_no_number_names_the_trajectory_responsible(name: str) -> None:
    """D18: never skipped; the message shows a trajectory through the state that is to blame."""
    policy = Sour(ENV, [1, 1])
    trainer = Trainer(ENV, policy, OBJECTIVES[name].build(ENV), replace(SMALL, batch_size=64))
    trainer.train_step()
    before = [p.detach().clone() for p in policy.parameters()]
    policy.sick = True
    with pytest.raises(
        NonFiniteLossError,
        match=rf"The loss of {type(trainer.objective).__name__} on HyperGrid is not finite at step "
        rf"1\. Trajectory \d+ of 64: .*\(1, 1\).*log_pf \[.*nan.*The weights are finite",
    ):
        trainer.train_step()
    assert trainer.step == 1
    for old, new in zip(before, policy.parameters(), strict=True):
        assert torch.equal(old, new), "no step is taken"


def test_weights_that_are_no_numbers_are_named() -> None:
    trainer = build(replace(SMALL, lr=0.5))
    with torch.no_grad():
        trainer.policy.head.bias[0] = torch.inf  # type: ignore[union-attr, operator]
    with pytest.raises(
        NonFiniteLossError,
        match=r"weights are already not finite \(head\.bias\).*lr=0\.5.*grad_clip",
    ):
        trainer.train_step()


def test_long_trajectories_are_shortened_in_the_message() -> None:
    env = HyperGrid(1, 30)
    policy = Sour(env, [25])
    policy.sick = True
    with torch.no_grad():
        policy.inner.forward_table[:, 1] = -20

    policy.forward_logits = lambda env, states, condition=None: torch.tensor([[0.0, -20.0]]).expand(  # type: ignore[method-assign]
        len(states), 2
    )
    trainer = Trainer(env, policy, TrajectoryBalance(), SMALL)
    with pytest.raises(NonFiniteLossError, match=r"\(0\) -> \(1\) -> \(2\) -> \(3\) -> \.\.\. -> "):
        trainer.train_step()


def test_a_bad_reward_stops_training_with_the_object() -> None:
    env = HyperGrid(2, 4, FunctionReward(lambda s: (s.sum(-1) - 2).double().log()))
    with pytest.raises(RewardError, match=r"HyperGrid: the reward .* returned log R = "):
        build(env=env).train()


class Conditional(HyperGrid):
    condition_dim = 1


def test_conditions_are_given_exactly_where_they_are_read() -> None:
    env = Conditional(2, 3, TemperatureConditional(Corners(3)))
    with pytest.raises(
        IncompatibleError, match="conditions of width 1; the trainer was given none"
    ):
        build(env=env)
    with pytest.raises(
        IncompatibleError, match="conditions of width 0; .* a sampler of conditions"
    ):
        build(condition=UniformCondition(0, 1))
    trainer = build(
        replace(SMALL, replay=20), TrajectoryBalance(condition_dim=1), env,
        condition=UniformCondition(0, 1),
    )  # fmt: skip
    trainer.train()
    assert trainer.replay is not None
    assert trainer.replay.condition is not None


def test_a_missing_head_is_found_before_training() -> None:
    policy = MLPPolicy(ENV, 8)
    for objective in (DetailedBalance(), SubTrajectoryBalance()):
        with pytest.raises(IncompatibleError, match=r"reads log F\(s\).*log_flow=True"):
            Trainer(ENV, policy, objective)
    Trainer(ENV, policy, TrajectoryBalance())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"lr": 0.0}, r"TrainConfig: lr must lie in \(0, 1000\], got 0\.0"),
        ({"lr": float("nan")}, r"lr must lie in \(0, 1000\], got nan"),
        ({"log_z_lr": -1.0}, r"log_z_lr must lie in \(0, 1000\]"),
        ({"temperature": 0.0}, r"temperature must lie in \(0, 1e\+06\]"),
        ({"grad_clip": -1.0}, "grad_clip must be at least 0, got"),
        ({"replay": -1}, "replay must be at least 0, got -1"),
        ({"steps": 1.5}, "steps must be a whole number, got 1.5"),
        ({"replay_keep": "worst"}, "replay_keep must be one of recent, best, diverse, got 'worst'"),
        ({"stop_bias": float("nan")}, r"stop_bias must lie in \[-1000, 1000\], got nan"),
        ({"weight_decay": 1e30}, r"weight_decay must lie in \[0, 100\], got 1e\+30"),
        ({"ema": 1.5}, r"ema must lie in \[0, 1\]"),
        ({"epsilon": float("nan")}, r"epsilon must lie in \[0, 1\], got nan"),
        ({"replay_fraction": 2.0}, "replay_fraction must lie"),
        ({"weight_decay": float("nan")}, r"weight_decay must lie in \[0, 100\], got nan"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**options)


def test_modules_of_the_objective_are_trained() -> None:
    class Extra(TrajectoryBalance):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def residual(self, terms: Any) -> Tensor:
            return super().residual(terms) + self.shift

    trainer = build(objective=Extra())
    trainer.train_step()
    assert trainer.objective.shift.item() != 0  # type: ignore[operator]

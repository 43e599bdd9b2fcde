"""Conditions: their range, their repetition, their code; and a sampler that obeys them."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import MLPPolicy, Sampler, enumerate_states, evaluate
from gflow.behaviours.base import Behaviour, Incomplete
from gflow.behaviours.local_search import LocalSearch
from gflow.conditions.draws import TableCondition, UniformCondition
from gflow.conditions.thermometer import Thermometer
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Corners
from gflow.errors import ConfigError
from gflow.objectives import OBJECTIVES, LogPartitionVariance, Objective, TrajectoryBalance
from gflow.policies.encoder import FeatureEncoder
from gflow.rewards.wrappers import TemperatureConditional
from gflow.training.trainer import TrainConfig, Trainer


@given(
    count=st.integers(1, 12),
    repeat=st.integers(1, 4),
    levels=st.sampled_from([None, 2, 3]),
    seed=st.integers(0, 99),
)
def test_draws_lie_in_the_range_and_repeat(
    count: int, repeat: int, levels: int | None, seed: int
) -> None:
    draw = UniformCondition(-1.0, 3.0, repeat, levels)
    before = torch.get_rng_state()
    value = draw(count, torch.Generator().manual_seed(seed))
    assert torch.equal(torch.get_rng_state(), before)
    assert value.shape == (count, 1)
    assert bool(((value >= -1) & (value <= 3)).all())
    assert torch.equal(value, draw(count, torch.Generator().manual_seed(seed)))
    for k in range(count):
        assert value[k] == value[k - k % repeat]
    if levels is not None:
        steps = (value + 1) / 4 * (levels - 1)
        torch.testing.assert_close(steps, steps.round())


def test_draws_fill_the_range_evenly() -> None:
    value = UniformCondition(2.0, 4.0)(10_000, torch.Generator().manual_seed(0))
    counts = torch.histc(value, 10, 2.0, 4.0)
    assert ((counts - 1000) ** 2 / 1000).sum() < 33.7  # chi-square, 9 degrees, 1 in 10 000
    level = UniformCondition(2.0, 4.0, levels=3)(9_000, torch.Generator().manual_seed(0))
    counts = torch.tensor([(level == x).sum() for x in (2.0, 3.0, 4.0)])
    assert ((counts - 3000) ** 2 / 3000).sum() < 18.5


@given(size=st.integers(2, 8), values=st.lists(st.floats(-1, 9), min_size=1, max_size=5))
def test_the_thermometer_rises_mark_by_mark(size: int, values: list[float]) -> None:
    """Mark k is clip(c - low - k g, 0, g) / g with g = (high - low) / (size - 1)."""
    low, high = 0.5, 7.0
    code = Thermometer(low, high, size)
    got = code(torch.tensor(values)[:, None])
    gap = (high - low) / (size - 1)
    for row, c in zip(got, values, strict=True):
        wanted = [min(max(c - low - k * gap, 0), gap) / gap for k in range(size)]
        torch.testing.assert_close(row, torch.tensor(wanted))
    assert code.out_features == size
    ends = code(torch.tensor([[low], [high]]))
    assert ends.sum(1).tolist() == [0.0, size - 1.0]


@pytest.mark.parametrize(
    "build",
    [
        lambda: UniformCondition(1.0, 0.0),
        lambda: UniformCondition(0.0, 1.0, repeat=0),
        lambda: UniformCondition(0.0, 1.0, levels=1),
        lambda: Thermometer(1.0, 1.0),
        lambda: Thermometer(0.0, 1.0, 1),
    ],
)
def test_nonsense_is_refused(build: Any) -> None:
    with pytest.raises(ConfigError, match="need low <"):
        build()


class ConditionalGrid(HyperGrid):
    condition_dim = 1


def build(kind: str, log_flow: bool = False) -> tuple[ConditionalGrid, MLPPolicy, Objective]:
    env = ConditionalGrid(2, 4, TemperatureConditional(Corners(4, 0.1)))
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # what is not drawn from the generator
    policy = MLPPolicy(
        env, 64, backward="uniform", log_flow=log_flow, condition_encoder=Thermometer(0, 2, 3),
        generator=generator,
    )  # fmt: skip
    if kind == "tb":
        return (
            env,
            policy,
            TrajectoryBalance(condition_dim=1, condition_encoder=Thermometer(0, 2, 3)),
        )
    return env, policy, LogPartitionVariance()


def distance(env: HyperGrid, policy: MLPPolicy, told: float, meant: float) -> float:
    """Total variation between the law when told one temperature and the target of another."""
    graph = enumerate_states(env)
    law = graph.terminal_distribution(policy, torch.tensor([[told]])).exp()
    return float((law - graph.log_target(torch.tensor([[meant]])).exp()).abs().sum() / 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tb", "vargrad"])
def test_one_sampler_learns_the_target_of_every_temperature(kind: str) -> None:
    env, policy, objective = build(kind)
    condition = UniformCondition(0.0, 2.0, repeat=4 if kind == "vargrad" else 1, levels=3)
    config = TrainConfig(
        steps=400, batch_size=48, lr=5e-3, log_z_lr=0.02, epsilon=0.1, lr_half_life=150
    )
    Trainer(env, policy, objective, config, condition=condition).train()
    levels = (0.0, 1.0, 2.0)
    for level in levels:
        assert distance(env, policy, level, level) < 0.03
    # A sampler told another temperature, or none in effect, must miss: the test can fail.
    for told, meant in ((0.0, 2.0), (2.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        assert distance(env, policy, told, meant) > 0.2
    if kind == "tb":
        graph = enumerate_states(env)
        for level in levels:
            asked = torch.tensor([[level]])
            log_z = graph.exact_flows(condition=asked).log_z
            batch = Sampler(env).forward(policy, 1, condition=asked)
            learned = objective.log_z_estimate(evaluate(env, policy, batch)).item()
            assert abs(learned - log_z) < 0.05


@pytest.mark.slow
def test_a_sampler_that_cannot_hear_its_condition_fails() -> None:
    env, policy, objective = build("tb")

    def deaf(condition: Tensor) -> Tensor:
        return torch.zeros(len(condition), 3)

    policy.told.encoder.forward = deaf  # type: ignore[union-attr]
    config = TrainConfig(steps=300, batch_size=48, lr=5e-3, log_z_lr=0.02)
    Trainer(env, policy, objective, config, condition=UniformCondition(0, 2, levels=3)).train()
    assert max(distance(env, policy, level, level) for level in (0.0, 1.0, 2.0)) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "behaviour", "near"),
    [
        ("fldb", Incomplete(), 0.06),
        ("fldb", LocalSearch(1, accept="metropolis"), 0.06),
        ("led", LocalSearch(1, accept="metropolis"), 0.12),  # its potentials do not fit exactly
    ],
)
def test_energies_are_those_of_the_condition(name: str, behaviour: Behaviour, near: float) -> None:
    """Given or learned, replayed or searched for: energies of another temperature would miss."""
    env, policy, _ = build("vargrad", log_flow=True)
    objective = OBJECTIVES[name].build(env)
    config = TrainConfig(
        steps=400, batch_size=48, lr=5e-3, epsilon=0.1, lr_half_life=150, replay=200
    )
    condition = UniformCondition(0.0, 2.0, levels=3)
    trainer = Trainer(env, policy, objective, config, condition=condition, behaviour=behaviour)
    trainer.train()
    for level in (0.0, 1.0, 2.0):
        assert distance(env, policy, level, level) < near


def test_an_encoder_hears_its_condition() -> None:
    env, _, _ = build("vargrad")
    encoder, states = FeatureEncoder(env, 8), env.initial(2)
    low, high = encoder(env, states, torch.tensor([[0.0], [2.0]]))
    assert not torch.equal(low, high)
    with pytest.raises(ConfigError, match="conditional and got no condition"):
        encoder(env, states)


def test_rows_of_a_table_are_drawn_evenly_and_repeated() -> None:
    table = torch.arange(6.0).view(3, 2)
    draw = TableCondition(table, repeat=4)
    drawn = draw(3002, torch.Generator().manual_seed(0))
    assert drawn.shape == (3002, 2)
    groups = drawn[:3000].view(750, 4, 2)
    assert bool((groups == groups[:, :1]).all())
    assert bool((drawn[3000:] == drawn[2999]).all())  # nobody is left alone
    share = (groups[:, 0, 0, None] == table[:, 0]).double().mean(0)
    assert float((share - 1 / 3).abs().max()) < 0.06
    with pytest.raises(ConfigError, match="needs a table"):
        TableCondition(torch.zeros(3))

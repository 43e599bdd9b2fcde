"""Rewards and their wrappers: order, memory, conditions, refusals."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import FunctionReward, HostReward, LogReward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import ConfigError, RewardError
from gflow.rewards.remembering import CachedReward
from gflow.rewards.wrappers import Clipped, TemperatureConditional, Tempered

total: FunctionReward[Tensor] = FunctionReward(lambda states: states.sum(-1).double())
CELLS = torch.tensor([[0, 1], [3, 2], [0, 0], [3, 2]])


@given(beta=st.floats(0.01, 10), low=st.floats(-5, 0), gap=st.floats(0.1, 5))
def test_wrappers_apply_from_the_inside_out(beta: float, low: float, gap: float) -> None:
    value = total(CELLS)
    torch.testing.assert_close(
        Tempered(Clipped(total, low, low + gap), beta)(CELLS), beta * value.clamp(low, low + gap)
    )
    torch.testing.assert_close(
        Clipped(Tempered(total, beta), low, low + gap)(CELLS), (beta * value).clamp(low, low + gap)
    )


def test_the_order_of_clipping_and_tempering_matters() -> None:
    one = Tempered(Clipped(total, high=2), 3)(CELLS)
    two = Clipped(Tempered(total, 3), high=2)(CELLS)
    assert (one - two).abs().max() > 1


def test_temperatures_are_given_per_object() -> None:
    beta = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    reward = TemperatureConditional(total)
    torch.testing.assert_close(reward(CELLS, beta), beta[:, 0] * total(CELLS))
    with pytest.raises(ConfigError, match="no condition was given"):
        reward(CELLS)
    for wrapped in (Tempered(reward, 2.0), Clipped(reward, low=-1)):
        assert wrapped(CELLS, beta).shape == (4,)


class HalfWay(LogReward[Tensor]):
    """Another number for unfinished objects than for finished ones."""

    has_partial = True

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return states.sum(-1).double()

    def partial(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        return 0.5 * states.sum(-1).double() - 1


def test_wrappers_wrap_the_rewards_of_unfinished_objects_too() -> None:
    inner, given_ = HalfWay(), torch.tensor([[0.5], [1.0], [2.0], [3.0]])
    partial = torch.tensor([-0.5, 1.5, -1.0, 1.5])
    torch.testing.assert_close(Tempered(inner, 3.0).partial(CELLS), 3 * partial)
    torch.testing.assert_close(Clipped(inner, -0.7, 1.0).partial(CELLS), partial.clamp(-0.7, 1.0))
    torch.testing.assert_close(
        TemperatureConditional(inner).partial(CELLS, given_), given_[:, 0] * partial
    )
    key = HyperGrid(2, 4).key
    torch.testing.assert_close(CachedReward(inner, key).partial(CELLS), partial)
    torch.testing.assert_close(CachedReward(inner, key)(CELLS), CELLS.sum(-1).double())
    torch.testing.assert_close(
        Clipped(Tempered(inner, 3.0), high=2.0).partial(CELLS), (3 * partial).clamp(max=2.0)
    )
    wrappers = [Tempered(inner, 3.0), Clipped(inner), TemperatureConditional(inner)]
    assert all(wrapped.has_partial for wrapped in (*wrappers, CachedReward(inner, key)))
    assert not Tempered(total, 3.0).has_partial


class Counting(LogReward[Tensor]):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        self.seen += [tuple(row) for row in states.tolist()]
        return states.sum(-1).double() / 7

    def score(self, objects: list[Any]) -> list[float]:
        self.seen += objects
        return [sum(x) / 7 for x in objects]


@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6),
        max_size=6,
    ),
    capacity=st.sampled_from([1, 3, 100]),
    kind=st.sampled_from(["cached", "host"]),
)
def test_memories_score_distinct_objects_once_and_forget_the_oldest(
    batches: list[list[tuple[int, int]]], capacity: int, kind: str
) -> None:
    """Against a list of what is remembered, in order of arrival."""
    inner, env = Counting(), HyperGrid(2, 3)
    reward: Any = (
        CachedReward(inner, env.key, capacity)
        if kind == "cached"
        else HostReward(lambda s: [tuple(r) for r in s.tolist()], inner.score, capacity=capacity)
    )
    remembered: list[tuple[int, int]] = []
    asked: list[tuple[int, int]] = []
    for batch in batches:
        cells = torch.tensor(batch)
        torch.testing.assert_close(reward(cells), cells.sum(-1).double() / 7)
        fresh = [x for x in dict.fromkeys(batch) if x not in remembered]
        asked += fresh
        remembered = (remembered + fresh)[-capacity:]
        assert inner.seen == asked
        assert reward.calls == len(asked)
        assert len(reward.memory) == len(remembered)


class Pool:
    """Stands in for a pool of workers; whoever has such methods is one."""

    workers = 1

    def map(self, function: Any, items: Any, timeout: float | None = None) -> list[Any]:
        return [function([x])[0] for x in items]

    def close(self) -> None:
        raise NotImplementedError


def test_a_pool_is_used_if_there_is_one() -> None:
    inner = Counting()
    reward: HostReward[Tensor] = HostReward(
        lambda s: [tuple(r) for r in s.tolist()], inner.score, pool=Pool()
    )
    torch.testing.assert_close(reward(CELLS), CELLS.sum(-1).double() / 7)
    assert inner.seen == [(0, 1), (3, 2), (0, 0)]


@pytest.mark.parametrize(
    ("value", "shown"), [(math.nan, "nan"), (-math.inf, "-inf"), (math.inf, "inf")]
)
def test_a_reward_that_is_no_number_names_environment_and_object(value: float, shown: str) -> None:
    def broken(states: Tensor) -> Tensor:
        return torch.where((states == torch.tensor([1, 2])).all(-1), value, 0.0)

    env = HyperGrid(2, 4, FunctionReward(broken))
    cells = torch.tensor([[0, 0], [1, 2], [3, 3]])
    with pytest.raises(
        RewardError,
        match=rf"HyperGrid: the reward broken returned log R = {shown} for the object \(1, 2\) "
        rf"\(row 1 of 3\)",
    ):
        env.log_reward(cells)


def test_a_reward_of_the_wrong_shape_is_refused() -> None:
    env = HyperGrid(2, 4, FunctionReward(lambda s: s.double()))
    with pytest.raises(RewardError, match=r"shape \(3,\), got \(3, 2\)"):
        env.log_reward(torch.zeros(3, 2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Tempered(total, 0.0), "beta must be positive"),
        (lambda: Tempered(total, math.nan), "beta must be positive"),
        (lambda: Clipped(total, 1.0, 1.0), "low must be below high"),
    ],
)
def test_nonsense_is_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_rewards_say_what_they_are() -> None:
    assert repr(Tempered(Clipped(Counting(), low=-5), 8)) == (
        "Tempered(Clipped(Counting, low=-5, high=None), beta=8)"
    )
    assert repr(CachedReward(TemperatureConditional(Counting()), len)) == (  # type: ignore[arg-type]
        "CachedReward(TemperatureConditional(Counting))"
    )


@pytest.mark.parametrize("kind", ["host", "cached"])
def test_values_come_to_the_device_of_the_states(kind: str) -> None:
    states = torch.zeros(3, 2, device="meta")
    reward: LogReward[Tensor] = (
        HostReward(lambda s: list("abc"), lambda found: [0.5] * len(found))
        if kind == "host"
        else CachedReward(FunctionReward(lambda s: torch.ones(len(s))), lambda s: torch.arange(3))
    )
    assert reward(states).device.type == "meta"

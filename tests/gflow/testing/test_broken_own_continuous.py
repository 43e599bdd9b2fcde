"""Continuous environments as users write them, wrong on purpose, and what `check_env` says."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density, gaussian_log_prob
from gflow.testing import BrokenEnvironmentError, check_env


class Changed(Density[Any]):
    """A law of which one method is another."""

    def __init__(self, law: Density[Any], states: Any, **changes: Callable[..., Any]) -> None:
        self.law, self.states, self.changes = law, states, changes

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Any, Tensor | None]:
        found = self.law.sample(generator, noise)
        if "sample" in self.changes:
            found = self.changes["sample"](self, *found)
        return found

    def log_prob(self, states: Any) -> Tensor:
        value = self.law.log_prob(states)
        change = self.changes.get("log_prob")
        if change is not None:
            value = change(self, states, value)
        return value

    def retrace(self, states: Any) -> Any:
        change = self.changes.get("retrace")
        return self.law.retrace(states) if change is None else change(self, states)

    @property
    def log_stop(self) -> Tensor | None:
        change = self.changes.get("log_stop")
        stop: Tensor | None = self.law.log_stop if change is None else change(self)
        return stop


def back(make: Callable[[], Any], **changes: Callable[..., Any]) -> Any:
    """An environment with a changed backward law."""
    env = make()
    right = env.backward_law
    env.backward_law = lambda states, outputs=None: Changed(
        right(states, outputs), states, **changes
    )
    return env


def changed(make: Callable[[], Any], **attributes: Any) -> Any:
    """An environment with other attributes or methods."""
    env = make()
    for name, value in attributes.items():
        setattr(env, name, value)
    return env


# ---------------------------------------------------------------------- a user's own


@dataclass(frozen=True)
class Point:
    """A number in (0, 1) and how many moves it made."""

    u: Tensor  # (B, 1)
    step: Tensor  # (B,)


class Squashed(Density[Point]):
    """A Gaussian step of the logit of u, with the density of u."""

    def __init__(self, start: Point, mean: Tensor, by: int, env: "Interval") -> None:
        self.start, self.mean, self.by, self.env = start, mean, by, env

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Point, Tensor | None]:
        z = torch.randn(self.mean.shape, generator=generator)
        step = self.start.step + self.by
        u = torch.sigmoid(self.mean + self.env.spread * z)
        return Point(u.masked_fill((step == 0)[:, None], 0.5), step), None

    def log_prob(self, states: Point) -> Tensor:
        u = states.u
        spread = torch.full_like(u, self.env.spread**2)
        value = gaussian_log_prob(u.logit(), self.mean, spread)
        terms = {"both": (u * (1 - u)).log(), "one": u.log(), "none": 0 * u, "scaled": 0 * u - 0.4}
        value = value - terms[self.env.jacobian[self.by]].sum(-1)
        return value.masked_fill(states.step == 0, 0.0)


class Interval(ContinuousEnvironment[Point]):
    """Three squashed steps from 1/2; the Jacobian of the sigmoid is the user's to write."""

    horizon, fixed_length, num_outputs = 3, True, 1

    def __init__(self, ahead: str = "both", back: str = "both"):
        self.reward = FunctionReward(lambda s: 2 * s.u[:, 0])
        self.jacobian, self.spread = {1: ahead, -1: back}, 0.7

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Point:
        return Point(torch.full((batch_size, 1), 0.5), torch.zeros(batch_size, dtype=torch.int64))

    def is_terminal(self, s: Point) -> Tensor:
        return s.step == 3

    def is_initial(self, s: Point) -> Tensor:
        return s.step == 0

    def forward_law(self, s: Point, outputs: Tensor) -> Density[Point]:
        return Squashed(s, s.u.logit() + outputs, 1, self)

    def backward_law(self, s: Point, outputs: Tensor | None = None) -> Density[Point]:
        return Squashed(s, s.u.logit() * 0.7, -1, self)


class Hop(Density[Point]):
    """Uniform steps up, at most `reach` long."""

    def __init__(self, start: Point, reach: Tensor, sign: int) -> None:
        self.start, self.reach, self.sign = start, reach, sign

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Point, Tensor | None]:
        r = torch.rand(self.start.u.shape, generator=generator)
        step = self.start.step + self.sign
        u = self.start.u + self.sign * self.reach * r
        return Point(u.masked_fill((step == 0)[:, None], 0.0), step), None

    def log_prob(self, states: Point) -> Tensor:
        part = self.sign * (states.u - self.start.u) / self.reach
        legal = ((part >= 0) & (part <= 1)).all(1)
        value = -self.reach.log().sum(1).where(legal, torch.inf)
        return value.masked_fill(states.step == 0, 0.0)


class Hops(ContinuousEnvironment[Point]):
    """Two hops up; back by as much as can have come, which `short` forgets."""

    horizon, fixed_length, num_outputs = 2, True, 1

    def __init__(self, back: float = 1.0):
        self.reward, self.back = FunctionReward(lambda s: s.u[:, 0]), back

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Point:
        return Point(torch.zeros(batch_size, 1), torch.zeros(batch_size, dtype=torch.int64))

    def is_terminal(self, s: Point) -> Tensor:
        return s.step == 2

    def is_initial(self, s: Point) -> Tensor:
        return s.step == 0

    def forward_law(self, s: Point, outputs: Tensor) -> Density[Point]:
        return Hop(s, torch.ones_like(s.u) + 0 * outputs, 1)

    def backward_law(self, s: Point, outputs: Tensor | None = None) -> Density[Point]:
        # u2 = u1 + r with both in [0, 1]: u1 lies in [u2 - 1, 1], of which `back` is a share.
        low = (s.u - 1).clamp(min=0.0)
        high = s.u.clamp(max=1.0)
        return Down(s, low, (high - low).clamp(min=1e-9) * self.back)


class Down(Hop):
    """Uniform from a least number on."""

    def __init__(self, start: Point, low: Tensor, reach: Tensor) -> None:
        super().__init__(start, reach, 1)
        self.low = low

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[Point, Tensor | None]:
        r = torch.rand(self.start.u.shape, generator=generator)
        step = self.start.step - 1
        u = self.low + self.reach * r
        return Point(u.masked_fill((step == 0)[:, None], 0.0), step), None

    def log_prob(self, states: Point) -> Tensor:
        part = (states.u - self.low) / self.reach
        legal = ((part >= 0) & (part <= 1)).all(1)
        value = -self.reach.log().sum(1).where(legal, torch.inf)
        return value.masked_fill(states.step == 0, 0.0)


# ---------------------------------------------------------------------- what is broken

BROKEN: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "one term of a Jacobian": (lambda: Interval("one"), {"wrong-density", "wrong-measure"}),
    "one term of a Jacobian, backward": (
        lambda: Interval("both", "one"),
        {"wrong-density", "wrong-measure"},
    ),
    "no Jacobian": (lambda: Interval("none"), {"wrong-density", "wrong-measure"}),
    "a constant on both sides": (
        lambda: Interval("scaled", "scaled"),
        {"wrong-density", "wrong-measure"},
    ),
    "back by less than one came": (lambda: Hops(0.7), {"no-backward-density"}),
    "back by more than one came": (lambda: Hops(1.4), {"no-forward-density"}),
    "a wrong log Z without samples": (
        lambda: changed(Interval, log_partition=lambda: math.log(math.expm1(2) / 2) + 0.3),
        {"wrong-log-partition"},
    ),
    "no noise": (
        lambda: changed(Interval, takes_noise=True),
        {"wrong-noise"},
    ),
}


@pytest.mark.parametrize("make", [Interval, Hops])
def test_what_users_write_may_be_right(make: Callable[[], Any]) -> None:
    check_env(make())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_the_broken_rule_of_a_user_is_named(name: str) -> None:
    make, rules = BROKEN[name]
    with pytest.raises(BrokenEnvironmentError) as caught:
        check_env(make())
    assert caught.value.rules[0] in rules, caught.value

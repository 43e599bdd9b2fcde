"""Continuous environments that are wrong on purpose, one way each, and what `check_env` says.

Run it as a script to read the messages:  python tests/gflow/testing/test_broken_continuous.py
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward
from gflow.environment.continuous import ContinuousEnvironment
from gflow.environment.density import Density, gaussian_log_prob
from gflow.envs import Box, Cube
from gflow.envs.diffusion.annealed import AnnealedLangevin
from gflow.envs.diffusion.env import Diffusion
from gflow.envs.diffusion.process import Brownian, OrnsteinUhlenbeck
from gflow.envs.targets.mixture import GaussianMixture
from gflow.envs.torus.env import Torus
from gflow.envs.torus.targets import Sines
from gflow.testing import BrokenEnvironmentError, check_env

QUARTER = math.pi / 2


class Changed(Density[Any]):
    """A law of which one method is another."""

    def __init__(self, law: Any, states: Any, **changes: Callable[..., Any]) -> None:
        self.law, self.states, self.changes = law, states, changes

    def sample(self, generator=None, noise=0.0):
        found = self.law.sample(generator, noise)
        return self.changes["sample"](self, *found) if "sample" in self.changes else found

    def log_prob(self, states):
        value = self.law.log_prob(states)
        change = self.changes.get("log_prob")
        return value if change is None else change(self, states, value)

    def retrace(self, states):
        change = self.changes.get("retrace")
        return self.law.retrace(states) if change is None else change(self, states)

    @property
    def log_stop(self):
        change = self.changes.get("log_stop")
        return self.law.log_stop if change is None else change(self)


def ahead(make: Callable[[], Any], **changes: Callable[..., Any]) -> Any:
    """An environment with a changed forward law."""
    env = make()
    right = env.forward_law
    env.forward_law = lambda states, outputs: Changed(right(states, outputs), states, **changes)
    return env


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


def target() -> GaussianMixture:
    return GaussianMixture(torch.tensor([[1.0, 1.0], [-1.0, 0.0]]), 0.5)


def box() -> Box:
    return Box(delta=0.4)


def cube() -> Cube:
    return Cube(2, min_step=0.2)


def torus() -> Torus:
    return Torus(Sines(), length=2, components=2)


def brownian() -> Diffusion:
    return Diffusion(target(), Brownian(4.0), 4, log_variance_range=0.5, backward_range=0.3)


def ornstein() -> Diffusion:
    return Diffusion(target(), OrnsteinUhlenbeck(nu=2.0), 4)


def annealed() -> AnnealedLangevin:
    return AnnealedLangevin(target(), 2.0, 4)


def on_arcs(law: Changed) -> Tensor:
    return ~(law.states == 0).all(-1)


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

    def sample(self, generator=None, noise=0.0):
        z = torch.randn(self.mean.shape, generator=generator)
        step = self.start.step + self.by
        u = torch.sigmoid(self.mean + self.env.spread * z)
        return Point(u.masked_fill((step == 0)[:, None], 0.5), step), None

    def log_prob(self, states):
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

    def initial(self, batch_size, device="cpu"):
        return Point(torch.full((batch_size, 1), 0.5), torch.zeros(batch_size, dtype=torch.int64))

    def is_terminal(self, s):
        return s.step == 3

    def is_initial(self, s):
        return s.step == 0

    def forward_law(self, s, outputs):
        return Squashed(s, s.u.logit() + outputs, 1, self)

    def backward_law(self, s, outputs=None):
        return Squashed(s, s.u.logit() * 0.7, -1, self)


class Hop(Density[Point]):
    """Uniform steps up, at most `reach` long."""

    def __init__(self, start: Point, reach: Tensor, sign: int) -> None:
        self.start, self.reach, self.sign = start, reach, sign

    def sample(self, generator=None, noise=0.0):
        r = torch.rand(self.start.u.shape, generator=generator)
        step = self.start.step + self.sign
        u = self.start.u + self.sign * self.reach * r
        return Point(u.masked_fill((step == 0)[:, None], 0.0), step), None

    def log_prob(self, states):
        part = self.sign * (states.u - self.start.u) / self.reach
        legal = ((part >= 0) & (part <= 1)).all(1)
        value = -self.reach.log().sum(1).where(legal, torch.inf)
        return value.masked_fill(states.step == 0, 0.0)


class Hops(ContinuousEnvironment[Point]):
    """Two hops up; back by as much as can have come, which `short` forgets."""

    horizon, fixed_length, num_outputs = 2, True, 1

    def __init__(self, back: float = 1.0):
        self.reward, self.back = FunctionReward(lambda s: s.u[:, 0]), back

    def initial(self, batch_size, device="cpu"):
        return Point(torch.zeros(batch_size, 1), torch.zeros(batch_size, dtype=torch.int64))

    def is_terminal(self, s):
        return s.step == 2

    def is_initial(self, s):
        return s.step == 0

    def forward_law(self, s, outputs):
        return Hop(s, torch.ones_like(s.u) + 0 * outputs, 1)

    def backward_law(self, s, outputs=None):
        # u2 = u1 + r with both in [0, 1]: u1 lies in [u2 - 1, 1], of which `back` is a share.
        low = (s.u - 1).clamp(min=0.0)
        high = s.u.clamp(max=1.0)
        return Down(s, low, (high - low).clamp(min=1e-9) * self.back)


class Down(Hop):
    """Uniform from a least number on."""

    def __init__(self, start: Point, low: Tensor, reach: Tensor) -> None:
        super().__init__(start, reach, 1)
        self.low = low

    def sample(self, generator=None, noise=0.0):
        r = torch.rand(self.start.u.shape, generator=generator)
        step = self.start.step - 1
        u = self.low + self.reach * r
        return Point(u.masked_fill((step == 0)[:, None], 0.0), step), None

    def log_prob(self, states):
        part = (states.u - self.low) / self.reach
        legal = ((part >= 0) & (part <= 1)).all(1)
        value = -self.reach.log().sum(1).where(legal, torch.inf)
        return value.masked_fill(states.step == 0, 0.0)


RIGHT: dict[str, Callable[[], Any]] = {
    "box": box,
    "cube": cube,
    "torus": torus,
    "brownian": brownian,
    "ornstein": ornstein,
    "annealed": annealed,
    "interval": Interval,
    "hops": Hops,
}


# ---------------------------------------------------------------------- what is broken

BROKEN: dict[str, tuple[Callable[[], Any], set[str]]] = {
    # Jacobians and constants
    "arcs per angle on one side": (
        lambda: back(
            box,
            log_prob=lambda k, s, v: v.where((s == 0).all(-1), v + math.log(0.4 * QUARTER)),
        ),
        {"wrong-measure"},
    ),
    "arcs without their width": (
        lambda: ahead(
            box,
            log_prob=lambda k, s, v: v + (on_arcs(k) * k.law.later.width.log()),
        ),
        {"wrong-measure"},
    ),
    "the disk without its radius": (
        lambda: ahead(
            box,
            log_prob=lambda k, s, v: (
                v + (~on_arcs(k)) * (s.norm(dim=-1) / 0.4).clamp(min=1e-9).log()
            ),
        ),
        {"wrong-measure", "wrong-density"},
    ),
    "the disk per unit disk": (
        lambda: ahead(box, log_prob=lambda k, s, v: v + (~on_arcs(k)) * 2 * math.log(0.4)),
        {"wrong-measure"},
    ),
    "increments without their width": (
        lambda: back(
            cube,
            log_prob=lambda k, s, v: torch.where(
                (s == 0).all(-1), v, v + k.law.back.width.log().sum(-1)
            ),
        ),
        {"wrong-measure"},
    ),
    "increments without one width": (
        lambda: ahead(
            cube, log_prob=lambda k, s, v: v + on_arcs(k) * k.law.later.width[:, 0].log()
        ),
        {"wrong-measure"},
    ),
    "per degree on one side": (
        lambda: ahead(torus, log_prob=lambda k, s, v: v + 2 * math.log(math.pi / 180)),
        {"wrong-measure"},
    ),
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
    "a Gaussian that is not normalised": (
        lambda: ahead(ornstein, log_prob=lambda k, s, v: v + math.log(2 * math.pi)),
        {"wrong-measure"},
    ),
    # stops and atoms
    "moves that forget the stop": (
        lambda: ahead(box, log_prob=lambda k, s, v: v - on_arcs(k) * k.law.stop.no),
        {"wrong-density", "wrong-stop"},
    ),
    "stops that are too likely": (
        lambda: ahead(box, log_stop=lambda k: k.law.log_stop / 2),
        {"wrong-stop", "wrong-density"},
    ),
    "a stop above one": (
        lambda: ahead(box, log_stop=lambda k: k.law.log_stop + 3.0),
        {"wrong-stop"},
    ),
    "stops where none may be": (
        lambda: changed(box, can_stop=lambda states: states[:, 0] < 0),
        {"wrong-stop"},
    ),
    "no stops where some may be": (
        lambda: ahead(
            box,
            log_stop=lambda k: torch.full_like(k.law.log_stop, -torch.inf),
            sample=lambda k, s, stops: (s, torch.zeros_like(stops)),
        ),
        {"wrong-stop", "wrong-density"},
    ),
    "stops that nobody declares": (lambda: changed(box, stop_action=None), {"wrong-stop"}),
    "the way home is free": (
        lambda: back(cube, log_prob=lambda k, s, v: v.masked_fill((s == 0).all(-1), 0.0)),
        {"wrong-atom", "wrong-density"},
    ),
    "moves back that forget the way home": (
        lambda: back(
            cube,
            log_prob=lambda k, s, v: torch.where((s == 0).all(-1), v, v - k.law.home.no),
        ),
        {"wrong-measure", "wrong-density"},
    ),
    "a forced move with a density": (
        lambda: back(torus, log_prob=lambda k, s, v: v - (s.step == 0) * 1.8),
        {"wrong-atom"},
    ),
    # sample and log_prob of two laws
    "a wrong variance": (
        lambda: ahead(
            ornstein,
            log_prob=lambda k, s, v: gaussian_log_prob(
                s.x, (m := k.law.moments(s.grid))[0], 1.4 * m[1]
            ),
        ),
        {"wrong-density"},
    ),
    "a wrong variance of what is drawn back": (
        lambda: back(
            ornstein,
            sample=lambda k, s, stops: (
                replace(
                    s,
                    x=k.law.moments()[0] + 1.25 * (s.x - k.law.moments()[0]),
                ),
                stops,
            ),
        ),
        {"wrong-density"},
    ),
    "a drift with the wrong sign": (
        lambda: ahead(
            ornstein,
            log_prob=lambda k, s, v: type(k.law)(k.law.env, k.states, -k.law.outputs).log_prob(s),
        ),
        {"wrong-density"},
    ),
    "a density of another time": (
        lambda: ahead(
            ornstein,
            log_prob=lambda k, s, v: type(k.law)(
                k.law.env,
                replace(k.states, step=(k.states.step - 1).clamp(min=0)),
                k.law.outputs,
            ).log_prob(s),
        ),
        {"wrong-density", "wrong-measure"},
    ),
    "steps back of another time": (
        lambda: changed(
            brownian,
            backward_coefficients=lambda grid, step, like: (
                Diffusion.backward_coefficients(brownian(), grid, step + 1, like)
                if int(step.max()) < 4
                else Diffusion.backward_coefficients(brownian(), grid, step, like)
            ),
        ),
        {"no-path-to-source"},
    ),
    "a drift back with the wrong sign": (
        lambda: back(
            annealed,
            log_prob=lambda k, s, v: type(k.law)(k.law.env, k.states, -k.law.outputs).log_prob(s),
        ),
        {"wrong-density"},
    ),
    "turns the other way": (
        lambda: back(
            torus,
            sample=lambda k, s, stops: (
                replace(
                    s,
                    angles=(2 * k.states.angles - s.angles) % (2 * math.pi) * (s.step > 0)[:, None],
                ),
                stops,
            ),
        ),
        {"wrong-density"},
    ),
    # support
    "back by less than one came": (lambda: Hops(0.7), {"no-backward-density"}),
    "back by more than one came": (lambda: Hops(1.4), {"no-forward-density"}),
    "home at once, never forward": (
        lambda: back(box, log_prob=lambda k, s, v: v.masked_fill((s == 0).all(-1), -torch.inf)),
        {"no-backward-density"},
    ),
    # ends
    "a short horizon": (lambda: changed(box, horizon=3), {"horizon-too-small"}),
    "a promise of one length": (lambda: changed(box, fixed_length=True), {"fixed-length"}),
    "everything is the source": (
        lambda: changed(torus, is_initial=lambda s: s.step < 2),
        {"initial-state"},
    ),
    "nothing is the source": (
        lambda: changed(torus, is_initial=lambda s: s.step < 0),
        {"initial-state"},
    ),
    "two sources": (
        lambda: changed(
            box, initial=lambda n, device="cpu": torch.arange(n)[:, None] * 0.1 + torch.zeros(1, 2)
        ),
        {"initial-state"},
    ),
    # shapes
    "one column too many": (lambda: ahead(box, log_prob=lambda k, s, v: v[:, None]), {"shape"}),
    "no pair": (lambda: ahead(box, sample=lambda k, s, stops: s), {"shape"}),
    "floats for stops": (
        lambda: ahead(box, sample=lambda k, s, stops: (s, stops.double())),
        {"shape"},
    ),
    "states of another shape": (
        lambda: back(box, sample=lambda k, s, stops: (s[:, :1], stops)),
        {"shape"},
    ),
    "no sizes": (lambda: changed(box, num_outputs=None), {"attributes"}),
    "a stop of another number": (lambda: changed(box, stop_action=2), {"attributes"}),
    "too few outputs": (lambda: changed(box, num_outputs=2), {"raises"}),
    "a density of NaN": (
        lambda: ahead(box, log_prob=lambda k, s, v: v + 0 * (s[:, 0] - 0.5).log()),
        {"wrong-density"},
    ),
    # batches
    "looks around": (
        lambda: ahead(box, log_prob=lambda k, s, v: v + 0.1 * (k.states[0, 0] - k.states.mean())),
        {"batch-dependence"},
    ),
    "writes into states": (
        lambda: ahead(box, log_prob=lambda k, s, v: v + 0 * s.mul_(0.5).sum(-1)),
        {"mutates-input"},
    ),
    "random densities": (
        lambda: back(box, log_prob=lambda k, s, v: v + torch.rand(())),
        {"not-deterministic"},
    ),
    # rewards
    "a reward of NaN": (
        lambda: Box(FunctionReward(lambda x: (x[:, 0] - 0.3).log())),
        {"reward-not-finite"},
    ),
    "a reward of columns": (lambda: Box(FunctionReward(lambda x: x)), {"reward-shape"}),
    "a reward of zero": (
        lambda: Box(FunctionReward(lambda x: (x[:, 0] > 0.4).double().log())),
        {"reward-not-finite"},
    ),
    "a wrong log Z": (
        lambda: changed(ornstein, log_partition=lambda: target().log_z + 0.5),
        {"wrong-objects"},
    ),
    "samples of another law": (
        lambda: changed(
            ornstein,
            exact_objects=lambda n, generator=None, device="cpu": ornstein().objects(
                torch.randn(n, 2, generator=generator)
            ),
        ),
        {"wrong-objects"},
    ),
    "a wrong log Z without samples": (
        lambda: changed(Interval, log_partition=lambda: math.log(math.expm1(2) / 2) + 0.3),
        {"wrong-log-partition"},
    ),
    # gradients and noise
    "no noise": (
        lambda: changed(Interval, takes_noise=True),
        {"wrong-noise"},
    ),
    "values lost on the way": (
        lambda: ahead(ornstein, retrace=lambda k, s: replace(s, x=k.law.moments(s.grid)[0])),
        {"wrong-retrace"},
    ),
    "no gradient": (lambda: ahead(ornstein, retrace=lambda k, s: s), {"wrong-retrace"}),
    "half the gradient": (
        lambda: ahead(
            brownian,
            retrace=lambda k, s: replace(s, x=(x := k.law.retrace(s).x) / 2 + x.detach() / 2),
        ),
        {"wrong-retrace"},
    ),
    "no gradient of the state": (
        lambda: ahead(
            ornstein,
            retrace=lambda k, s: type(k.law)(
                k.law.env, replace(k.states, x=k.states.x.detach()), k.law.outputs
            ).retrace(s),
        ),
        {"wrong-retrace"},
    ),
    # conditions
    "a source of a condition": (
        lambda: changed_class(
            box,
            start=lambda self, n, device="cpu", condition=None: (
                self.initial(n, device) if condition is None else self.initial(n, device) + 0.1
            ),
        ),
        {"source-reads-condition"},
    ),
    "a condition that no source reads": (
        lambda: changed(box, source_reads_condition=True),
        {"source-reads-condition"},
    ),
}


def changed_class(make: Callable[[], Any], **methods: Any) -> Any:
    """An environment of a class of its own."""
    env = make()
    env.__class__ = type(f"Other{type(env).__name__}", (type(env),), methods)
    return env


def test_quick_names_are_names() -> None:
    assert set(BROKEN) >= QUICK


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_what_they_are_made_from_is_right(name: str) -> None:
    check_env(RIGHT[name]())


QUICK = {
    "arcs per angle on one side",
    "the disk without its radius",
    "increments without their width",
    "per degree on one side",
    "one term of a Jacobian",
    "a Gaussian that is not normalised",
    "moves that forget the stop",
    "stops that are too likely",
    "the way home is free",
    "a forced move with a density",
    "a wrong variance",
    "a drift with the wrong sign",
    "back by less than one came",
    "a short horizon",
    "one column too many",
    "a reward of NaN",
    "a wrong log Z",
    "half the gradient",
    "no noise",
}
"""The others wait for the slow tests."""


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BROKEN],
)
def test_the_broken_rule_is_named(name: str) -> None:
    make, rules = BROKEN[name]
    with pytest.raises(BrokenEnvironmentError) as caught:
        check_env(make())
    assert caught.value.rules[0] in rules, caught.value


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    for name, (make, rules) in BROKEN.items():
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        try:
            check_env(make())
            print(f"# {name}: NOTHING FOUND, expected {rules}\n", file=sys.stdout, flush=True)
        except BrokenEnvironmentError as error:
            good = "" if error.rules[0] in rules else f"  EXPECTED {rules}"
            print(f"# {name}{good}\n{error}\n", file=sys.stdout, flush=True)

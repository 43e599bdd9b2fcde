"""Continuous environments that are wrong on purpose, in one point each, and what `check_env` says.

Run it as a script to read the messages:  python tests/gflow/testing/test_broken_continuous.py
"""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import FunctionReward
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
    stays: Tensor = (law.states == 0).all(-1)
    return ~stays


RIGHT: dict[str, Callable[[], Any]] = {
    "box": box,
    "cube": cube,
    "torus": torus,
    "brownian": brownian,
    "ornstein": ornstein,
    "annealed": annealed,
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
    "the move home is free": (
        lambda: back(cube, log_prob=lambda k, s, v: v.masked_fill((s == 0).all(-1), 0.0)),
        {"wrong-atom", "wrong-density"},
    ),
    "moves back that do not lead home": (
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
    "turns in the other direction": (
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
        lambda: changed(ornstein, log_partition=lambda: (target().log_z or 0.0) + 0.5),
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
    # gradients and noise
    "values lost in between": (
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


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RIGHT))
def test_what_they_are_made_from_is_right(name: str) -> None:
    check_env(RIGHT[name]())


QUICK = {
    "arcs per angle on one side",
    "the disk without its radius",
    "increments without their width",
    "per degree on one side",
    "a Gaussian that is not normalised",
    "moves that forget the stop",
    "stops that are too likely",
    "the move home is free",
    "a forced move with a density",
    "a wrong variance",
    "a drift with the wrong sign",
    "a short horizon",
    "one column too many",
    "a reward of NaN",
    "a wrong log Z",
    "half the gradient",
}
"""The others wait for the slow tests."""


@pytest.mark.slow
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

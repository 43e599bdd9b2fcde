"""What two objects differ in, and which runs can be stacked."""

import dataclasses
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from gflow.behaviours.base import Around, Behaviour
from gflow.objective import Objective
from gflow.policies.base import Policy
from gflow.policies.changes import everything_read
from gflow.rewards.base import LogReward
from gflow.rewards.wrappers import Tempered
from gflow.stacked.parameters import shapes
from gflow.training.trainer import Trainer

FREE = frozenset(
    {
        "seed",
        "lr",
        "log_z_lr",
        "lr_half_life",
        "weight_decay",
        "grad_clip",
        "epsilon",
        "epsilon_steps",
        "trajectory_epsilon",
        "temperature",
        "stop_bias",
    }
)
"""Settings of training in which stacked runs may differ."""

PLAIN = (bool, int, float, complex, str, bytes, type(None), type, torch.dtype, torch.device)

WORKERS = frozenset({"_thread", "threading", "multiprocessing", "concurrent", "subprocess"})
"""Modules of locks and processes, which are each run's own and say nothing about numbers."""


def refusal(trainer: Trainer) -> str | None:
    """Why a run cannot be stacked with any other, in words; None if it can."""
    env, config, objective, policy = trainer.env, trainer.config, trainer.objective, trainer.policy
    if not env.numbered:
        return f"the moves of {env.name} have densities, and only numbered moves are stacked"
    if trainer.ranks.size > 1:
        return "several processes train it (torchrun)"
    if trainer.learners:
        kinds = ", ".join(type(learner).__name__ for learner in trainer.learners)
        return f"it learns more than a policy ({kinds})"
    own = type(objective).evaluate is not Objective.evaluate
    if own or objective.networks or next(iter(objective.buffers()), None) is not None:
        return f"{type(objective).__name__} reads more than a policy says, by code of its own"
    if _goes_further(trainer.behaviour):
        return f"{type(trainer.behaviour).__name__} takes further steps on batches of its own"
    if config.ema_sampling:
        return "ema_sampling mixes two policies"
    if config.chunk:
        return "chunk saves memory by small passes, and stacking makes large ones"
    if getattr(config, "compile", False):
        return "compile makes one graph of the step of one run"
    if type(policy).begin is not Policy.begin:
        condition = None if trainer.condition is None else trainer.condition(1, _aside(trainer))
        with everything_read():  # stacked policies are shown states, not changes
            remembers = policy.begin(env, 1, condition) is not None
        if remembers:
            return f"{type(policy).__name__} remembers what it computed on the way, row by row"
    for module in policy.modules():
        if isinstance(module, _DropoutNd | _NormBase):
            return f"the policy has a {type(module).__name__}, which is no function of one state"
    return None


def _aside(trainer: Trainer) -> torch.Generator:
    """A generator for questions that must not disturb the run."""
    return torch.Generator(trainer.device).manual_seed(0)


def _goes_further(behaviour: Behaviour) -> bool:
    while isinstance(behaviour, Around):
        if type(behaviour).further is not Around.further:
            return True
        behaviour = behaviour.inner
    return type(behaviour).further is not Behaviour.further


def apart(one: Trainer, other: Trainer, same: bool = False) -> str | None:
    """In what two runs differ that stacked runs must agree in, in words; None if in nothing.

    Args:
        one: A run.
        other: Another.
        same: Whether their environments are known to be the same, as those of one task.
    """
    for field in dataclasses.fields(one.config):
        name = field.name
        was, now = getattr(one.config, name), getattr(other.config, name)
        if name not in FREE and was != now:
            return f"{name} is {was!r} in one and {now!r} in the other"
    if one.record_every != other.record_every:
        return f"eval_every is {one.record_every} in one and {other.record_every} in the other"
    if one.step != other.step:
        return f"one is at step {one.step} and the other at step {other.step}"
    if one.device != other.device:
        return f"one is on {one.device} and the other on {other.device}"
    found = None if same else environments_apart(one.env, other.env)
    if found is not None:
        return found
    for what, a, b in (
        ("policies", one.policy, other.policy),
        ("objectives", one.objective, other.objective),
    ):
        differs = _modules_apart(a, b)
        if differs is not None:
            return f"their {what} differ in {differs}"
    if (one.condition is None) != (other.condition is None):
        return "one is told conditions and the other none"
    if type(one.behaviour) is not type(other.behaviour):
        return (
            f"one trains on {type(one.behaviour).__name__} and the other on "
            f"{type(other.behaviour).__name__}"
        )
    return None


def environments_apart(one: Any, other: Any) -> str | None:
    """In what two environments differ, real numbers of their rewards aside."""
    if type(one) is not type(other):
        return f"their environments are {one.name} and {other.name}"
    for name in sorted({*vars(one), *vars(other)} - {"reward", "called"}):
        found = difference(vars(one).get(name), vars(other).get(name))
        if found is not None:
            return f"their environments differ in {name}{found}"
    found = difference(_untempered(one.reward), _untempered(other.reward), numbers=True)
    return None if found is None else f"their rewards differ in more than numbers (reward{found})"


def _untempered(reward: Any) -> Any:
    """A reward without its temperature, which is a number among others."""
    return _untempered(reward.reward) if type(reward) is Tempered else reward


def _modules_apart(one: nn.Module, other: nn.Module) -> str | None:
    """In what two modules differ beside the numbers that they hold."""
    here, there = shapes(one), shapes(other)
    for name in (*here, *there):
        if here.get(name) != there.get(name):
            return f"the shape of {name}" if name else "their classes"
    for (name, a), (_, b) in zip(one.named_modules(), other.named_modules(), strict=True):
        mine, theirs = (
            {k: v for k, v in vars(m).items() if not k.startswith("_") and k != "training"}
            for m in (a, b)
        )
        found = difference(mine, theirs)
        if found is not None:
            return f"{name or 'their settings'}{found}"
    return None


def difference(
    one: Any, other: Any, numbers: bool = False, seen: set[tuple[int, int]] | None = None
) -> str | None:
    """Where two objects first differ, as ``.name[key]``; None if nowhere.

    Args:
        one: An object made of numbers, tensors, containers and objects of these.
        other: Another.
        numbers: Let real numbers differ, and tensors of them of one shape.
        seen: Pairs under comparison, which may be reached again.
    """
    if one is other:
        return None
    if type(one) is not type(other):
        return ""
    if type(one).__module__.partition(".")[0] in WORKERS:
        return None
    seen = set() if seen is None else seen
    if (id(one), id(other)) in seen:
        return None
    seen.add((id(one), id(other)))
    if isinstance(one, Tensor):
        free = numbers and one.is_floating_point() and one.dtype == other.dtype
        same = one.shape == other.shape and (free or bool(torch.equal(one, other)))
        return None if same else ""
    if isinstance(one, np.ndarray):
        return None if np.array_equal(one, other) else ""
    if isinstance(one, float) and numbers:
        return None
    if isinstance(one, PLAIN):
        return None if one == other or (one != one and other != other) else ""
    if isinstance(one, MethodType):
        same = one.__func__ is other.__func__
        return difference(one.__self__, other.__self__, numbers, seen) if same else ""
    if isinstance(one, FunctionType):
        if one.__code__ is not other.__code__:
            return ""
        cells = [[cell.cell_contents for cell in f.__closure__ or ()] for f in (one, other)]
        return _inside(cells[0], cells[1], numbers, seen)
    if isinstance(one, set | frozenset):
        return None if one == other else ""
    return _inside(one, other, numbers, seen)


def _inside(one: Any, other: Any, numbers: bool, seen: set[tuple[int, int]]) -> str | None:
    """Where two containers or objects first differ."""
    if isinstance(one, Mapping):
        pairs = [(f"[{key!r}]", key) for key in one]
        if set(one) != set(other):
            return ""
        held = [(name, one[key], other[key]) for name, key in pairs]
    elif isinstance(one, tuple | list):
        if len(one) != len(other):
            return ""
        held = [(f"[{n}]", a, b) for n, (a, b) in enumerate(zip(one, other, strict=True))]
    elif hasattr(one, "__dict__") and (vars(one) or isinstance(one, LogReward)):
        if set(vars(one)) != set(vars(other)):
            return ""
        held = [(f".{key}", value, vars(other)[key]) for key, value in vars(one).items()]
    else:
        return None if one == other else ""
    for name, a, b in held:
        found = difference(a, b, numbers, seen)
        if found is not None:
            return f"{name}{found}"
    return None

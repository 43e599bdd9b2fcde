"""What things say they are: their class and the settings that they were made with."""

import inspect
from functools import cache
from typing import Any

import torch
from torch import nn

LONG = 40
"""Characters of a text that are shown."""
MOST = 8
"""Members of a tuple or list that are shown."""


def in_a_line(thing: Any, *said: str, leave: tuple[str, ...] = ()) -> str:
    """``Class(name=value, ...)``: the arguments of its class that a thing keeps by their names.

    Those that equal their defaults, and those that say nothing in a line (tensors, functions), are
    left out.

    Example:
        >>> from gflow.conditions.draws import UniformCondition
        >>> in_a_line(UniformCondition(1.0, 4.0))
        'UniformCondition(low=1, high=4)'

    Args:
        thing: What to show.
        said: What else to say, first.
        leave: Arguments that are left out.
    """
    words = [*said]
    cls: Any = type(thing)
    for name, default in _arguments(cls):
        if name in leave:
            continue
        value = vars(thing).get(name, getattr(thing, "_modules", {}).get(name))
        text = "" if value is None else _text(value)
        if text and not _same(value, default):
            words.append(f"{name}={text}")
    return f"{type(thing).__name__}({', '.join(words)})"


def of_trainer(trainer: Any, before: str = "Trainer") -> str:
    """What a trainer trains, by what, and how far it is."""
    stopped = f", stopped: {trainer.stopped}" if trainer.stopped else ""
    objective = in_a_line(trainer.objective)
    policy = f"{type(trainer.policy).__name__} ({size(trainer.policy)})"
    return (
        f"{before}({trainer.env!r}, {policy}, {objective}, {trainer.behaviour!r}, "
        f"step {trainer.step} of {trainer.config.steps}{stopped})"
    )


def size(module: nn.Module) -> str:
    """How many numbers a module learns."""
    count = sum(p.numel() for p in module.parameters())
    return f"{count:,} parameters"


def _text(value: Any) -> str:
    """A value in a line; empty if it says nothing so."""
    from gflow.environment.base import Environment
    from gflow.rewards.base import LogReward

    if isinstance(value, bool | int | float):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        return repr(value if len(value) <= LONG else value[: LONG - 1] + "…")
    if isinstance(value, torch.Tensor):
        return str(value.item()) if value.numel() == 1 else ""
    if isinstance(value, tuple | list):
        texts = [_text(one) for one in value[:MOST]]
        if not texts or not all(texts):
            return ""
        return f"({', '.join(texts)}{', …' if len(value) > MOST else ''})"
    if isinstance(value, Environment | LogReward):
        return repr(value)
    if isinstance(value, nn.Module) or callable(value):
        return ""
    text = repr(value)
    return "" if "object at 0x" in text or len(text) > 2 * LONG else text


@cache
def _arguments(cls: Any) -> tuple[tuple[str, Any], ...]:
    """Names and defaults of what a class takes."""
    try:
        found = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple((p.name, p.default) for p in found if p.kind not in (2, 4))


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)

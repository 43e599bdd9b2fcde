"""The distributions that W&B's sweep files can name."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gflow.errors import ConfigError

LARGEST = 600.0
"""Exponents beyond this leave the range of double precision."""


@dataclass(frozen=True)
class Distribution:
    """How a parameter is drawn.

    Attributes:
        draw: One number from a source of randomness and the settings.
        settings: Names of the settings, each with its default; None where one must be given.
        positive: Bounds are of the logarithm's argument, so they must be above 0.
    """

    draw: Callable[[random.Random, dict[str, float]], float | int]
    settings: dict[str, float | None]
    positive: bool = False


def _stepped(draw: Callable[[random.Random, dict[str, float]], float]) -> Any:
    """The same in whole multiples of q."""

    def rounded(dice: random.Random, s: dict[str, float]) -> float | int:
        value = round(draw(dice, s) / s["q"]) * s["q"]
        return int(value) if float(s["q"]).is_integer() else value

    return rounded


def _uniform(dice: random.Random, s: dict[str, float]) -> float:
    return dice.uniform(s["min"], s["max"])


def _int_uniform(dice: random.Random, s: dict[str, float]) -> int:
    return dice.randint(int(s["min"]), int(s["max"]))


def _log_uniform(dice: random.Random, s: dict[str, float]) -> float:
    return math.exp(dice.uniform(s["min"], s["max"]))


def _log_uniform_values(dice: random.Random, s: dict[str, float]) -> float:
    return math.exp(dice.uniform(math.log(s["min"]), math.log(s["max"])))


def _inv_log_uniform(dice: random.Random, s: dict[str, float]) -> float:
    return math.exp(-dice.uniform(s["min"], s["max"]))


def _normal(dice: random.Random, s: dict[str, float]) -> float:
    return dice.gauss(s["mu"], s["sigma"])


def _log_normal(dice: random.Random, s: dict[str, float]) -> float:
    return math.exp(dice.gauss(s["mu"], s["sigma"]))


def _beta(dice: random.Random, s: dict[str, float]) -> float:
    return dice.betavariate(s["a"], s["b"])


_BOUNDS: dict[str, float | None] = {"min": None, "max": None}
_GAUSS: dict[str, float | None] = {"mu": 0.0, "sigma": 1.0}
_SHAPE: dict[str, float | None] = {"a": 1.0, "b": 1.0}
_Q: dict[str, float | None] = {"q": 1.0}

DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": Distribution(_uniform, _BOUNDS),
    "int_uniform": Distribution(_int_uniform, _BOUNDS),
    "q_uniform": Distribution(_stepped(_uniform), _BOUNDS | _Q),
    "log_uniform": Distribution(_log_uniform, _BOUNDS),
    "log_uniform_values": Distribution(_log_uniform_values, _BOUNDS, positive=True),
    "q_log_uniform": Distribution(_stepped(_log_uniform), _BOUNDS | _Q),
    "q_log_uniform_values": Distribution(
        _stepped(_log_uniform_values), _BOUNDS | _Q, positive=True
    ),
    "inv_log_uniform": Distribution(_inv_log_uniform, _BOUNDS),
    # log(1 / X) uniform between log(1 / max) and log(1 / min): the same as log_uniform_values
    "inv_log_uniform_values": Distribution(_log_uniform_values, _BOUNDS, positive=True),
    "normal": Distribution(_normal, _GAUSS),
    "q_normal": Distribution(_stepped(_normal), _GAUSS | _Q),
    "log_normal": Distribution(_log_normal, _GAUSS),
    "q_log_normal": Distribution(_stepped(_log_normal), _GAUSS | _Q),
    "beta": Distribution(_beta, _SHAPE),
    "q_beta": Distribution(_stepped(_beta), _SHAPE | _Q),
}


def settings_of(name: str, kind: str, given: dict[str, Any]) -> dict[str, float]:
    """The settings of a distribution, checked and filled up with its defaults.

    Args:
        name: The parameter, for messages.
        kind: A key of `DISTRIBUTIONS`.
        given: What the file says, `distribution` left out.

    Raises:
        ConfigError: With the parameter, the value and the rule.
    """
    known = DISTRIBUTIONS[kind].settings
    who = f"The distribution {kind!r} of {name!r}"
    for key in given:
        if key not in known:
            raise ConfigError(f"{who} takes {', '.join(known)}; it was given {key!r} too.")
    missing = [key for key, default in known.items() if default is None and key not in given]
    if missing:
        raise ConfigError(f"{who} needs {' and '.join(f'`{key}`' for key in missing)}.")
    found = {key: given.get(key, default) for key, default in known.items()}
    for key, value in found.items():
        number = value if type(value) in (int, float) else math.nan
        if number is None or not math.isfinite(number):
            raise ConfigError(f"{who}: {key} must be a finite number, got {value!r}.")
    settings = {key: value for key, value in found.items() if value is not None}
    for key in ("q", "a", "b"):
        if key in settings and not settings[key] > 0:
            raise ConfigError(f"{who}: {key} must be positive, got {settings[key]}.")
    if settings.get("sigma", 0.0) < 0:
        raise ConfigError(f"{who}: sigma must not be negative, got {settings['sigma']}.")
    if "min" in settings:
        _check_bounds(who, kind, settings)
    return settings


def _check_bounds(who: str, kind: str, settings: dict[str, float]) -> None:
    low, high = settings["min"], settings["max"]
    if low > high:
        raise ConfigError(f"{who}: min must not exceed max, got {low} and {high}.")
    if DISTRIBUTIONS[kind].positive and not low > 0:
        raise ConfigError(
            f"{who} takes logarithms, so 0 < min must hold; got {low}. Give a small positive min, "
            f"or use uniform."
        )
    if kind == "int_uniform" and not (float(low).is_integer() and float(high).is_integer()):
        raise ConfigError(f"{who}: min and max must be whole numbers, got {low} and {high}.")
    if "log_uniform" in kind and "values" not in kind and max(abs(low), abs(high)) > LARGEST:
        raise ConfigError(
            f"{who}: min and max are exponents of e, and {low}, {high} leave the range of numbers. "
            f"For bounds of the value itself use log_uniform_values."
        )

"""The points of a sweep: every combination of a grid, or random draws."""

import difflib
import itertools
import math
import random
from collections.abc import Callable
from typing import Any

from gflow.cli.sweep.distributions import DISTRIBUTIONS, settings_of
from gflow.errors import ConfigError

Point = dict[str, Any]
"""Values by name; names of nested parameters are joined by points."""

MOST_RUNS = 10_000
"""A sweep of more runs is taken for a mistake."""

ABOUT_VALUES = ("value", "values", "probabilities", "distribution", "parameters")
SETTINGS = sorted({s for d in DISTRIBUTIONS.values() for s in d.settings})


def sweep_points(spec: dict[str, Any]) -> list[Point]:
    """The points of a sweep, in a fixed order.

    Raises:
        ConfigError: For a method, a distribution or a value that is not supported.
    """
    method = spec.get("method", "grid")
    if method not in ("grid", "random"):
        raise ConfigError(
            f"The sweep method {method!r} needs W&B's server; here there are `grid` and `random`."
        )
    parameters = _leaves(spec.get("parameters"))
    cap = spec.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
        raise ConfigError(f"run_cap must be a whole number of runs, at least 1, got {cap!r}.")
    if cap is not None and cap > MOST_RUNS:
        raise ConfigError(f"run_cap must be at most {MOST_RUNS} runs, got {cap}.")
    if method == "grid":
        return _grid(parameters, cap)
    if cap is None:
        raise ConfigError("A random sweep needs `run_cap`, the number of runs.")
    seed = spec.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigError(f"The sweep's `seed` must be a whole number, got {seed!r}.")
    draws = {name: _drawer(name, p) for name, p in parameters.items()}
    dice = random.Random(seed)
    return [{name: draw(dice) for name, draw in draws.items()} for _ in range(cap)]


def _leaves(parameters: Any, above: str = "") -> dict[str, dict[str, Any]]:
    """The parameters with their settings, nested ones under names joined by points."""
    if not isinstance(parameters, dict) or not parameters:
        where = f"`{above[:-1]}.parameters`" if above else "`parameters`"
        raise ConfigError(
            f"The sweep's {where} must name at least one parameter, as in `lr: {{values: [0.01, "
            f"0.001]}}`, got {parameters!r}."
        )
    found: dict[str, dict[str, Any]] = {}
    for key, p in parameters.items():
        name = f"{above}{key}"
        if not isinstance(p, dict):
            raise ConfigError(
                f"The sweep's parameter {name!r} must say `value`, `values` or a distribution, as "
                f"in `{name}: {{value: {p}}}`, got {p!r}."
            )
        for word in p:
            if word not in ABOUT_VALUES and word not in SETTINGS:
                close = difflib.get_close_matches(str(word), [*ABOUT_VALUES, *SETTINGS], n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise ConfigError(
                    f"The sweep's parameter {name!r} has the unknown key {word!r}.{hint}"
                )
        if "parameters" in p:
            _alone(name, p, "parameters")
            found |= _leaves(p["parameters"], f"{name}.")
        else:
            _check_values(name, p)
            found[name] = p
    return found


def _alone(name: str, p: dict[str, Any], key: str, *beside: str) -> None:
    others = [word for word in p if word != key and word not in beside]
    if others:
        raise ConfigError(
            f"The sweep's parameter {name!r} says `{key}`, and `{others[0]}` beside it: leave one "
            f"of the two out."
        )


def _check_values(name: str, p: dict[str, Any]) -> None:
    """`value` or `values`, said well, or neither."""
    fixed = p.get("distribution") in ("constant", "categorical", "categorical_w_probabilities")
    beside = ("distribution",) if fixed else ()
    if "value" in p:
        _alone(name, p, "value", *beside)
    elif "values" in p:
        _alone(name, p, "values", "probabilities", *beside)
        values = p["values"]
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"`values` of {name!r} must be a list with at least one entry, as in `values: "
                f"[{values if values else 1}]`, got {values!r}."
            )
        if "probabilities" in p:
            _check_probabilities(name, values, p["probabilities"])
    elif fixed:
        raise ConfigError(
            f"The distribution {p['distribution']!r} of {name!r} needs `value` or `values`."
        )


def _check_probabilities(name: str, values: list[Any], weights: Any) -> None:
    numbers = isinstance(weights, list) and all(
        isinstance(w, int | float) and math.isfinite(w) and w >= 0 for w in weights
    )
    if not numbers or len(weights) != len(values) or not math.isclose(sum(weights), 1.0):
        raise ConfigError(
            f"`probabilities` of {name!r} must hold {len(values)} numbers, none negative, that add "
            f"up to 1, one for each of `values`; got {weights!r}."
        )


def _grid(parameters: dict[str, dict[str, Any]], cap: int | None) -> list[Point]:
    axes = []
    for name, p in parameters.items():
        if "values" not in p and "value" not in p:
            raise ConfigError(
                f"The grid sweep needs `value` or `values` for {name!r}. To draw it from a "
                f"distribution, set `method: random`."
            )
        if "probabilities" in p:
            raise ConfigError(
                f"A grid runs every value once, so `probabilities` of {name!r} say nothing. Leave "
                f"them out, or set `method: random`."
            )
        values = p["values"] if "values" in p else [p["value"]]
        twice = [v for n, v in enumerate(values) if any(_same(v, w) for w in values[:n])]
        if twice:
            raise ConfigError(f"`values` of {name!r} holds {twice[0]!r} twice.")
        axes.append([(name, v) for v in values])
    count = math.prod(len(axis) for axis in axes)
    if cap is None and count > MOST_RUNS:
        raise ConfigError(
            f"This grid has {count:,} points; at most {MOST_RUNS:,} are run. Give fewer values, "
            f"set `run_cap`, or draw at random (`method: random`)."
        )
    return [dict(point) for point in itertools.islice(itertools.product(*axes), cap)]


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _drawer(name: str, p: dict[str, Any]) -> Callable[[random.Random], Any]:
    """What draws one value of a parameter."""
    if "value" in p:
        return lambda dice: p["value"]
    if "values" in p:
        return lambda dice: dice.choices(p["values"], p.get("probabilities"))[0]
    given = {key: value for key, value in p.items() if key != "distribution"}
    kind = p.get("distribution")
    if kind is None and {"min", "max"} <= given.keys():
        whole = all(isinstance(given[key], int) for key in ("min", "max"))
        kind = "int_uniform" if whole else "uniform"
    if kind is None and {"mu", "sigma"} <= given.keys():
        kind = "normal"
    if kind is None:
        raise ConfigError(
            f"The sweep's parameter {name!r} needs `value`, `values`, `min` and `max`, or a "
            f"`distribution`; it says {', '.join(p) or 'nothing'}."
        )
    if kind not in DISTRIBUTIONS:
        close = difflib.get_close_matches(str(kind), DISTRIBUTIONS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"The parameter {name!r} has the unknown distribution {kind!r}.{hint} Known: "
            f"{', '.join(DISTRIBUTIONS)}."
        )
    settings, draw = settings_of(name, kind, given), DISTRIBUTIONS[kind].draw
    return lambda dice: draw(dice, settings)

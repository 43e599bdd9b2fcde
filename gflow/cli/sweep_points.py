"""The points of a sweep: every combination of a grid, or random draws."""

import itertools
import math
import random
from typing import Any

from gflow.errors import ConfigError

Point = dict[str, Any]


def sweep_points(spec: dict[str, Any]) -> list[Point]:
    """The points of a sweep, in a fixed order.

    Raises:
        ConfigError: For a method or a distribution that is not supported.
    """
    parameters = spec.get("parameters") or {}
    for name, p in parameters.items():
        if not isinstance(p, dict):
            raise ConfigError(
                f"The sweep's parameter {name!r} must say `value`, `values` or a distribution, as "
                f"in `{name}: {{value: {p}}}`, got {p!r}."
            )
    method = spec.get("method", "grid")
    if method == "grid":
        axes = []
        for name, p in parameters.items():
            if "values" not in p and "value" not in p:
                raise ConfigError(f"The grid sweep needs `value` or `values` for {name!r}.")
            axes.append([(name, v) for v in p.get("values", [p.get("value")])])
        points = [dict(point) for point in itertools.product(*axes)]
        cap = spec.get("run_cap")
        return points[:cap] if cap else points
    if method == "random":
        if "run_cap" not in spec:
            raise ConfigError("A random sweep needs `run_cap`, the number of runs.")
        dice = random.Random(spec.get("seed", 0))
        return [
            {name: _draw(name, p, dice) for name, p in parameters.items()}
            for _ in range(spec["run_cap"])
        ]
    raise ConfigError(
        f"The sweep method {method!r} needs W&B's server; locally there are `grid` and `random`."
    )


def _draw(name: str, p: dict[str, Any], dice: random.Random) -> Any:
    if "value" in p:
        return p["value"]
    if "values" in p:
        return dice.choices(p["values"], p.get("probabilities"))[0]
    kind = p.get("distribution")
    if kind is None and "min" in p:
        whole = isinstance(p["min"], int) and isinstance(p.get("max"), int)
        kind = "int_uniform" if whole else "uniform"
    if "uniform" in str(kind) and not {"min", "max"} <= p.keys():
        raise ConfigError(f"The distribution {kind!r} of {name!r} needs `min` and `max`.")
    match kind:
        case "uniform":
            return dice.uniform(p["min"], p["max"])
        case "int_uniform":
            return dice.randint(p["min"], p["max"])
        case "q_uniform":
            q = p.get("q", 1)
            return round(dice.uniform(p["min"], p["max"]) / q) * q
        case "log_uniform_values":
            return math.exp(dice.uniform(math.log(p["min"]), math.log(p["max"])))
        case "q_log_uniform_values":
            q = p.get("q", 1)
            return round(math.exp(dice.uniform(math.log(p["min"]), math.log(p["max"]))) / q) * q
        case "log_uniform":
            return math.exp(dice.uniform(p["min"], p["max"]))
        case "normal":
            return dice.gauss(p.get("mu", 0), p.get("sigma", 1))
    raise ConfigError(f"The parameter {name!r} has the unknown distribution {kind!r}.")

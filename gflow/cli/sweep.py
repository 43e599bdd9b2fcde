"""`gflow sweep`: a W&B sweep file run on this machine, without a server or an account.

The format is W&B's: `command` or `program`, `method` (grid or random), `metric`, `parameters` with
`value`, `values`, or a distribution, and `run_cap`. Each run is a `gflow train` in a process of its
own, so that one failure loses one run, and finished runs are not repeated when a sweep goes on.
"""

import itertools
import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from gflow.errors import ConfigError

Point = dict[str, Any]


def run_sweep(file: Path, out: Path | None = None) -> int:
    """Run every point of a sweep that has no summary yet; leave a table of all.

    Args:
        file: The sweep's YAML.
        out: Folder of the runs; by default runs/sweep-NAME.

    Raises:
        ConfigError: If the file is missing or asks for what cannot be done locally.
    """
    if not file.exists():
        raise ConfigError(f"There is no sweep file {file}.")
    spec = yaml.safe_load(file.read_text())
    words = _command(spec, file)
    points = sweep_points(spec)
    out = Path("runs") / f"sweep-{file.stem}" if out is None else out
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for number, point in enumerate(points):
        folder = out / f"{number:03d}"
        label = " ".join(f"{k}={v}" for k, v in point.items())
        if (folder / "summary.json").exists():
            print(f"[{number + 1}/{len(points)}] {label}: done before")
            continue
        print(f"[{number + 1}/{len(points)}] {label}", flush=True)
        flags = [f"--{key}={value}" for key, value in point.items()]
        if (folder / "checkpoints" / "last.pt").exists():
            line = [sys.executable, "-m", "gflow", "resume", str(folder)]
        else:
            line = [sys.executable, "-m", "gflow", *words, *flags]
            line += [f"--out={folder}", "--overwrite=True", "--quiet=True"]
        failed += subprocess.run(line, check=False).returncode != 0
    _table(out, points, spec.get("metric", {}))
    return 1 if failed else 0


def sweep_points(spec: dict[str, Any]) -> list[Point]:
    """The points of a sweep, in a fixed order.

    Raises:
        ConfigError: For a method or a distribution that is not supported.
    """
    parameters = spec.get("parameters") or {}
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
        return dice.choice(p["values"])
    kind = p.get("distribution")
    if kind is None and "min" in p:
        whole = isinstance(p["min"], int) and isinstance(p["max"], int)
        kind = "int_uniform" if whole else "uniform"
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
        case "log_uniform":
            return math.exp(dice.uniform(p["min"], p["max"]))
        case "normal":
            return dice.gauss(p.get("mu", 0), p.get("sigma", 1))
    raise ConfigError(f"The parameter {name!r} has the unknown distribution {kind!r}.")


def _command(spec: dict[str, Any], file: Path) -> list[str]:
    """The words after `gflow` that start a run, from `command` or `program`."""
    command = spec.get("command")
    if command:
        words = [str(w) for w in command if not str(w).startswith("${")]
        if words and Path(words[0]).name == "gflow":
            words = words[1:]
        if words[:2] == ["-m", "gflow"]:
            words = words[2:]
        if words and words[0] == "train":
            return words
    raise ConfigError(
        f"{file} must start `gflow train ENV`: give `command: [gflow, train, hypergrid, "
        f'"${{args}}"]`, got {command!r}.'
    )


def _table(out: Path, points: list[Point], metric: dict[str, Any]) -> None:
    """Write results.csv and print the runs, best first; draw the metric if matplotlib is there."""
    name = str(metric.get("name", "metrics.loss")).removeprefix("metrics.")
    rows = []
    for number, point in enumerate(points):
        file = out / f"{number:03d}" / "summary.json"
        summary = json.loads(file.read_text()) if file.exists() else None
        value = None if summary is None else summary["metrics"].get(name)
        seconds = None if summary is None else summary["timing"]["seconds"]
        rows.append({"run": f"{number:03d}", **point, name: value, "seconds": seconds})
    last = math.inf
    sign = -1 if metric.get("goal") == "maximize" else 1
    rows.sort(key=lambda row: last if row[name] is None else sign * row[name])
    columns = list(rows[0]) if rows else []
    lines = [",".join(columns)] + [",".join(str(row[c]) for c in columns) for row in rows]
    (out / "results.csv").write_text("\n".join(lines) + "\n")
    widths = {c: max(len(c), *(len(_text(row[c])) for row in rows)) for c in columns}
    print("  ".join(c.ljust(widths[c]) for c in columns))
    for row in rows:
        print("  ".join(_text(row[c]).ljust(widths[c]) for c in columns))
    print(f"table: {out / 'results.csv'}")
    from gflow.cli.pictures import bars
    from gflow.errors import MissingExtraError

    try:
        done = [row for row in rows if row[name] is not None]
        labels = [" ".join(str(row[k]) for k in points[0]) for row in done]
        bars(labels, [row[name] for row in done], name, out / "results.png")
        print(f"picture: {out / 'results.png'}")
    except MissingExtraError as e:
        print(f"No picture: {e}")


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

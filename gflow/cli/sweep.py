"""`gflow sweep`: a W&B sweep file run on this machine, without a server or an account.

The format is W&B's: `command`, `method` (grid or random), `metric`, `parameters` with `value`,
`values`, or a distribution, and `run_cap`. Each run is a `gflow train` in a process of its own, so
that one failure loses one run. A sweep may be stopped or killed at any moment; started again, it
resumes the run that was under way and does not repeat those that are finished.
"""

import difflib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from gflow.cli.sweep_points import Point, sweep_points
from gflow.cli.sweep_table import Comparison
from gflow.errors import ConfigError, MissingExtraError

PLAN = "sweep.json"
"""What a sweep's folder holds beside its runs: the command and the points."""


def run_sweep(file: Path, out: Path | None = None) -> int:
    """Run every point of a sweep that has no summary yet; leave one table and one picture of all.

    Args:
        file: The sweep's YAML.
        out: Folder of the runs; by default runs/sweep-NAME.

    Returns:
        0, 1 if a run failed, or 130 if it was interrupted.

    Raises:
        ConfigError: If the file is missing or asks for what cannot be done locally, if the folder
            holds another sweep, or if runs do not report the metric.
    """
    if not file.exists():
        raise ConfigError(f"There is no sweep file {file}.")
    spec = yaml.safe_load(file.read_text())
    if not isinstance(spec, dict):
        raise ConfigError(f"{file} is no sweep: it holds {type(spec).__name__}, not sections.")
    words = _command(spec, file)
    points = sweep_points(spec)
    goal = spec.get("metric") or {}
    metric = str(goal.get("name", "loss")).removeprefix("metrics.")
    out = Path("runs") / f"sweep-{file.stem}" if out is None else out
    _plan(out, words, points)
    failed = []
    for number, point in enumerate(points):
        folder = out / f"{number:03d}"
        label = f"[{number + 1}/{len(points)}] " + _label(point, points)
        if (folder / "summary.json").exists():
            print(f"{label}: done before, {metric} {_figure(folder, metric):.4g}")
            continue
        resumed = (folder / "checkpoints" / "last.pt").exists()
        print(f"{label}: resumed ... " if resumed else f"{label} ... ", end="", flush=True)
        start = ["train", *words[1:], *(f"--{key}={value}" for key, value in point.items())]
        start += [f"--out={folder}", "--overwrite=True", "--quiet=True"]
        code = _run(["resume", str(folder)] if resumed else start)
        if code == 130:
            print(f"\nStopped. Go on with: gflow sweep {file}{_where(out, file)}")
            return 130
        if code:
            print(f"failed (exit code {code})", flush=True)
            failed.append(folder.name)
        else:
            print(f"{metric} {_figure(folder, metric):.4g}", flush=True)
    comparison = Comparison.read(out, points, metric, goal.get("goal") == "maximize")
    comparison.write(out / "results.csv")
    print(comparison.show())
    print(f"table: {out / 'results.csv'}")
    try:
        if comparison.values:
            comparison.draw(out / "results.png", spec.get("method") == "random")
            print(f"picture: {out / 'results.png'}")
    except MissingExtraError as e:
        print(f"No picture: {e}")
    if failed:
        print(f"failed: {', '.join(failed)}; the reasons are above", file=sys.stderr)
    return 1 if failed else 0


def _plan(out: Path, words: list[str], points: list[Point]) -> None:
    """Note what the folder is for; refuse a folder whose runs are for something else."""
    plan = {"command": words, "points": points}
    plan = json.loads(json.dumps(plan, default=str))
    file = out / PLAN
    if file.exists():
        old = json.loads(file.read_text())
        pairs = zip(old["points"], plan["points"], strict=False)
        differ = [n for n, (was, now) in enumerate(pairs) if was != now]
        if old["command"] != plan["command"] or differ or len(old["points"]) > len(points):
            what = "the command differs" if not differ else f"run {differ[0]:03d} differs"
            if old["command"] == plan["command"] and not differ:
                what = f"it has {len(old['points'])} runs and this one {len(points)}"
            raise ConfigError(
                f"{out} holds another sweep: {what}. Choose another folder with --out, or remove "
                f"that one."
            )
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(plan, indent=1) + "\n")
        partial.replace(file)
    except OSError as e:
        raise ConfigError(
            f"The output folder {out} cannot be written: {e.strerror or e}. Choose another with "
            f"--out DIR."
        ) from e


def _run(words: list[str]) -> int:
    """One command of gflow on a leash; 130 if it or the sweep was interrupted.

    An interrupt is handed on once, and the run saves its state before it ends.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "gflow.cli.leash", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={"WANDB_SILENT": "true", **os.environ},
        start_new_session=True,
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            return 130


def _label(point: Point, points: list[Point]) -> str:
    """What tells a point from the others."""
    differ = {k: v for k, v in point.items() if any(other.get(k) != v for other in points)}
    return " ".join(
        f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in differ.items()
    )


def _figure(folder: Path, name: str) -> float:
    """The metric of a finished run.

    Raises:
        ConfigError: If it does not report that.
    """
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    if name not in metrics:
        close = difflib.get_close_matches(name, metrics, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"The sweep compares {name!r}, which the run {folder} does not report.{hint} Set "
            f"metric.name to one of {', '.join(metrics)}; finished runs are kept."
        )
    return float(metrics[name])


def _where(out: Path, file: Path) -> str:
    return "" if out == Path("runs") / f"sweep-{file.stem}" else f" --out {out}"


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

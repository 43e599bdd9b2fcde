"""Running the points of a sweep one after the other, and going on where one stopped.

The format is W&B's: `command` or `program`, `method` (grid or random), `metric`, `parameters`, and
`run_cap`. Each run is a process of its own, so that one failure loses one run. A sweep may be
stopped or killed at any moment; started again, it resumes the run that it had begun and does not
repeat those that are finished.
"""

import difflib
import json
import math
import sys
from pathlib import Path

from gflow.cli.sweep.command import Command
from gflow.cli.sweep.file import SweepFile
from gflow.cli.sweep.launch import run_gflow, run_script
from gflow.cli.sweep.points import Point
from gflow.cli.sweep.table import Comparison
from gflow.errors import ConfigError, MissingExtraError
from gflow.report import write_report

PLAN = "sweep.json"
"""What a sweep's folder holds beside its runs: the command and the points."""


def run_sweep(file: Path, out: Path | None = None, most: int = 0) -> int:
    """Run every point of a sweep that has no summary yet; leave a table, a picture and a page.

    Args:
        file: The sweep's YAML.
        out: Folder of the runs; by default runs/sweep-NAME.
        most: Runs to train at once in this process, where they go together; 0 for one process each.

    Returns:
        0, 1 if a run failed, or 130 if it was interrupted.

    Raises:
        ConfigError: If the file is missing or asks for what cannot be done locally, if the folder
            holds another sweep, or if runs do not report the metric.
    """
    sweep = SweepFile.read(file)
    points, metric = sweep.points, sweep.metric
    out = Path("runs") / f"sweep-{file.stem}" if out is None else out
    if most:
        _check_stackable(sweep.command)
    _plan(out, sweep.command.words, points)
    failed, together = [], set[int]()

    def label_of(number: int) -> str:
        return f"[{number + 1}/{len(points)}] " + _label(points[number], points)

    if most:
        from gflow.cli.sweep.stacked import (
            run_stacked,
        )  # imports torch, as processes do by themselves

        together, code = run_stacked(sweep.command, points, out, most, label_of)
        if code == 130:
            again = f"{_where(out, file)} --stacked"
            print(f"\nStopped. Go on with: gflow sweep {file}{again}")
            return 130
    for number, point in enumerate(points):
        folder = out / f"{number:03d}"
        label = label_of(number)
        if (folder / "summary.json").exists():
            when = "stacked" if number in together else "done before"
            print(f"{label}: {when}, {metric} {_metric_of(folder, metric):.4g}")
            continue
        code = _run(sweep.command, point, folder, label)
        if code == 130:
            print(f"\nStopped. Go on with: gflow sweep {file}{_where(out, file)}")
            return 130
        if code:
            print(f"failed (exit code {code})", flush=True)
            failed.append(folder.name)
        else:
            print(f"{metric} {_metric_of(folder, metric):.4g}", flush=True)
    comparison = Comparison.read(out, points, metric, sweep.maximize)
    comparison.write(out / "results.csv")
    print(comparison.show())
    print(f"table: {out / 'results.csv'}")
    try:
        if comparison.values:
            comparison.plot(out / "results.png", sweep.drawn)
            print(f"picture: {out / 'results.png'}")
    except MissingExtraError as e:
        print(f"No picture: {e}")
    if len(list(out.glob("*/config.yaml"))) > 1:  # programs of one's own may leave none
        print(f"page: {write_report([out])}")
    if failed:
        print(f"failed: {', '.join(failed)}; the reasons are above", file=sys.stderr)
    return 1 if failed else 0


def _check_stackable(command: Command) -> None:
    """Refuse to train in this process what is no `gflow train`."""
    if command.script:
        raise ConfigError(
            "--stacked trains runs of `gflow train` together, and this sweep runs a script of your "
            "own, which trains as it likes. Leave --stacked out."
        )


def _run(command: Command, point: Point, folder: Path, label: str) -> int:
    """One run, begun or resumed; its exit code."""
    if not command.script and (folder / "checkpoints" / "last.pt").exists():
        print(f"{label}: resumed ... ", end="", flush=True)
        return run_gflow(["resume", str(folder)])
    print(f"{label} ... ", end="", flush=True)
    words = command.line(point, folder)
    return run_script(words, folder) if command.script else run_gflow(words)


def _plan(out: Path, words: list[str], points: list[Point]) -> None:
    """Note what the folder is for; refuse a folder whose runs are for something else."""
    plan = {"command": words, "points": points}
    plan = json.loads(json.dumps(plan, default=str))
    file = out / PLAN
    if file.exists():
        old = _read_plan(file)
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


def _read_plan(file: Path) -> dict[str, list[object]]:
    try:
        plan = json.loads(file.read_text())
        return {"command": list(plan["command"]), "points": list(plan["points"])}
    except (ValueError, TypeError, KeyError) as e:
        raise ConfigError(
            f"{file} is damaged, so nobody knows which sweep its runs belong to. Choose another "
            f"folder with --out, or remove that one."
        ) from e


def _label(point: Point, points: list[Point]) -> str:
    """What tells a point from the others."""
    differ = {k: v for k, v in point.items() if any(other.get(k) != v for other in points)}
    return " ".join(
        f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in differ.items()
    )


def _metric_of(folder: Path, name: str) -> float:
    """The metric of a finished run; NaN if the run says that it is no number.

    Raises:
        ConfigError: If it does not report that.
    """
    file = folder / "summary.json"
    try:
        metrics = json.loads(file.read_text())["metrics"]
        found = metrics.keys()
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise ConfigError(
            f'{file} holds no `{{"metrics": {{...}}}}`. Remove the folder {folder} and start the '
            f"sweep again: that run is repeated."
        ) from e
    if name not in found:
        close = difflib.get_close_matches(name, metrics, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"The sweep compares {name!r}, which the run {folder} does not report.{hint} Set "
            f"metric.name to one of {', '.join(metrics)}; finished runs are kept."
        )
    try:
        return math.nan if metrics[name] is None else float(metrics[name])
    except (TypeError, ValueError) as e:
        raise ConfigError(f"{file}: {name!r} is no number: {metrics[name]!r}.") from e


def _where(out: Path, file: Path) -> str:
    return "" if out == Path("runs") / f"sweep-{file.stem}" else f" --out {out}"

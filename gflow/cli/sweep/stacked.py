"""`gflow sweep --stacked`: points that go together are trained in this process at once."""

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gflow.cli.sweep.command import Command
from gflow.cli.sweep.points import Point
from gflow.cli.train_flags import parse, task_of
from gflow.errors import GFlowError
from gflow.runs.run import Run
from gflow.stacked.alike import FREE
from gflow.stacked.commit import finish_saving
from gflow.stacked.runs import Grouped, StackedRuns, grouped, stacked
from gflow.tasks.options import RunConfig

Label = Callable[[int], str]
"""Number of a point to what tells it from the others."""


def run_stacked(
    command: Command, points: Sequence[Point], out: Path, most: int, label: Label
) -> tuple[set[int], int]:
    """Train what goes together, of the points that have no summary yet.

    What does not is left for processes of its own, with the reason.

    Args:
        command: What starts a run.
        points: All points.
        out: Folder of the runs.
        most: Runs of a stack.
        label: Says which point is which.

    Returns:
        The numbers of the points that are finished now, and 0, or 130 if it was interrupted.
    """
    finish_saving(out)
    configs: dict[int, RunConfig] = {}
    for number, point in enumerate(points):
        folder = out / f"{number:03d}"
        if not (folder / "summary.json").exists():
            configs[number] = _config(command, point, folder)
    done: set[int] = set()
    for group in _candidates(configs):
        if len(group) < 2:
            _say(label(group[0]), "no other run has the same shapes and settings")
            continue
        finished, interrupted = _train_group(group, configs, out, most, label)
        done |= finished
        if interrupted:
            return done, 130
    return done, 0


def _train_group(
    group: list[int], configs: dict[int, RunConfig], out: Path, most: int, label: Label
) -> tuple[set[int], bool]:
    """Train points of one kind; those that are finished, and whether it was interrupted."""
    runs: dict[int, Run] = {}
    try:
        for number in group:
            folder = out / f"{number:03d}"
            try:
                runs[number] = _opened(configs[number], folder)
            except GFlowError:  # said by its own process
                continue
        numbers = {run.folder: number for number, run in runs.items()}
        parts = grouped(list(runs.values()), most)
        for run, reason in parts.alone:
            _say(label(numbers[run.folder]), reason)
            run.close()
        return _train_stacks(parts, numbers, label)
    finally:
        for run in runs.values():
            run.close()


def _train_stacks(parts: Grouped, numbers: dict[Path, int], label: Label) -> tuple[set[int], bool]:
    done: set[int] = set()
    for runs in parts.stacks:
        names = f"{runs[0].folder.name} ... {runs[-1].folder.name}"
        stack = stacked(runs)
        if isinstance(stack, str):
            for run in runs:
                _say(label(numbers[run.folder]), stack)
                run.close()
            continue
        at = f" from step {stack.stack.step}" if stack.stack.step else ""
        print(f"stacked: {len(runs)} runs in one process{at} ({names})", flush=True)
        for note in notes(stack):
            print(f"  {note}", flush=True)
        try:
            whole = stack.train()
        except KeyboardInterrupt:
            return done, True
        except Exception as error:
            what = (str(error).splitlines() or [""])[0]
            print(
                f"stacked: {names} go on by themselves from step {stack.stack.step}, as a step of "
                f"the stack failed ({type(error).__name__}: {what})",
                file=sys.stderr,
                flush=True,
            )
            for run in runs:
                run.close()
            continue
        if not whole:
            return done, True
        done |= {numbers[run.folder] for run in runs}
        for run in runs:
            run.close()
    return done, False


def notes(stack: StackedRuns) -> list[str]:
    """What about a stack is slower than it might be."""
    found = []
    if not stack.stack.walks_together:
        kind = type(stack.runs[0].context.trainer.behaviour).__name__
        found.append(f"{kind} collects batches run by run; only what follows is stacked")
    if stack.stack.objective.one_by_one:
        name = stack.runs[0].context.trainer.objective.name
        found.append(f"{name} is asked run by run, as its formula looks at its numbers")
    return found


def _config(command: Command, point: Point, folder: Path) -> RunConfig:
    """The settings of a run, as its own process would read them."""
    words = command.line(point, folder)
    config = parse(task_of(words[1], words[2:]), words[2:], words[1])
    out = str(Path(os.path.expandvars(config.run.out)).expanduser())
    return dataclasses.replace(config, run=dataclasses.replace(config.run, out=out))


def _candidates(configs: dict[int, RunConfig]) -> list[list[int]]:
    """Points by all that runs of a stack must agree in; real numbers of tasks may yet differ."""
    found: dict[str, list[int]] = {}
    for number, config in configs.items():
        found.setdefault(repr(_kind(config)), []).append(number)
    return list(found.values())


def _kind(config: RunConfig) -> dict[str, Any]:
    held = config.to_dict()
    train = {k: v for k, v in held["train"].items() if k not in FREE}
    task = {k: type(v) if isinstance(v, float) else v for k, v in held["task"].items()}
    run = {k: v for k, v in held["run"].items() if k != "out"}
    return {**held, "train": train, "task": task, "run": run}


def _opened(config: RunConfig, folder: Path) -> Run:
    """A run, begun or resumed."""
    if (folder / "checkpoints" / "last.pt").exists():
        return Run.resume(folder)
    return Run.create(config)


def _say(which: str, reason: str) -> None:
    print(f"{which}: by itself, as {reason}", flush=True)

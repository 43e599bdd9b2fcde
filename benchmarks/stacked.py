"""Many runs at once: a training step of K stacked runs against K steps, and a whole sweep.

Run:   python benchmarks/stacked.py [--compiled]                         steps, interleaved
       python benchmarks/stacked.py --sweep [--seeds 32] [--ways WAY ...]  `gflow sweep`
Takes: two minutes on one core, and the time to compile; a sweep some minutes each way.
Shows: CPU time per step and run by itself, in a stack, and compiled by itself, with ratios within a
       round; CPU and wall time of a sweep stacked, in processes one after the other, and in
       processes whose steps are compiled.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from gflow.runs.build import build_context
from gflow.runs.trained import settings_for
from gflow.stacked import StackedTrainer
from gflow.training.trainer import Trainer


@dataclass(frozen=True)
class Case:
    """Runs that differ in the seed.

    Attributes:
        task: The task.
        settings: Its flags.
        runs: K.
        steps: In a block.
    """

    task: str
    settings: dict[str, Any]
    runs: int
    steps: int


GRID = {"side": 8, "batch_size": 16}
CASES = {
    "8x8, width 256, K = 8": Case("hypergrid", GRID, 8, 20),
    "8x8, width 256, K = 32": Case("hypergrid", GRID, 32, 10),
    "8x8, width 64, K = 8": Case("hypergrid", {**GRID, "width": 64}, 8, 20),
    "8x8, width 64, K = 32": Case("hypergrid", {**GRID, "width": 64}, 32, 10),
    "8-mers, width 256, K = 8": Case("tfbind", {"batch_size": 16, "width": 256}, 8, 10),
    "8-mers, width 64, K = 16": Case("tfbind", {"batch_size": 16, "width": 64}, 16, 10),
}


WAYS: dict[str, tuple[list[str], list[str]]] = {
    "stacked": (["--stacked"], []),
    "processes": ([], []),
    "compiled": ([], ["--compile"]),
}
"""Flags of the sweep, and of its runs."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--compiled", action="store_true", help="compile a run by itself too")
    parser.add_argument("--sweep", action="store_true", help="whole sweeps of 8x8, batch 16")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.sweep:
        sweeps(args.seeds, args.steps, args.ways)
        return
    for name in args.only:
        print(f"{name:>26}: {race(CASES[name], args.rounds, args.compiled)}", flush=True)


def race(case: Case, rounds: int, compiled: bool) -> str:
    """CPU time per run of a step by itself, in a stack and compiled, as text."""
    alone = trainer_of(case, 0)
    stack = StackedTrainer([trainer_of(case, seed) for seed in range(case.runs)], same=True)
    stack.check()
    steps: dict[str, tuple[Callable[[], Any], int]] = {
        "alone": (alone.train_step, 1),
        "stacked": (stack.train_step, case.runs),
    }
    if compiled:
        steps["compiled"] = (trainer_of(case, 0, compile=True).train_step, 1)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):  # the first to warm up
        for name, (step, runs) in steps.items():
            began = time.process_time()
            for _ in range(case.steps):
                step()
            if number:
                taken[name].append((time.process_time() - began) / case.steps / runs)
    found = []
    for name, times in taken.items():
        ratio = statistics.median(x / y for x, y in zip(taken["alone"], times, strict=True))
        more = "" if name == "alone" else f" ({ratio:.1f} times as many steps)"
        found.append(f"{name} {statistics.median(times) * 1e3:.2f} ms{more}")
    return "  ".join(found)


def trainer_of(case: Case, seed: int, **more: Any) -> Trainer:
    """A run as `gflow train` has it, what it remembers included."""
    config = settings_for(case.task, "tb", None, {**case.settings, **more, "seed": seed})
    torch.manual_seed(seed)
    return build_context(config).trainer


def sweeps(seeds: int, steps: int, ways: list[str]) -> None:
    """Time `gflow sweep` on 8x8 with batch 16, each way once."""
    print(f"{seeds} seeds, {steps} steps each, batch 16, one thread")
    for name in ways:
        flags, more = WAYS[name]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "seeds.yaml"
            file.write_text(yaml.safe_dump(sweep_file(seeds, steps, more)))
            line = [sys.executable, "-m", "gflow", "sweep", str(file), "--out", f"{folder}/out"]
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            subprocess.run(
                [*line, *flags],
                check=True,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
            )
            wall = time.monotonic() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{name:>20}: CPU {cpu:.0f} s  wall {wall:.0f} s", flush=True)


def sweep_file(seeds: int, steps: int, flags: list[str]) -> dict[str, Any]:
    """The sweep; metrics are measured at the ends and half-way."""
    command = ["gflow", "train", "hypergrid", "--side=8", "--batch-size=16", f"--steps={steps}"]
    command += [f"--eval-every={max(1, steps // 2)}", f"--checkpoint-every={max(1, steps // 2)}"]
    return {
        "metric": {"name": "tv", "goal": "minimize"},
        "command": [*command, *flags, "${args}"],
        "parameters": {"seed": {"values": list(range(seeds))}},
    }


if __name__ == "__main__":
    main()

"""Many runs at once: a training step of K stacked runs against K steps, and a whole sweep.

Run:   python benchmarks/stacked.py [--rounds 7]                steps, interleaved
       python benchmarks/stacked.py --sweep [--seeds 32]        `gflow sweep`, each way once
Takes: two minutes on one core; the sweep about five.
Shows: CPU time per step and run by itself and in a stack, with the ratio within a round; CPU and
       wall time of a sweep stacked, in processes one after the other, and in compiled ones where
       this version compiles steps.
"""

import argparse
import dataclasses
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from gflow.runs.build import build_context
from gflow.runs.trained import settings_for
from gflow.stacked import StackedTrainer
from gflow.training.config import TrainConfig
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--sweep", action="store_true", help="whole sweeps of 8x8, batch 16")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.sweep:
        sweeps(args.seeds, args.steps)
        return
    for name in args.only:
        print(f"{name:>26}: {race(CASES[name], args.rounds)}", flush=True)


def race(case: Case, rounds: int) -> str:
    """CPU time of a step by itself and in a stack, as text."""
    alone = [trainer_of(case, seed) for seed in range(2)]
    together = [trainer_of(case, seed) for seed in range(case.runs)]
    stack = StackedTrainer(together, same=True)
    stack.check()
    taken: dict[str, list[float]] = {"alone": [], "stacked": []}
    for number in range(rounds + 1):  # the first to warm up
        one = alone[number % len(alone)]
        began = time.process_time()
        for _ in range(case.steps):
            one.train_step()
        between = time.process_time()
        for _ in range(case.steps):
            stack.train_step()
        ended = time.process_time()
        if number:
            taken["alone"].append((between - began) / case.steps)
            taken["stacked"].append((ended - between) / case.steps / case.runs)
    pairs = zip(taken["alone"], taken["stacked"], strict=True)
    ratio = statistics.median(x / y for x, y in pairs)
    each = "  ".join(f"{name} {statistics.median(t) * 1e3:.2f} ms" for name, t in taken.items())
    return f"{each}  per run and step; {ratio:.1f} times as many steps"


def trainer_of(case: Case, seed: int) -> Trainer:
    """A run as `gflow train` has it, what it remembers included."""
    config = settings_for(case.task, "tb", None, {**case.settings, "seed": seed})
    torch.manual_seed(seed)
    return build_context(config).trainer


def sweeps(seeds: int, steps: int) -> None:
    """Time `gflow sweep` on 8x8 with batch 16, each way once."""
    ways = {"stacked": (["--stacked"], []), "processes": ([], [])}
    if any(field.name == "compile" for field in dataclasses.fields(TrainConfig)):
        ways["processes, compiled"] = ([], ["--compile"])
    else:
        print("this version compiles no steps, so no sweep of compiled runs is timed")
    print(f"{seeds} seeds, {steps} steps each, batch 16, one thread")
    for name, (flags, more) in ways.items():
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

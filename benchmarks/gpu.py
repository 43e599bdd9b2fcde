"""What a training step costs on a GPU: eager, compiled, captured and stacked.

Run:   python benchmarks/gpu.py --out gpu.json
       python benchmarks/gpu.py --device cpu --tiny --out tiny.json    a dry run
Takes: at most --seconds (540); cases that the time does not suffice for are named in the file.
Shows: for each case and way the milliseconds of a step, the peak of memory, and how far the loss
       after some steps is from that of eager steps on the same batches; all of it in the file,
       which is written anew after each case.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gflow.errors import GFlowError
from gflow.objectives import OBJECTIVES
from gflow.stacked import StackedTrainer
from gflow.tasks.registry import task_class
from gflow.training.trainer import TrainConfig, Trainer

WAYS = ("eager", "compiled", "captured", "stacked")
COMPILE: dict[str, Any] = {"eager": False, "stacked": False, "compiled": True, "captured": "graph"}
PRECISIONS = {"fp32": "highest", "tf32": "high", "bf16": "medium"}
RUNS = 8
"""Runs that are stacked; what is reported is the time of a step of all of them."""
SAME_STEPS = 3
"""Steps after which losses are compared."""


@dataclass(frozen=True)
class Problem:
    """A task with its settings, the objective, and the batches that it is measured with."""

    task: str
    objective: str
    settings: dict[str, Any] = field(default_factory=dict)
    batches: tuple[int, ...] = (16, 512, 16_384)
    tiny: dict[str, Any] = field(default_factory=dict)


SMALL = {"width": 16, "depth": 1}
PROBLEMS = {
    "8x8": Problem("hypergrid", "tb", {"r0": 1e-3}, tiny={"side": 4, **SMALL}),
    "20^4": Problem(
        "hypergrid", "tb", {"dim": 4, "side": 20, "r0": 1e-3}, tiny={"dim": 2, **SMALL}
    ),
    "8-mers": Problem("tfbind", "tb", {"order": "left_to_right"}, tiny=SMALL),
    "bits": Problem("bits", "tb", {}, tiny={"bits": 16, "modes": 2, **SMALL}),
    "dags-5": Problem(
        "dags", "mdb", {"guide": "none"}, tiny={"variables": 3, "edges": 3.0, **SMALL}
    ),
    "dags-20": Problem(
        "dags", "mdb", {"variables": 20, "edges": 20.0, "guide": "none"}, (16, 512),
        {"variables": 4, "edges": 4.0, **SMALL},
    ),
    "diffusion": Problem(
        "diffusion", "tb", {"steps_per_trajectory": 100}, (16, 512, 4096),
        {"steps_per_trajectory": 5, "width": 16},
    ),
    "molecules": Problem(
        "molecules", "tb", {"workers": 0}, (16, 512), {"max_fragments": 3, **SMALL}
    ),
}  # fmt: skip


def main() -> None:
    """Measure case after case until all are done or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small problems, one small batch")
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--seconds", type=float, default=540.0)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no GPU here: --device cpu --tiny makes a dry run")
    began = time.monotonic()
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if args.device == "cuda" else platform.processor(),
        "torch": torch.__version__,
        "stacked_runs": RUNS,
        "cases": [],
    }
    for name, batch, precision in cases(args):
        case = {"problem": name, "batch": batch, "precision": precision}
        if time.monotonic() - began > args.seconds:
            case["skipped"] = "the time is up"
        else:
            torch.set_float32_matmul_precision(PRECISIONS[precision])
            case["ways"] = {way: told(way, name, batch, args) for way in args.ways}
        report["cases"].append(case)
        args.out.write_text(json.dumps(report, indent=1) + "\n")
        print(json.dumps(case), flush=True)


def cases(args: argparse.Namespace) -> Iterator[tuple[str, int, str]]:
    """Problem, batch and precision; all problems in the first precision come first."""
    for precision in args.precisions[:1] if args.device == "cpu" else args.precisions:
        for name in args.only:
            for batch in (4,) if args.tiny else PROBLEMS[name].batches:
                yield name, batch, precision


def told(way: str, name: str, batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """What a way of training takes, or why it cannot be."""
    try:
        return measured(way, PROBLEMS[name], batch, args)
    except GFlowError as error:
        return {"refused": str(error)}
    except (RuntimeError, ImportError) as error:  # out of memory, or a graph that torch gives up
        return {"failed": f"{type(error).__name__}: {error}"}


def measured(way: str, problem: Problem, batch: int, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, memory and losses of one way."""
    on_gpu = args.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    steps: Callable[[], Any]
    if way == "stacked":
        runs = [trainer_of(problem, batch, args, False, seed) for seed in range(RUNS)]
        steps = StackedTrainer(runs).train_step
    else:
        steps = trainer_of(problem, batch, args, COMPILE[way]).train_step
    steps()
    finish(on_gpu)
    found: dict[str, Any] = {"first_step_seconds": round(time.monotonic() - began, 2)}
    count, spent = 0, 0.0
    least = 0.05 if args.tiny else 1.0
    for _ in range(2 if args.tiny else 5):
        steps()
    finish(on_gpu)
    while spent < least and count < 1000:
        began = time.perf_counter()
        for _ in range(1 if args.tiny else 10):
            steps()
        finish(on_gpu)
        spent, count = spent + time.perf_counter() - began, count + (1 if args.tiny else 10)
    found["milliseconds"] = round(1e3 * spent / count, 4)
    if on_gpu:
        found["peak_megabytes"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    if way in ("compiled", "captured"):
        found["loss_difference"] = difference(problem, batch, args, COMPILE[way])
    return found


def finish(on_gpu: bool) -> None:
    """Wait for the device."""
    if on_gpu:
        torch.cuda.synchronize()


def trainer_of(
    problem: Problem, batch: int, args: argparse.Namespace, compile: Any, seed: int = 0
) -> Trainer:
    """A trainer of a problem, its records far apart so that nothing waits for the device."""
    settings = problem.settings | (problem.tiny if args.tiny else {})
    task = task_class(problem.task)(**settings)
    env = task.environment()
    objective = OBJECTIVES[problem.objective].build(env)
    torch.manual_seed(seed)
    policy = task.policy(env, objective.needs).to(args.device)
    config = TrainConfig(batch_size=batch, plan="static", compile=compile, seed=seed)
    return Trainer(env, policy, objective.to(args.device), config, record_every=1_000_000)


def difference(problem: Problem, batch: int, args: argparse.Namespace, compile: Any) -> float:
    """Largest relative difference of losses from eager steps on the same batches."""
    one = trainer_of(problem, batch, args, compile)
    seen: list[Any] = []
    losses: list[float] = []
    one.record_every = 1

    def look(trainer: Trainer, found: Any, record: dict[str, float]) -> None:
        seen.append(found)
        losses.append(record["loss"])

    one.callbacks = (look,)
    one.train(SAME_STEPS)
    two = trainer_of(problem, batch, args, False)
    worst = 0.0
    for found, loss in zip(seen, losses, strict=True):
        if not two.step:
            two.objective.begin(found)
        eager = float(two.descend(found)[0])
        two.step += 1
        worst = max(worst, abs(eager - loss) / max(abs(eager), 1e-6))
    return worst


if __name__ == "__main__":
    main()

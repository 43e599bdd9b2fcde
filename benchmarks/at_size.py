"""What a training step costs where graphs have many nodes and grids many coordinates.

Run:   python benchmarks/at_size.py dags [--variables 20 40 80] [--guide completion]
       python benchmarks/at_size.py grid [--dims 128 512] [--objectives tb mdb] [--chunk 4096]
Takes: a minute or two; each case in a process of its own, so that its memory is its own.
Shows: CPU milliseconds of a step (median), stored states of a step, and the peak of memory.

`dags` are those of `dags.py`: modified detailed balance with a perceptron held near uniform, whose
trajectories run to complete graphs; with a guide they are those of `gflow train dags`. `grid` is
HyperGrid of side 4 with the reward `Independent`, the policy of `gflow train hypergrid`.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from gflow.envs.dags.task import DagsTask
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import Independent
from gflow.objectives import OBJECTIVES
from gflow.policies.mlp import MLPPolicy
from gflow.training.trainer import TrainConfig, Trainer

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))


def dags(variables: int, batch: int, guide: str, **_: Any) -> Trainer:
    """Graphs: the case of `dags.py`, or the task of the command line with its guide."""
    if guide == "none":
        from dag_case import DagCase
        from gflow_dags import GFlow

        found: Trainer = GFlow(DagCase(variables=variables, batch=batch)).trainer
        return found
    task = DagsTask(variables=variables, edges=float(variables), guide=guide)  # type: ignore[arg-type]
    env, objective = task.environment(), OBJECTIVES["mdb"]()
    config = TrainConfig(batch_size=batch, lr=1e-20, epsilon=0.1)
    return Trainer(env, task.policy(env, objective.needs), objective, config)


def grid(dims: int, batch: int, objective: str, chunk: int, **_: Any) -> Trainer:
    """A grid of side 4."""
    env = HyperGrid(dims, 4, Independent(4, dims))
    loss = OBJECTIVES[objective].build(env)
    policy = MLPPolicy(env, backward="uniform", log_flow=loss.needs.flows(env))
    return Trainer(env, policy, loss, TrainConfig(batch_size=batch, lr=1e-20, chunk=chunk))


def measure(case: dict[str, Any], steps: int) -> dict[str, float]:
    """Some steps after one that warms up."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trainer = dags(**case) if case["kind"] == "dags" else grid(**case)
    states = []
    trainer.callbacks = (lambda _, batch, __: states.append(batch.num_states),)
    spent, length = [], []
    for number in range(steps + 1):
        start = time.process_time()
        record = trainer.train_step()
        if number:
            spent.append(time.process_time() - start)
            length.append(record["mean_length"])
    return {
        "ms": 1e3 * statistics.median(spent),
        "length": statistics.mean(length),
        "states": statistics.mean(states[1:]),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Parse the command line, measure case after case and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["dags", "grid"])
    parser.add_argument("--variables", type=int, nargs="+", default=[20, 40])
    parser.add_argument("--guide", choices=["none", "delta", "completion"], default="none")
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=["tb"])
    parser.add_argument("--chunk", type=int, default=0, help="states per pass of the network")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(json.loads(args.case), args.steps)))
        return
    if args.kind == "dags":
        cases = [
            {"variables": variables, "guide": args.guide, "batch": args.batch}
            for variables in args.variables
        ]
    else:
        cases = [
            {"dims": dims, "objective": name, "chunk": args.chunk, "batch": args.batch}
            for dims in args.dims
            for name in args.objectives
        ]
    print(f"{'case':50}{'length':>8}{'states':>9}{'CPU ms':>9}{'MiB':>7}")
    for case in cases:
        text = json.dumps({"kind": args.kind, **case})
        command = [sys.executable, __file__, args.kind, "--steps", str(args.steps), "--case", text]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        title = " ".join(f"{name} {value}" for name, value in case.items())
        print(
            f"{title:50}{found['length']:8.0f}{found['states']:9.0f}{found['ms']:9.0f}"
            f"{found['mib']:7.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

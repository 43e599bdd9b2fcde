"""What training costs as things grow, and what more processes and more workers give.

Run:   python benchmarks/scale.py [--only growth processes workers] [--rounds 5] [--tiny]
Needs: the extras `ray` and `rna` for `workers`.
Takes: growth about two minutes of one core; processes and workers a minute or two of two cores,
       which should have nothing else to do.
Shows: growth: milliseconds of CPU time of a training step (the median over rounds, the cases taking
       turns) as the batch, the horizon, the number of actions, or the nodes of a causal graph grow,
       and the power of that with which the last two grow.
       processes: trajectories a second of one run under torchrun with one and two processes, the
       CPU time of a step in each process, and the part of the wall time that a process spends in
       what it exchanges with others, waiting for them included.
       workers: foldings of random RNAs a second in this process, with one and two local workers,
       and with one and two of Ray's.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gflow import FunctionReward, MLPPolicy, TrainConfig, Trainer
from gflow.envs.dags.task import DagsTask
from gflow.envs.sequences.env import Autoregressive
from gflow.machines import ALONE, Ranks, join
from gflow.objectives import ModifiedDetailedBalance, TrajectoryBalance
from gflow.rewards import open_pool

PARTS = ("growth", "processes", "workers")

GROWTH = {
    "batch": (16, 64, 256, 1024),
    "horizon": (8, 16, 32, 64),
    "actions": (4, 32, 256, 2048),
    "nodes": (5, 10, 20),
}
"""What grows, and how far; the rest stays at batch 64, horizon 16, 4 actions."""


def sequences(batch: int, horizon: int, actions: int, width: int = 256, ranks: Ranks = ALONE,
              plan: Any = "auto") -> Trainer:  # fmt: skip
    """Trajectory balance on strings, all equally good, whose cost is all the engine's."""
    torch.manual_seed(0)
    alphabet = [f"<{symbol}>" for symbol in range(actions)]
    env = Autoregressive(alphabet, horizon, FunctionReward(even))
    config = TrainConfig(batch_size=batch, plan=plan)
    return Trainer(env, MLPPolicy(env, width), TrajectoryBalance(), config, ranks=ranks,
                   record_every=1000)  # fmt: skip


def even(states: Tensor) -> Tensor:
    """(B,) zeros."""
    return states.new_zeros(len(states), dtype=torch.get_default_dtype())


def dags(nodes: int) -> Trainer:
    """Modified detailed balance on causal graphs of simulated data."""
    torch.manual_seed(0)
    task = DagsTask(variables=nodes, edges=float(nodes), score="bic")
    env, objective = task.environment(), ModifiedDetailedBalance()
    config = TrainConfig(batch_size=64)
    return Trainer(env, task.policy(env, objective.needs), objective, config, record_every=1000)


def grown(what: str, size: int) -> Trainer:
    """A case of `GROWTH`."""
    if what == "nodes":
        return dags(size)
    sizes = {"batch": 64, "horizon": 16, "actions": 4, what: size}
    return sequences(sizes["batch"], sizes["horizon"], sizes["actions"])


def growth(rounds: int, tiny: bool) -> None:
    """Print the first part."""
    for what, sizes in GROWTH.items():
        sizes = sizes[:2] if tiny else sizes
        trainers = {size: grown(what, size) for size in sizes}
        taken: dict[int, list[float]] = {size: [] for size in sizes}
        for trainer in trainers.values():
            trainer.train(1)
        for _ in range(rounds):
            for size, trainer in trainers.items():
                began, steps = time.process_time(), 0
                while steps < 2 or (time.process_time() - began < 0.25 and not tiny):
                    trainer.train_step(record=False)
                    steps += 1
                taken[size].append((time.process_time() - began) / steps)
        cost = {size: statistics.median(times) for size, times in taken.items()}
        (a, b), shown = sizes[-2:], [f"{size}: {1e3 * ms:.3g} ms" for size, ms in cost.items()]
        power = math.log(cost[b] / cost[a]) / math.log(b / a)
        print(f"{what:>8}  {'   '.join(shown)}   last power {power:.2f}", flush=True)


# -------------------------------------------------------------------- processes


class Watched:
    """Wall time spent in methods."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The same method, its time noted."""

        def timed(*arguments: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments, **more)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


def one_of_several(batch: int, steps: int, place: Path) -> None:
    """What each process under torchrun does."""
    torch.set_num_threads(1)
    ranks, watched = join(), Watched()
    trainer = sequences(batch, 32, 32, 512, ranks, "static")
    for name in ("joined", "reduce", "any"):
        setattr(ranks, name, watched.around(getattr(ranks, name)))
    trainer.train(3)
    watched.seconds, cpu, wall = 0.0, time.process_time(), time.perf_counter()
    trainer.train(steps)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    said = {"wall": wall / steps, "cpu": cpu / steps, "exchange": watched.seconds / wall}
    (place / f"{ranks.rank}.json").write_text(json.dumps(said))


def processes(rounds: int, tiny: bool) -> None:
    """Print the second part."""
    for batch in (16, 64) if tiny else (64, 256, 1024):
        steps = 2 if tiny else max(4, 2000 // batch)
        found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        for _ in range(1 if tiny else max(1, rounds // 2)):
            for count, rows in found.items():
                with tempfile.TemporaryDirectory() as place:
                    words = ["-m", "torch.distributed.run", "--nproc-per-node", str(count),
                             __file__, "--within", place, str(batch), str(steps)]  # fmt: skip
                    subprocess.run([sys.executable, *words], check=True, env=one_thread())
                    told = [json.loads(f.read_text()) for f in sorted(Path(place).glob("*.json"))]
                rows.append({key: max(one[key] for one in told) for key in told[0]})
        best = {c: min(rows, key=lambda row: row["wall"]) for c, rows in found.items()}
        for count, row in best.items():
            print(
                f"batch {batch:>5}  {count} process{'es' if count > 1 else '  '}  "
                f"{batch / row['wall']:8.0f} trajectories/s  {1e3 * row['wall']:7.1f} ms a step, "
                f"{1e3 * row['cpu']:7.1f} ms CPU in each, exchange {row['exchange']:.0%}",
                flush=True,
            )


def one_thread() -> dict[str, str]:
    """This process's environment with one thread for each other process."""
    root = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}


# -------------------------------------------------------------------- workers


def workers(rounds: int, tiny: bool) -> None:
    """Print the third part."""
    from gflow.envs.sequences.rna_scores import DesignScore

    target = "..(((((..((((....))))..((((....))))..))))).."
    draw, count = random.Random(0), 16 if tiny else 1000
    score = DesignScore(target, "both", 16.0)
    for name, number in (("local", 0), ("local", 1), ("local", 2), ("ray", 1), ("ray", 2)):
        pool, speeds = open_pool(name, number), []
        try:
            pool.map(score, ["".join(draw.choices("ACGU", k=len(target))) for _ in range(8)])
            for _ in range(1 if tiny else rounds):
                some = ["".join(draw.choices("ACGU", k=len(target))) for _ in range(count)]
                began = time.perf_counter()
                pool.map(score, some)
                speeds.append(count / (time.perf_counter() - began))
        finally:
            pool.close()
        print(f"{name:>6} {number} workers  {max(speeds):8.0f} foldings/s", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="to see that it runs")
    parser.add_argument("--within", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.within:
        one_of_several(int(args.within[1]), int(args.within[2]), Path(args.within[0]))
        return
    for part in args.only:
        print(part, flush=True)
        {"growth": growth, "processes": processes, "workers": workers}[part](args.rounds, args.tiny)


if __name__ == "__main__":
    main()

"""Molecules per CPU second of a training run, stage by stage.

Run:   python benchmarks/molecules.py [--seh FILE] [--blocks FILE] [--rounds 5] [--other DIR]
Takes: about two minutes on one core.
Shows: for each size of network the milliseconds of CPU time of an iteration of 64 new molecules
       (sample, score, evaluate, step), how they divide, and molecules per CPU second: medians
       over rounds. With --other the same of another checkout, in turns with this one, and the
       ratio of the times, taken within a round.

Sizes: `peer` has the network of recursion's sEH task (4 layers of 128), nine fragments at most and
a batch of 64; `small` is the one that `gflow train molecules` begins with (3 layers of 64), five
fragments. Rewards: QED and SA, and with --seh the sEH network, whose weights are not part of this
library (see `gflow.envs.molecules.proxy`). With --blocks the fragments are those of a table of
building blocks with the atoms that may bond, as the first GFlowNet paper's `blocks_PDB_105.json`:
one fragment for each choice of up to four of these atoms, neutral ones alone.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from gflow.envs.molecules import Goal, MoleculePolicy, Molecules, Vocabulary
from gflow.objectives import TrajectoryBalance
from gflow.training.trainer import TrainConfig, Trainer

SIZES = {"small": (64, 3, 5), "peer": (128, 4, 9)}
HERE = Path(__file__).resolve().parents[1]
STAGES = ("sample", "score", "evaluate", "step")


class Case:
    """A trainer whose stages are timed.

    Args:
        vocabulary: The fragments.
        goal: Short forms of the properties.
        width: Of the network.
        depth: Of the network.
        largest: Number of fragments.
    """

    def __init__(
        self, vocabulary: Vocabulary, goal: tuple[str, ...], width: int, depth: int, largest: int
    ) -> None:
        self.env = Molecules(vocabulary, Goal(goal), beta=8.0, max_fragments=largest)
        policy = MoleculePolicy(self.env, width, depth, "uniform")
        # A rate so small that all do the same work to the end: molecules as at the start.
        config = TrainConfig(batch_size=64, lr=1e-8, grad_clip=10.0)
        self.trainer = Trainer(self.env, policy, TrajectoryBalance(), config)
        self.seconds = 0.0
        pool: Any = self.env.host
        inner = pool.records

        def timed(*args: Any) -> Any:
            start = time.process_time()
            found = inner(*args)
            self.seconds += time.process_time() - start
            return found

        pool.records = timed

    def iteration(self) -> dict[str, float]:
        """Seconds of CPU time of each stage."""
        self.env.host.memory.clear()  # so that all of the batch is new
        self.seconds = 0.0
        times = [time.process_time()]
        batch = self.trainer.sample()
        times.append(time.process_time())
        loss, _ = self.trainer.loss_of(batch)
        times.append(time.process_time())
        self.trainer.apply(loss)
        times.append(time.process_time())
        sampled, evaluated, stepped = (b - a for a, b in itertools.pairwise(times))
        parts = (sampled - self.seconds, self.seconds, evaluated, stepped)
        return dict(zip(STAGES, parts, strict=True))


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seh", type=Path, help="weights of the sEH network")
    parser.add_argument("--blocks", type=Path, help="table of building blocks")
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=4, help="in a round")
    parser.add_argument("--other", type=Path, help="another checkout of this library to race")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def serve(args: argparse.Namespace) -> None:
    """Run a round for every line of the standard input, and print it as one of JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vocabulary = Vocabulary.default()
    if args.blocks:
        vocabulary = Vocabulary.from_fragment_file(args.blocks)
    goals = {"qed, sa": ("qed", "sa")} | ({"seh": (f"seh:{args.seh}",)} if args.seh else {})
    cases = {
        f"{size}, {name}": Case(vocabulary, goal, *SIZES[size])
        for size in args.only
        for name, goal in goals.items()
    }
    for case in cases.values():
        case.iteration()
    for _ in sys.stdin:
        found = {}
        for name, case in cases.items():
            runs = [case.iteration() for _ in range(args.iterations)]
            found[name] = {s: 1e3 * statistics.mean(run[s] for run in runs) for s in STAGES}
        print(json.dumps(found), flush=True)


def main() -> None:
    """Race and print."""
    args = arguments()
    if args.serve:
        serve(args)
        return
    folders = {"this": HERE} | ({"other": args.other.resolve()} if args.other else {})
    command = [sys.executable, str(HERE / "benchmarks" / "molecules.py"), *sys.argv[1:], "--serve"]
    workers = {
        name: subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)},
            text=True,
            bufsize=1,
        )
        for name, folder in folders.items()
    }
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in workers}
    for _ in range(args.rounds):
        for name, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("\n")
            rounds[name].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.communicate()
    print("CPU milliseconds of an iteration of 64 molecules, medians over rounds")
    print(f"{'':22s}" + "".join(f"{stage:>10s}" for stage in (*STAGES, "all")) + "  molecules/s")
    for case in rounds["this"][0]:
        for name, found in rounds.items():
            parts = [statistics.median(r[case][stage] for r in found) for stage in STAGES]
            whole = statistics.median(sum(r[case].values()) for r in found)
            shown = "".join(f"{value:10.1f}" for value in (*parts, whole))
            print(f"{case:16s}{name:6s}{shown}{64e3 / whole:13.0f}")
        if args.other:
            pairs = zip(rounds["this"], rounds["other"], strict=True)
            ratios = [sum(b[case].values()) / sum(a[case].values()) for a, b in pairs]
            print(f"{case:16s}ratio {statistics.median(ratios):50.2f}")


if __name__ == "__main__":
    main()

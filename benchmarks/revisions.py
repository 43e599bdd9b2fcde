"""Race two checkouts of this library: has a change made training steps slower?

Run:   git worktree add ../before REVISION
       python benchmarks/revisions.py ../before [--cases 8x8-16 ...] [--rounds 15]
Takes: about three minutes on one core, and the core should have nothing else to do.
Shows: for each hypergrid case of `speed.py` the milliseconds of CPU time of an iteration of this
       checkout, and its ratio to the other: taken within a round, blocks taking turns, the median
       over rounds with the middle half of them.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

import speed

HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--cases", nargs="+", choices=speed.RACES, default=list(speed.RACES))
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    workers = {"other": start(args.other.resolve()), "this": start(HERE)}
    for title in args.cases:
        race = speed.RACES[title]
        answers = speed.race(workers, race.case, race.iterations, args.rounds)
        for name, blocks in answers.items():
            if any("error" in block for block in blocks):
                sys.exit(f"{title}: the {name} checkout failed: {blocks[-1]['error']}")
        ours, theirs = ([1e3 * b["cpu_seconds"] for b in answers[n]] for n in ("this", "other"))
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        quarter = len(ratios) // 4
        print(
            f"{title:>14}  {statistics.median(ours):7.2f} ms  ratio {statistics.median(ratios):.3f}"
            f"  ({ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f})",
            flush=True,
        )
    for worker in workers.values():
        worker.communicate()


def start(checkout: Path) -> "subprocess.Popen[str]":
    """The worker of a checkout, which imports the library from there."""
    return subprocess.Popen(
        [sys.executable, str(checkout / "benchmarks" / "peers" / "gflow_hypergrid.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | speed.ONE_THREAD | {"PYTHONPATH": str(checkout)},
        text=True,
        bufsize=1,
    )


if __name__ == "__main__":
    main()

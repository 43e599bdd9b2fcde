"""Race this library against its peers: CPU time of a training iteration on sequences.

Run:   python benchmarks/sequences.py --setup   once: environments for the peers
       python benchmarks/sequences.py           then: the race
       python benchmarks/sequences.py --learn --cases bits --iterations 400    modes found
Takes: two minutes on one core, and the core should have nothing else to do.
Shows: for each case and contestant the milliseconds of an iteration and the ratio to this library;
       with --learn, where training has got to after each block.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import speed

sys.path.insert(0, str(speed.PEERS))

from sequence_case import SequenceCase

CASES = {
    "bits": SequenceCase("bits"),
    "bits-transformer": SequenceCase("bits", "transformer"),
    "bits-any": SequenceCase("bits-any"),
    "tfbind": SequenceCase("tfbind"),
    "tfbind-transformer": SequenceCase("tfbind", "transformer"),
}
CONTESTANTS = ["gflow", "gflow-compiled", "gfnx", "torchgfn"]
ITERATIONS = {
    "bits": 20,
    "bits-transformer": 3,
    "bits-any": 8,
    "tfbind": 40,
    "tfbind-transformer": 10,
}
NOTES = {("bits", "gfnx"): "put together from its autoregressive base class and its reward"}
MISSING = {("tfbind", "torchgfn"): "torchgfn has no TF-binding environment"}


def main() -> None:
    """Parse the command line, race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cache = Path.home() / ".cache" / "gflow-benchmarks"
    parser.add_argument("--setup", action="store_true", help="make the peers' environments")
    parser.add_argument("--envs", type=Path, default=cache, help="folder of these environments")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, help="in a block, in place of the case's own")
    parser.add_argument("--learn", action="store_true", help="train in earnest")
    args = parser.parse_args()
    if args.setup:
        for name in speed.ENVIRONMENTS:
            speed.make_environment(name, args.envs)
        return
    workers = {name: speed.start(name, args.envs, "sequences") for name in args.only}
    failed = False
    for title in args.cases:
        case = replace(CASES[title], learn=args.learn)
        answers = race(workers, case, args.iterations or ITERATIONS[title], args.rounds)
        print(table(case, answers), flush=True)
        failed |= any("error" in blocks[-1] for blocks in answers.values())
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    if failed:
        sys.exit("a contestant failed")


def race(
    workers: "dict[str, subprocess.Popen[str]]", case: SequenceCase, iterations: int, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """The answers of each contestant, one a round; all take turns, so that drift hits all."""
    entered = [name for name in workers if (case.task, name) not in MISSING]
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in entered}
    for number in range(rounds):
        request = asdict(case) | {"iterations": iterations, "warm_up": 1 if number else 5}
        for name in entered:
            if number and "error" in answers[name][-1]:
                continue
            answer = speed.ask(workers[name], request)
            got = answer.get("parameters", case.parameters)
            if got != case.parameters:
                sys.exit(f"{name} has {got} parameters where all should have {case.parameters}")
            answers[name].append(answer)
    return answers


def table(case: SequenceCase, answers: dict[str, list[dict[str, Any]]]) -> str:
    """Medians over rounds; ratios are taken within a round, then their median."""
    lines = [
        f"{case.task}, {case.network}: batch {case.batch}, {case.actions} actions, "
        f"{case.parameters:,} parameters",
        f"{'':15}{'CPU ms':>10}{'quartiles':>22}{'ratio':>9}{'per CPU s':>12}{'length':>8}",
    ]
    first = next((blocks for blocks in answers.values() if "error" not in blocks[-1]), [])
    for name, blocks in answers.items():
        if "error" in blocks[-1]:
            lines.append(f"{name:15}  not measured: {blocks[-1]['error']}")
            continue
        cpu = [1e3 * block["cpu_seconds"] for block in blocks]
        low, middle, high = statistics.quantiles(cpu, n=4) if len(cpu) > 1 else cpu * 3
        ratio = statistics.median(
            mine["cpu_seconds"] / other["cpu_seconds"]
            for mine, other in zip(blocks, first, strict=True)
        )
        length = statistics.mean(block["mean_length"] for block in blocks)
        lines.append(
            f"{name:15}{middle:10.2f}{f'{low:.2f} to {high:.2f}':>22}"
            f"{ratio:9.2f}{1e3 / middle:12.1f}{length:8.2f}"
        )
        if (case.task, name) in NOTES:
            lines.append(f"{'':12}{NOTES[case.task, name]}")
        if case.learn:
            lines.append(f"{'':12}{progress(case, blocks)}")
    lines += [
        f"{name:15}  not there: {why}" for (task, name), why in MISSING.items() if task == case.task
    ]
    versions: dict[str, str] = {}
    for blocks in answers.values():
        versions |= blocks[-1].get("versions", {})
    return "\n".join([*lines, json.dumps(versions), ""])


def progress(case: SequenceCase, blocks: list[dict[str, Any]]) -> str:
    """Block by block the modes found, or log Z where it is known."""
    if case.log_z is None:
        return "modes found: " + ", ".join(str(block["modes"]) for block in blocks)
    found = ", ".join(f"{block['log_z']:.3f}" for block in blocks)
    return f"log Z: {found} (exact {case.log_z:.3f})"


if __name__ == "__main__":
    main()

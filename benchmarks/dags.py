"""Race this library against its peers: CPU time of a training iteration on causal graphs.

Run:   python benchmarks/dags.py --setup   once: environments for the peers
       python benchmarks/dags.py           then: the race
Takes: about three minutes on one core, and the core should have nothing else to do.
Shows: for each case and contestant the milliseconds of an iteration and the ratio to this library.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import speed

sys.path.insert(0, str(speed.PEERS))

from dag_case import DagCase

CASES = {
    "5-16": DagCase(variables=5, batch=16),
    "5-128": DagCase(variables=5, batch=128),
    "10-128": DagCase(variables=10, batch=128),
}
CONTESTANTS = ["gflow", "gflow-compiled", "gfnx", "torchgfn"]
ITERATIONS = {"gflow": 10, "gflow-compiled": 10, "gfnx": 10, "torchgfn": 1}


def main() -> None:
    """Parse the command line, race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cache = Path.home() / ".cache" / "gflow-benchmarks"
    parser.add_argument("--setup", action="store_true", help="make the peers' environments")
    parser.add_argument("--envs", type=Path, default=cache, help="folder of these environments")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["5-16", "5-128"])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if args.setup:
        for name in speed.ENVIRONMENTS:
            speed.make_environment(name, args.envs)
        command = [str(speed.python_of("torchgfn", args.envs)), "-m", "pip", "install", "--quiet"]
        subprocess.run([*command, "pandas", "scipy", "numpy<2"], check=True)
        return
    workers = {name: speed.start(name, args.envs, "dags") for name in args.only}
    failed = False
    for title in args.cases:
        answers = race(workers, CASES[title], args.rounds)
        print(table(title, CASES[title], answers), flush=True)
        failed |= any("error" in blocks[-1] for blocks in answers.values())
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    if failed:
        sys.exit("a contestant failed")


def race(
    workers: "dict[str, subprocess.Popen[str]]", case: DagCase, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """The answers of each contestant, one a round; all take turns, so that drift hits all."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for number in range(rounds):
        for name, worker in workers.items():
            if number and "error" in answers[name][-1]:
                continue
            warm_up = 1 if number or name == "torchgfn" else 5
            request = asdict(case) | {"iterations": ITERATIONS[name], "warm_up": warm_up}
            answer = speed.ask(worker, request)
            got = answer.get("parameters", case.parameters)
            if got != case.parameters:
                sys.exit(f"{name} has {got} parameters where all should have {case.parameters}")
            answers[name].append(answer)
    return answers


def table(title: str, case: DagCase, answers: dict[str, list[dict[str, Any]]]) -> str:
    """Medians over rounds; ratios are taken within a round, then their median."""
    lines = [
        f"{title}: {case.variables} variables, batch {case.batch}, {case.parameters:,} parameters",
        f"{'':15}{'CPU ms':>10}{'quartiles':>22}{'ratio':>9}{'length':>8}",
    ]
    first = next((blocks for blocks in answers.values() if "error" not in blocks[-1]), [])
    for name, blocks in answers.items():
        if "error" in blocks[-1]:
            lines.append(f"{name:15}  not measured: {blocks[-1]['error']}")
            continue
        cpu = [1e3 * block["cpu_seconds"] for block in blocks]
        low, _, high = statistics.quantiles(cpu, n=4) if len(cpu) > 1 else cpu * 3
        ratio = statistics.median(
            mine["cpu_seconds"] / other["cpu_seconds"]
            for mine, other in zip(blocks, first, strict=True)
        )
        length = statistics.mean(block["mean_length"] for block in blocks)
        lines.append(
            f"{name:15}{statistics.median(cpu):10.2f}{f'{low:.2f} to {high:.2f}':>22}"
            f"{ratio:9.2f}{length:8.2f}"
        )
    versions: dict[str, str] = {}
    for blocks in answers.values():
        versions |= blocks[-1].get("versions", {})
    return "\n".join([*lines, json.dumps(versions), ""])


if __name__ == "__main__":
    main()

"""Race this library against its peers: CPU time of a training iteration on hypergrids.

Run:   python benchmarks/speed.py --setup   once: environments for the peers
       python benchmarks/speed.py           then: the race
Takes: about three minutes on one core, and the core should have nothing else to do.
Shows: for each case and contestant the milliseconds of an iteration and the ratio to this library.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peers.protocol import Case

PEERS = Path(__file__).parent / "peers"
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


@dataclass(frozen=True)
class Race:
    """A case and the number of iterations in a block."""

    case: Case
    iterations: int


# Mean lengths are 3 (8x8) and 5 (20^4) under the uniform policy where training starts, and 8 and 39
# for a trained sampler; the second rows have the stop bias with which uniform moves give the same.
RACES = {
    "8x8-16": Race(Case(2, 8, 16), 40),
    "8x8-512": Race(Case(2, 8, 512), 10),
    "20^4-16": Race(Case(4, 20, 16), 25),
    "20^4-512": Race(Case(4, 20, 512), 4),
    "8x8-16-long": Race(Case(2, 8, 16, stop_bias=-1.557), 25),
    "8x8-512-long": Race(Case(2, 8, 512, stop_bias=-1.557), 8),
    "20^4-16-long": Race(Case(4, 20, 16, stop_bias=-2.507), 10),
    "20^4-512-long": Race(Case(4, 20, 512, stop_bias=-2.507), 3),
}

# Each list is one call of pip. gfnx 0.0.1 asks for exactly numpy 1.26.4, which keeps it on a JAX
# (0.6.2) that takes 20 to 70 % more time; it runs on a newer one, so its own list goes unread.
ENVIRONMENTS = {
    "torchgfn": [["torch==2.13.0"], ["torchgfn==2.4.1"]],
    "gfnx": [
        ["jax==0.10.2", "equinox==0.13.8", "optax==0.2.8"],
        ["chex", "flashbax", "jax-tqdm", "jaxtyping", "matplotlib", "networkx", "omegaconf"],
        ["--no-deps", "gfnx==0.0.1"],
    ],
}
CONTESTANTS = ["gflow", "gflow-compiled", "torchgfn", "torchgfn-tutorial", "gfnx", "sketch"]


def main() -> None:
    """Parse the command line, race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cache = Path.home() / ".cache" / "gflow-benchmarks"
    parser.add_argument("--setup", action="store_true", help="make the peers' environments")
    parser.add_argument("--envs", type=Path, default=cache, help="folder of these environments")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--cases", nargs="+", choices=RACES, default=list(RACES), metavar="CASE")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--iterations", type=int, help="in a block, in place of the case's own")
    parser.add_argument("--learn", action="store_true", help="train in earnest: see README.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every block there")
    args = parser.parse_args()
    if args.setup:
        for name in ENVIRONMENTS:
            make_environment(name, args.envs)
        return

    workers = {name: start(name, args.envs) for name in args.only}
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for title in args.cases:
        case, iterations = RACES[title].case, args.iterations or RACES[title].iterations
        case = Case(case.dim, case.side, case.batch, case.stop_bias, args.learn)
        results[title] = race(workers, case, iterations, args.rounds)
        print(table(title, case, iterations, results[title]), flush=True)
    for worker in workers.values():
        worker.communicate()

    everything = [block for by_name in results.values() for b in by_name.values() for block in b]
    versions: dict[str, str] = {"python": platform.python_version()}
    for block in everything:
        versions |= block.get("versions", {})
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    if args.json:
        args.json.write_text(json.dumps({"versions": versions, "results": results}, indent=1))
    if any("error" in block for block in everything):
        sys.exit("a contestant failed")


def make_environment(name: str, envs: Path) -> None:
    """Make or bring up to date the environment of a peer."""
    venv.create(envs / name, with_pip=True)
    for arguments in ENVIRONMENTS[name]:
        command = [str(python_of(name, envs)), "-m", "pip", "install", "--quiet", *arguments]
        subprocess.run(command, check=True)


def python_of(name: str, envs: Path) -> Path:
    """The interpreter of a contestant: its own if it needs one, else that of this process."""
    if name not in ENVIRONMENTS:
        return Path(sys.executable)
    return envs / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def start(name: str, envs: Path, kind: str = "hypergrid") -> "subprocess.Popen[str]":
    """Start a worker on the one core that all share; what follows a hyphen is its argument.

    Args:
        name: The contestant.
        envs: Where the peers' environments are.
        kind: What it is to train on.
    """
    name, _, manner = name.partition("-")
    python = python_of(name, envs)
    if not python.exists():
        sys.exit(f"there is no {python}: run this script with --setup first")
    if hasattr(os, "sched_setaffinity"):
        # JAX keeps several threads busy whatever its flags say; it counts the cores at the start.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return subprocess.Popen(
        [str(python), str(PEERS / f"{name}_{kind}.py"), *([manner] if manner else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | ONE_THREAD,
        text=True,
        bufsize=1,
    )


def race(
    workers: "dict[str, subprocess.Popen[str]]", case: Case, iterations: int, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """The answers of each contestant, one a round; all take turns, so that drift hits all."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for number in range(rounds):
        # Compilation and the first growth of memory belong to the warm-up of the first round.
        request = asdict(case) | {"iterations": iterations, "warm_up": 1 if number else 5}
        for name, worker in workers.items():
            if number and "error" in answers[name][-1]:
                continue
            answer = ask(worker, request)
            if answer.get("parameters", case.parameters) != case.parameters:
                got = answer["parameters"]
                sys.exit(f"{name} has {got} parameters where all should have {case.parameters}")
            answers[name].append(answer)
    return answers


def ask(worker: "subprocess.Popen[str]", request: dict[str, Any]) -> dict[str, Any]:
    """One block of one contestant."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        print(json.dumps(request), file=worker.stdin)
        answer: dict[str, Any] = json.loads(worker.stdout.readline())
        return answer
    except (BrokenPipeError, json.JSONDecodeError):
        return {"error": "the worker died"}


def table(title: str, case: Case, iterations: int, answers: dict[str, list[dict[str, Any]]]) -> str:
    """Medians over rounds; ratios are taken within a round, then their median.

    Ratios are to the first contestant that was measured, which is this library unless left out.
    """
    lines = [
        f"{title}: {case.parameters:,} parameters, blocks of {iterations} iterations, CPU ms",
        f"{'':17}{'median':>9}{'quartiles':>18}{'wall':>9}{'ratio':>8}{'length':>8}{'floor':>8}",
    ]
    reference = next((blocks for blocks in answers.values() if "error" not in blocks[-1]), [])
    for name, blocks in answers.items():
        if "error" in blocks[-1]:
            lines.append(f"{name:17}  not measured: {blocks[-1]['error']}")
            continue
        cpu = [1e3 * block["cpu_seconds"] for block in blocks]
        low, _, high = statistics.quantiles(cpu, n=4) if len(cpu) > 1 else cpu * 3
        wall = statistics.median(1e3 * block["wall_seconds"] for block in blocks)
        ratio = statistics.median(
            mine["cpu_seconds"] / first["cpu_seconds"]
            for mine, first in zip(blocks, reference, strict=True)
        )
        length = statistics.mean(block["mean_length"] for block in blocks)
        floor = "-"
        if blocks[0]["floor_seconds"] is not None:
            shares = [block["floor_seconds"] / block["cpu_seconds"] for block in blocks]
            floor = f"{statistics.median(shares):.0%}"
        lines.append(
            f"{name:17}{statistics.median(cpu):9.2f}{f'{low:.2f} to {high:.2f}':>18}"
            f"{wall:9.2f}{ratio:8.2f}{length:8.2f}{floor:>8}"
        )
        if case.learn:
            loss, log_z = blocks[-1]["loss"], blocks[-1]["log_z"]
            lines.append(f"{'':17}  loss {loss:.4f}, log Z {log_z:.4f} (exact {case.log_z:.4f})")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()

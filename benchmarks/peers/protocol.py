"""What every contestant of `benchmarks/speed.py` speaks: one JSON line in, one JSON line out.

A worker is a script run in the environment of its library. It keeps the contestant of each case it
has been asked for, so that compilation is paid once. All environments share this module, which
imports nothing outside the standard library.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Protocol

WIDTH = 256
R0, R1, R2 = 1e-3, 0.5, 2.0


@dataclass(frozen=True)
class Case:
    """Trajectory balance with `batch` trajectories an iteration on a grid of `side` ** `dim` cells.

    With `learn`, contestants start from their own initial network. Without, the policies are held
    near uniform, apart from `stop_bias` on the logit of the stop action: all the arithmetic of an
    update is done, with a learning rate too small to change anything, and the weights of the heads
    are scaled by `head_scale`. Then every contestant samples the same distribution, and blocks do
    not differ by how far each has learned.
    """

    dim: int
    side: int
    batch: int
    stop_bias: float = 0.0
    learn: bool = False

    @property
    def learning_rate(self) -> float:
        """Of the network."""
        return 1e-3 if self.learn else 1e-20

    @property
    def log_z_learning_rate(self) -> float:
        """Of log Z."""
        return 0.1 if self.learn else 1e-20

    @property
    def head_scale(self) -> float:
        """By which the initial weights and biases of the output layers are multiplied."""
        return 1.0 if self.learn else 0.01

    @property
    def parameters(self) -> int:
        """Of one-hot input, two hidden layers, heads for d + 1 and d actions, and log Z."""
        inputs, outputs = self.dim * self.side, 2 * self.dim + 1
        return (inputs + 1) * WIDTH + (WIDTH + 1) * WIDTH + (WIDTH + 1) * outputs + 1

    @property
    def log_z(self) -> float:
        """Exact, since each term of the reward is a product over the coordinates."""
        offsets = [abs(i / (self.side - 1) - 0.5) for i in range(self.side)]
        ring, band = sum(a > 0.25 for a in offsets), sum(0.3 < a < 0.4 for a in offsets)
        return math.log(R0 * self.side**self.dim + R1 * ring**self.dim + R2 * band**self.dim)


@dataclass(frozen=True)
class Progress:
    """Actions in a trajectory, the stop included, on average; loss and log Z at the end."""

    mean_length: float
    loss: float
    log_z: float


class Contestant(Protocol):
    """A library at work on one case.

    One that can also tell how much of its time no library could save has a method `bare()`, which
    passes the states of the last iteration through the network as often as that iteration did.
    """

    parameters: int

    def train(self, iterations: int) -> Progress:
        """Train for so many iterations, and return when all work is done."""


def serve(make: Callable[[Case], Contestant], distributions: list[str]) -> None:
    """Answer requests until standard input ends.

    A request holds the fields of `Case`, `iterations` and `warm_up` (iterations not timed). The
    answer holds `cpu_seconds` and `wall_seconds` per iteration, `floor_seconds` or null,
    `parameters`, the fields of `Progress` and `versions`; or nothing but `error`.

    Args:
        make: Builds the contestant of a case.
        distributions: Names of the installed distributions whose versions are reported.
    """
    # Libraries may print: the answers keep the real standard output for themselves.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    versions = {name: version(name) for name in distributions}
    contestants: dict[Case, Contestant] = {}
    for line in sys.stdin:
        request = json.loads(line)
        iterations, warm_up = request.pop("iterations"), request.pop("warm_up")
        case = Case(**request)
        try:
            if case not in contestants:
                contestants[case] = make(case)
            answer = _measure(contestants[case], iterations, warm_up) | {"versions": versions}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


def _measure(contestant: Contestant, iterations: int, warm_up: int) -> dict[str, Any]:
    bare = getattr(contestant, "bare", None)
    contestant.train(warm_up)
    if bare is not None:
        bare()
    # The floor is of the very states that were timed, so it takes turns with the iterations.
    blocks = [iterations] if bare is None else [1] * iterations
    cpu = wall = floor = length = 0.0
    for block in blocks:
        cpu_0, wall_0 = time.process_time(), time.perf_counter()
        progress = contestant.train(block)
        cpu_1, wall_1 = time.process_time(), time.perf_counter()
        cpu, wall = cpu + cpu_1 - cpu_0, wall + wall_1 - wall_0
        length += progress.mean_length * block
        if bare is not None:
            bare()
            floor += time.process_time() - cpu_1
    return {
        "cpu_seconds": cpu / iterations,
        "wall_seconds": wall / iterations,
        "floor_seconds": None if bare is None else floor / iterations,
        "parameters": contestant.parameters,
        **asdict(progress),
        "mean_length": length / iterations,
    }

"""What every contestant of `benchmarks/dags.py` speaks; see `protocol.py` for the manner."""

import json
import math
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from protocol import Contestant, _measure

STOP = -20.0
"""Added to the logit of the stop, so that every trajectory runs to a complete graph."""


@dataclass(frozen=True)
class DagCase:
    """Modified detailed balance on graphs of `variables`, `batch` trajectories an iteration.

    The backward policy is uniform. All contestants have a perceptron of the same size over the bits
    of the adjacency, held near uniform: all the arithmetic of an update is done with a learning
    rate too small to change anything. The stop is all but ruled out, so that all trajectories are
    equally long.
    """

    variables: int
    batch: int
    rows: int = 100
    width: int = 128
    learning_rate: float = 1e-20
    head_scale: float = 0.01

    @property
    def parameters(self) -> int:
        """Of d^2 inputs, two hidden layers and d^2 + 1 outputs."""
        pairs, w = self.variables**2, self.width
        return (pairs + 1) * w + (w + 1) * w + (w + 1) * (pairs + 1)

    @property
    def data(self) -> list[list[float]]:
        """(rows, d) of a linear Gaussian network with about d edges, the same for everyone."""
        coin, d = random.Random(0), self.variables
        p = 2 / (d - 1)
        weight = [[coin.gauss(0, 1) * (coin.random() < p) for _ in range(j)] for j in range(d)]
        rows = []
        for _ in range(self.rows):
            x: list[float] = []
            for j in range(d):
                noise = coin.gauss(0, math.sqrt(0.1))
                x.append(sum(w * v for w, v in zip(weight[j], x, strict=True)) + noise)
            rows.append(x)
        return rows


def serve(make: Callable[[DagCase], Contestant], distributions: list[str]) -> None:
    """Answer requests until standard input ends, like `protocol.serve`."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    versions = {name: version(name) for name in distributions}
    contestants: dict[DagCase, Contestant] = {}
    for line in sys.stdin:
        request = json.loads(line)
        iterations, warm_up = request.pop("iterations"), request.pop("warm_up")
        case = DagCase(**request)
        try:
            if case not in contestants:
                contestants[case] = make(case)
            answer = _measure(contestants[case], iterations, warm_up) | {"versions": versions}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)

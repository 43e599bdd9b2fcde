"""What every contestant of `benchmarks/sequences.py` speaks; see `protocol.py` for the manner."""

import json
import math
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from protocol import WIDTH, Contestant, Progress, _measure

BLOCKS = ("00000000", "11111111", "11110000", "00001111", "00111100")
SYMBOLS = {"bits": 256, "bits-any": 256, "tfbind": 4}
LENGTH = {"bits": 15, "bits-any": 15, "tfbind": 8}
NUM_MODES = 60
NUM_BITS = 120
RADIUS = 30
"""A mode is found when a string within so many bits of it was sampled."""
BETA = 2.0
"""log R of a bit string is -BETA times its distance to the closest mode."""
FEATURES, DEPTH, HEADS = 64, 3, 8
"""Of the transformers."""
PEAK, EXPONENT = 10.0, 3.0
"""R of a DNA 8-mer is PEAK (y / max y)^EXPONENT."""


@dataclass(frozen=True)
class SequenceCase:
    """Trajectory balance on sequences, `batch` trajectories an iteration.

    =========  =====================================================================
    bits       120 bits in words of 8, from left to right; 60 modes
    bits-any   the same, a word into any free place: 3840 actions
    tfbind     DNA 8-mers from left to right; a made-up table of all 65,536
    =========  =====================================================================

    The backward policy is uniform. All contestants have networks of the same size, a perceptron of
    two layers ("mlp") or a "transformer". Without `learn` they are held near uniform: all the
    arithmetic of an update is done with a learning rate too small to change anything.
    """

    task: str
    network: str = "mlp"
    batch: int = 16
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
        """By which the initial weights and biases of the output layer are multiplied."""
        return 1.0 if self.learn else 0.01

    @property
    def first_log_z(self) -> float:
        """Where log Z starts."""
        return 0.0 if self.task == "tfbind" else -10.0

    @property
    def symbols(self) -> int:
        """Size A of the alphabet."""
        return SYMBOLS[self.task]

    @property
    def length(self) -> int:
        """Places L of a sequence."""
        return LENGTH[self.task]

    @property
    def actions(self) -> int:
        """Forward actions, without any stop, which is no choice where the length is fixed."""
        return self.symbols * (self.length if self.task == "bits-any" else 1)

    @property
    def parameters(self) -> int:
        """Of the network and log Z.

        The perceptron reads one-hot input with a blank. The transformer has three tokens besides
        the symbols (or one token and a last normalisation, which is as many), positions, and in
        each block attention, a perceptron four times as wide, and two normalisations.
        """
        if self.network == "mlp":
            inputs = self.length * (self.symbols + 1)
            return (inputs + 1) * WIDTH + (WIDTH + 1) * WIDTH + (WIDTH + 1) * self.actions + 1
        f = FEATURES
        block = 4 * (f + 1) * f + (f + 1) * 4 * f + (4 * f + 1) * f + 4 * f
        embedded = (self.symbols + 3 + self.length + 1) * f
        return embedded + DEPTH * block + (f + 1) * self.actions + 1

    @property
    def modes(self) -> list[list[int]]:
        """(60, 120) different modes, the same for everyone."""
        coin = random.Random(0)
        found: set[str] = set()
        while len(found) < NUM_MODES:
            found.add("".join(coin.choice(BLOCKS) for _ in range(NUM_BITS // 8)))
        return [[int(bit) for bit in mode] for mode in sorted(found)]

    @property
    def values(self) -> list[float]:
        """65,536 scores y in (0.2, 1) of all 8-mers, in alphabetical order, the same for everyone.

        A random weight for every letter at every place, and a sigmoid of their sum.
        """
        coin = random.Random(0)
        sums = [0.0]
        for _ in range(8):
            weights = [coin.gauss(0, 1) for _ in range(4)]
            sums = [start + weight for start in sums for weight in weights]
        return [0.2 + 0.8 / (1 + math.exp(2.0 - total)) for total in sums]

    @property
    def log_z(self) -> float | None:
        """Exact, where it is known."""
        if self.task != "tfbind":
            return None
        values = self.values
        top = max(values)
        return math.log(sum(PEAK * (y / top) ** EXPONENT for y in values))


@dataclass(frozen=True)
class SequenceProgress(Progress):
    """With the number of modes found so far, if the contestant learns and there are modes."""

    modes: int | None = None


def serve(make: Callable[[SequenceCase], Contestant], distributions: list[str]) -> None:
    """Answer requests until standard input ends, like `protocol.serve`."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    versions = {name: version(name) for name in distributions}
    contestants: dict[SequenceCase, Contestant] = {}
    for line in sys.stdin:
        request = json.loads(line)
        iterations, warm_up = request.pop("iterations"), request.pop("warm_up")
        case = SequenceCase(**request)
        try:
            if case not in contestants:
                contestants[case] = make(case)
            answer = _measure(contestants[case], iterations, warm_up) | {"versions": versions}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)

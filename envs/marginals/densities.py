"""Densities of the plane, whose points are written as bits in Gray code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from gflow.bounds import Bounds
from gflow.envs.energies.densities import DENSITIES, Plane
from gflow.envs.energies.metrics import hamming_mmd
from gflow.envs.energies.pictures import histogram
from gflow.envs.marginals.problem import Parts, Problem
from gflow.envs.sequences.alphabet import Alphabet
from gflow.tasks.pictures import pyplot

DRAWN = 12_000
"""Points, of which a twelfth validates and another one tests."""
COMPARED = 1000
"""Objects whose kernels are compared at most."""


@dataclass(frozen=True)
class Densities(Problem):
    """Points of one of seven densities of the plane, the bits of one coordinate and the other.

    A marginal of the leading bits is the mass of a square, or of a strip.

    Attributes:
        density: Which.
        bits: Of each coordinate.
    """

    name: ClassVar[str] = "densities"
    summary: ClassVar[str] = "points of seven densities of the plane, as bits in Gray code"

    density: Literal[
        "2spirals", "8gaussians", "circles", "moons", "pinwheel", "swissroll", "checkerboard"
    ] = "2spirals"
    bits: Annotated[int, Bounds(1, 30)] = 16

    @property
    def plane(self) -> Plane:
        """The density."""
        return DENSITIES[self.density]

    @property
    def alphabet(self) -> Alphabet:
        """Bits."""
        return Alphabet("01")

    @property
    def places(self) -> int:
        """Bits of both coordinates, the first before the second, the highest first in each."""
        return 2 * self.bits

    @property
    def data(self) -> Parts:
        """10,000, 1,000 and 1,000 points."""
        points = self.plane.points(DRAWN, torch.Generator().manual_seed(0))
        return Parts.of(self.plane.code(self.bits).encode(points) - 1, 1 / 12)

    def points(self, symbols: Tensor) -> Tensor:
        """(N, 2) points of (N, D) symbols, the middles of their cells."""
        return self.plane.code(self.bits).decode(symbols + 1)

    def measure(self, symbols: Tensor) -> dict[str, float]:
        """Squared maximum mean discrepancy from test points, by Hamming distances."""
        return {"mmd": hamming_mmd(symbols[:COMPARED].cpu(), self.data.test[:COMPARED])}

    def pictures(self, symbols: Tensor, folder: Path) -> dict[str, Path]:
        """Where data are, and where the sample is."""
        plt, reach = pyplot(), self.plane.reach
        figure, axes = plt.subplots(1, 2, figsize=(8, 4))
        shown = {"data": self.data.train, "sampled": symbols}
        for axis, (title, rows) in zip(axes, shown.items(), strict=True):
            table = histogram(self.points(rows.cpu()), reach)
            axis.imshow(table.numpy(), origin="lower", extent=(-reach, reach) * 2, cmap="viridis")
            axis.set_title(title)
        figure.tight_layout()
        path = folder / "density.png"
        figure.savefig(path, dpi=120)
        plt.close(figure)
        return {"density": path}

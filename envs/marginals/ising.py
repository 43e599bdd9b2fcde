"""Ising spins on a torus, whose partition function is known exactly."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.envs.marginals.pictures import inpainting
from gflow.envs.marginals.problem import Problem
from gflow.envs.sequences.alphabet import Alphabet
from gflow.envs.spins.env import EnergyModel
from gflow.envs.spins.rewards import IsingReward

SHOWN = 8
"""Lattices in a picture."""


@dataclass(frozen=True)
class Ising(Problem):
    r"""Spins of a torus, :math:`\log R(s) = s^T J s + b \sum_i s_i` with J = coupling times A.

    Attributes:
        side: Rows, and columns.
        coupling: sigma; each edge contributes 2 sigma s_i s_j.
        field: b.
    """

    name: ClassVar[str] = "ising"
    summary: ClassVar[str] = "Ising spins on a torus; log Z by transfer matrix up to side 11"
    periodic: ClassVar[bool] = True

    side: Count = 4
    coupling: float = 0.1
    field: float = 0.2

    @property
    def alphabet(self) -> Alphabet:
        """Down and up."""
        return Alphabet("-+")

    @property
    def places(self) -> int:
        """Side * side, row by row."""
        return self.side**2

    @property
    def picture_shape(self) -> tuple[int, int]:  # type: ignore[override]
        """The lattice."""
        return self.side, self.side

    @property
    def energy(self) -> IsingReward:
        """Minus the energy, over the temperature."""
        return IsingReward(self.side, self.side, self.coupling, self.field)

    def environment(self) -> EnergyModel:
        """A spin for each site, in any order."""
        return EnergyModel(self.energy)

    def measure(self, symbols: Tensor) -> dict[str, float]:
        """Mean spin, and mean product of neighbours."""
        states, energy = symbols + 1, self.energy
        return {
            "magnetisation": float(energy.magnetisation(states).mean()),
            "neighbour_correlation": float(energy.neighbour_correlation(states).mean()),
        }

    def pictures(self, symbols: Tensor, folder: Path) -> dict[str, Path]:
        """The first of them; black is up."""
        rows = {"sampled": torch.as_tensor(symbols[:SHOWN])}
        return {"lattices": inpainting(rows, self.picture_shape, folder / "lattices.png")}

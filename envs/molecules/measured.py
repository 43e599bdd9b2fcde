"""What environments of molecules say to conditions about ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gflow.envs.molecules.assembly import molecule_of
from gflow.envs.molecules.quantities import QUANTITIES, measure
from gflow.ranges import Quantity
from gflow.state import device_of

REMEMBERED = 200_000


class MeasuredMolecules:
    """An environment whose finished objects have `records` with SMILES.

    Each molecule is measured once, in this process: what is asked here costs little.
    """

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can be measured, by lower-case name."""
        return QUANTITIES

    def measured(self, states: Any, names: Sequence[str]) -> Tensor:
        """(B, K) quantities of finished molecules.

        Args:
            states: The molecules.
            names: K names of quantities.
        """
        known: dict[tuple[str, tuple[str, ...]], tuple[float, ...]]
        known = self.__dict__.setdefault("_measured", {})
        asked, rows = tuple(names), []
        for record in self.records(states):  # type: ignore[attr-defined]
            key = record.smiles, asked
            if key not in known:
                known[key] = measure(molecule_of(record.smiles), asked)
            rows.append(known[key])
        while len(known) > REMEMBERED:
            del known[next(iter(known))]
        return torch.tensor(rows, device=device_of(states)).view(len(rows), len(asked))

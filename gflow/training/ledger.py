"""Numbers of many steps, summed where they are and read by the host once a record."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Record = dict[str, float]

Numbers = Mapping[str, Tensor | float]
"""() tensors or plain numbers by name."""


class Ledger:
    """Means of named numbers since the last record; adding reads nothing."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, int] = {}

    def add(self, numbers: Numbers) -> None:
        """Note the numbers of a step; names may differ from step to step."""
        for name, value in numbers.items():
            if isinstance(value, Tensor) and value.requires_grad:
                value = value.detach()
            count = self._counts.get(name, 0)
            if count:
                old = self._sums[name]
                old = old.double() if isinstance(old, Tensor) else old
                value = old + (value.double() if isinstance(value, Tensor) else value)
            self._sums[name], self._counts[name] = value, count + 1

    def add_sums(self, sums: Mapping[str, float], steps: int) -> None:
        """Note sums of the numbers of several steps."""
        for name, value in sums.items() if steps else ():
            count = self._counts.get(name, 0)
            self._sums[name] = float(self._sums[name]) + value if count else value
            self._counts[name] = count + steps

    def means(self) -> Record:
        """The means so far, read by the host."""
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}

    def record(self) -> Record:
        """The means; begins anew."""
        found = self.means()
        self._sums, self._counts = {}, {}
        return found

    def state_dict(self) -> dict[str, Any]:
        """What the next record depends on."""
        sums = {
            name: value.clone() if isinstance(value, Tensor) else value
            for name, value in self._sums.items()
        }
        return {"sums": sums, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Take back what `state_dict` gave, on a device."""
        self._sums = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in state["sums"].items()
        }
        self._counts = dict(state["counts"])

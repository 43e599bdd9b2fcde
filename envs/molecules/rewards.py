"""The reward of molecules as the engine sees it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.envs.molecules.scoring import Record
from gflow.reward import LogReward
from gflow.state import device_of


class MoleculeReward(LogReward[Any]):
    """Log of the value of a `Goal`, positive by its floor; independent of how often it is asked.

    The value is computed on the host, once per distinct molecule, in workers if the environment
    has any.

    Args:
        records: ``states -> records``, normally `Molecules.records`.
    """

    def __init__(self, records: Callable[[Any], list[Record]]) -> None:
        self.records = records

    def __call__(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of finished molecules."""
        values = [math.log(record.value) for record in self.records(states)]
        return torch.tensor(values, device=device_of(states))

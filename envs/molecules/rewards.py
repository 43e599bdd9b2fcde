"""The reward of molecules as the engine sees it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gflow.envs.molecules.scoring import Record
from gflow.reward import LogReward
from gflow.state import device_of, take


def of_built(
    log_reward: Callable[[Any, Tensor | None], Tensor],
    states: Any,
    built: Tensor,
    condition: Tensor | None,
) -> Tensor:
    """(B,) `log_reward` of the states in which something is `built` (B,) bool, 0 of the others."""
    rows = built.nonzero().squeeze(1)
    value = torch.zeros(len(built), device=built.device)
    if not len(rows):
        return value
    given = None if condition is None else condition[rows]
    found = log_reward(take(states, rows), given)
    return value.to(found.dtype).index_put((rows,), found)


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

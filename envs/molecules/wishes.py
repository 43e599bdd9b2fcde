"""Options of tasks whose objects are molecules: what multiplies the reward."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gflow.rewards.base import LogReward
from gflow.rewards.scaled import Scaled
from gflow.state import device_of

if TYPE_CHECKING:
    from gflow.envs.molecules.factors import Factor


@dataclass(frozen=True)
class MoleculeWishes:
    """What is asked of molecules beside the properties that make the reward.

    Attributes:
        range: Ranges of properties, as "logP 2..3" "weight ..400" "rings 2": logP, weight, tpsa,
            donors, acceptors, rotatable, rings, aromatic, atoms, fsp3, qed, sa. The reward is
            multiplied by 1 inside and by e^(-distance/width) outside; "logP 2..3 width 0.2" sets
            the width.
        rule_of_five: Ranges of Lipinski's rule: weight ..500, logP ..5, donors ..5, acceptors ..10.
        alerts: Structural alerts that halve the reward, each: pains, brenk, nih.
        require: Parts (SMARTS) that molecules should have: the reward is a tenth without one.
        forbid: Parts (SMARTS) that they should not have: the reward is a tenth with one.
    """

    range: tuple[str, ...] = ()
    rule_of_five: bool = False
    alerts: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    def factors(self) -> "tuple[Factor, ...]":
        """What multiplies the reward.

        Raises:
            ConfigError: A range that is none.
            UnknownNameError: A quantity or a set of alerts that there is not.
            MoleculeError: A part that is no SMARTS.
        """
        from gflow.envs.molecules.factors import RULE_OF_FIVE, InRanges, Part, WithoutAlerts

        found: list[Factor] = []
        ranges = (*self.range, *(RULE_OF_FIVE if self.rule_of_five else ()))
        if ranges:
            found.append(InRanges.read(ranges))
        if self.alerts:
            found.append(WithoutAlerts(tuple(name.lower() for name in self.alerts)))
        found += [Part(smarts, True) for smarts in self.require]
        found += [Part(smarts, False) for smarts in self.forbid]
        return tuple(found)

    def scaled(self, env: Any, reward: LogReward[Any]) -> LogReward[Any]:
        """A reward of a person's own with these factors."""
        return Scaled(reward, RecordedFactor(env)) if self.factors() else reward


class RecordedFactor:
    """Log of the factors in the records of an environment, to the power of its temperature.

    Args:
        env: An environment of molecules.
    """

    def __init__(self, env: Any) -> None:
        self.env = env

    def __call__(self, states: Any, condition: Tensor | None) -> Tensor:
        """(B,) log factors."""
        logs = [self.env.beta * math.log(record.factor) for record in self.env.records(states)]
        return torch.tensor(logs, device=device_of(states))

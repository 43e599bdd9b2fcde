"""The reward of molecules as the engine sees it: one number, or one score per property."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gflow.envs.molecules.goal import Goal
from gflow.envs.molecules.scoring import Record
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.rewards.scalarizations import Scalarization
from gflow.rewards.vector import VectorReward
from gflow.rewards.wrappers import Tempered
from gflow.state import device_of, take

Records = Callable[[Any], list[Record]]


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

    def __init__(self, records: Records) -> None:
        self.records = records

    def __call__(self, states: Any, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of finished molecules."""
        values = [math.log(record.value) for record in self.records(states)]
        return torch.tensor(values, device=device_of(states))


class MoleculeScores(VectorReward[Any]):
    """The properties of a `Goal` as scores; its weights and its `combine` are not read.

    Its factors multiply every score, and so the reward, however scores are combined to it.

    Args:
        records: ``states -> records``, normally `Molecules.records`.
        names: Names of the properties.
        scalarization: How scores become log R; by default the logarithm of their mean.

    Reference:
        Jain et al., Multi-objective GFlowNets, 2022, https://arxiv.org/abs/2210.12765
    """

    def __init__(
        self, records: Records, names: Sequence[str], scalarization: Scalarization | None = None
    ) -> None:
        super().__init__(scalarization)
        self.records, self.score_names, self.num_scores = records, tuple(names), len(names)

    def scores(self, states: Any) -> Tensor:
        """(B, K) properties of finished molecules."""
        records = self.records(states)
        rows = [[y * record.factor for y in record.properties] for record in records]
        return torch.tensor(rows, device=device_of(states))


def molecule_reward(
    given: Any,
    goal: Goal | None,
    records: Records,
    beta: float,
    scalarization: Scalarization | None,
) -> LogReward[Any]:
    """The reward that the arguments of an environment of molecules mean.

    Args:
        given: A `LogReward`, or anything that `goal` was read from.
        goal: The goal, None if a reward was given.
        records: Looks up finished molecules.
        beta: Inverse temperature of a single reward.
        scalarization: Makes the properties scores, if given.

    Raises:
        ConfigError: A scalarization with a reward of one's own, or with a beta other than 1.
    """
    if scalarization is not None:
        if goal is None or beta != 1.0:
            raise ConfigError(
                "A scalarization combines the properties of a goal: give properties instead of a "
                f"LogReward, and the inverse temperature to the scalarization (got beta={beta:g})."
            )
        return MoleculeScores(records, goal.names, scalarization)
    base = given if isinstance(given, LogReward) else MoleculeReward(records)
    return base if beta == 1.0 else Tempered(base, beta)

"""Conditions: what a conditional sampler is asked for, drawn anew for every trajectory."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.shown import in_a_line

SHORT = 3
"""Conditions of at most so many entries are spelled out in names of metrics."""


def evenly(count: int, low: float, high: float) -> Tensor:
    """(E, 1) numbers from `low` to `high`, each once."""
    return torch.linspace(low, high, count if low < high else 1)[:, None]


class ConditionSampler(ABC):
    """Draws the conditions of a training batch."""

    __repr__ = in_a_line

    @abstractmethod
    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, C) conditions."""

    def probes(self, count: int) -> Tensor:
        """(E, C) at most `count` different conditions at which a run is measured; always the same.

        By default some that are drawn. Metrics name them by `label`.
        """
        drawn = self(64 * count, torch.Generator().manual_seed(0))
        group = torch.unique(drawn, dim=0, return_inverse=True)[1]
        first = torch.full((int(group.max()) + 1,), len(drawn))
        first = first.scatter_reduce(0, group, torch.arange(len(drawn)), "amin")
        return drawn[first.sort().values[:count]]

    def label(self, condition: Tensor) -> str:
        """A short condition (C,) in names of metrics."""
        return "_".join(f"{value:.4g}" for value in condition.tolist())

    def state_dict(self) -> dict[str, Any]:
        """What the next draw depends on, apart from the generator; nothing by default."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state_dict` gave."""


def in_turns(count: int, repeat: int, device: torch.device | str = "cpu") -> Tensor:
    """(count,) int64 which draw each trajectory has: each serves `repeat` of them in a row.

    What is left over joins the last draw: objectives that compare trajectories of equal condition
    leave nobody alone.
    """
    draws = max(1, count // repeat)
    return (torch.arange(count, device=device) // repeat).clamp(max=draws - 1)


class UniformCondition(ConditionSampler):
    """One number per trajectory, uniform in [low, high]: an inverse temperature, say.

    Args:
        low: Smallest value.
        high: Largest value.
        repeat: Each draw serves this many trajectories in a row (objectives that compare
            trajectories of equal condition need at least 2).
        levels: Draw from this many equally spaced values instead of the whole interval.
    """

    def __init__(self, low: float, high: float, repeat: int = 1, levels: int | None = None) -> None:
        if not low <= high or repeat < 1 or (levels is not None and levels < 2):
            raise ConfigError(
                f"UniformCondition: need low <= high, repeat >= 1 and levels >= 2 or None, got "
                f"{low}, {high}, {repeat}, {levels}."
            )
        self.low, self.high, self.repeat, self.levels = low, high, repeat, levels

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, 1) values."""
        device = generator.device if generator is not None else torch.device("cpu")
        turn = in_turns(count, self.repeat, device)
        draws = max(1, count // self.repeat)
        if self.levels is None:
            unit = torch.rand(draws, 1, generator=generator, device=device)
        else:
            level = torch.randint(self.levels, (draws, 1), generator=generator, device=device)
            unit = level.to(torch.get_default_dtype()) / (self.levels - 1)
        value = self.low + (self.high - self.low) * unit
        return value[turn]

    def probes(self, count: int) -> Tensor:
        """(E, 1) evenly spaced, from the lowest to the highest."""
        return evenly(count, self.low, self.high)


class TableCondition(ConditionSampler):
    """Rows of a table, all equally likely: data points whose posteriors are wanted, say.

    Args:
        table: (K, C) conditions.
        repeat: Each draw serves this many trajectories in a row.
    """

    def __init__(self, table: Tensor, repeat: int = 1) -> None:
        if table.dim() != 2 or not len(table) or repeat < 1:
            raise ConfigError(
                f"TableCondition: needs a table (K, C) with rows and repeat >= 1, got "
                f"{tuple(table.shape)} and {repeat}."
            )
        self.table, self.repeat = table, repeat

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, C) rows."""
        device = generator.device if generator is not None else torch.device("cpu")
        draws = max(1, count // self.repeat)
        rows = torch.randint(len(self.table), (draws,), generator=generator, device=device)
        return self.table.to(device)[rows[in_turns(count, self.repeat, device)]]

"""Outcomes that were achieved, to ask for them again."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count
from gflow.checks import check_shapes, checked
from gflow.conditions.draws import ConditionSampler, in_turns
from gflow.distinct import Distinct
from gflow.environment.keys import hash_rows
from gflow.errors import ConfigError
from gflow.outcomes.conditioned import outcomes_of
from gflow.trajectories import Trajectories


class VisitedOutcomes(ConditionSampler):
    """Conditions drawn evenly from the different outcomes that trajectories were told.

    Give `observe` to the trainer as a callback. Where there is no room an outcome takes the place
    of the one that has been there longest.

    Args:
        first: (K, C) outcomes to begin with, such as those of `wander`.
        capacity: Number of outcomes kept.
        repeat: Each draw serves this many trajectories in a row.

    Attributes:
        table: (K, C) the outcomes, the latest last.
    """

    @checked
    def __init__(self, first: Tensor, capacity: Count = 65536, repeat: Count = 1) -> None:
        check_shapes("VisitedOutcomes", first=(first, "K C"))
        if not len(first):
            raise ConfigError("VisitedOutcomes: give at least one outcome to begin with.")
        self.capacity, self.repeat = capacity, repeat
        self.table, self._keys = first[:0].cpu(), torch.zeros(0, dtype=torch.int64)
        self.add(first)

    def __len__(self) -> int:
        return len(self.table)

    def add(self, outcomes: Tensor) -> None:
        """Remember those of (B, C) outcomes that are not among them."""
        given = outcomes.to(self.table)
        keys = hash_rows(given)
        first, _ = Distinct(None)(keys)
        new = first[~torch.isin(keys[first], self._keys)].sort().values
        if len(new):
            self.table = torch.cat([self.table, given[new]])[-self.capacity :]
            self._keys = torch.cat([self._keys, keys[new]])[-self.capacity :]

    def __call__(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, C) outcomes.

        Example:
            >>> VisitedOutcomes(torch.ones(1, 2))(3).tolist()
            [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
        """
        device = torch.device("cpu") if generator is None else generator.device
        draws = max(1, count // self.repeat)
        rows = torch.randint(len(self.table), (draws,), generator=generator, device=device)
        return self.table.to(device)[rows[in_turns(count, self.repeat, device)]]

    def observe(self, trainer: Any, batch: Trajectories[Any], record: dict[str, float]) -> None:
        """Remember what the trajectories of a batch achieved."""
        if len(batch):
            self.add(outcomes_of(trainer.env, batch.final_states))

    def state_dict(self) -> dict[str, Any]:
        """The outcomes."""
        return {"table": self.table.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.table = state["table"].clone()
        self._keys = hash_rows(self.table)

"""The conditions at which a run is measured, and what becomes of their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gflow.conditions.draws import SHORT
from gflow.exact.graph import StateGraph

if TYPE_CHECKING:
    from gflow.tasks.conditional import Conditions

LEVELS = 5
"""How many conditions a run is measured at."""

SHOWN = ("tv", "log_z_error", "optimal", "elbo")
"""Metrics that are reported for each condition, beside their mean; the first two of those there."""


@dataclass(frozen=True)
class Levels:
    """Conditions at which a sampler is measured.

    Attributes:
        conditions: (E, C).
        labels: A short name of each, for names of metrics; none where they are long.
        graphs: All states for each of them, where they are listed.
    """

    conditions: Tensor
    labels: tuple[str, ...]
    graphs: tuple[StateGraph[Any], ...] | None

    def __len__(self) -> int:
        return len(self.conditions)

    def together(self, rows: Sequence[dict[str, float]]) -> dict[str, float]:
        """Means over the conditions of metrics that all of them have, and some of each.

        Args:
            rows: Metrics of each condition.
        """
        names = [name for name in rows[0] if all(name in row for row in rows)]
        numbers = {name: sum(row[name] for row in rows) / len(rows) for name in names}
        for name in [name for name in SHOWN if name in numbers][:2]:
            for label, row in zip(self.labels, rows, strict=False):
                numbers[f"{name}_at_{label}"] = row[name]
        return numbers


def levels_of(told: "Conditions", graph: StateGraph[Any] | None) -> Levels | None:
    """Where a run is measured; None for samplers that are told nothing.

    Data points, images and outcomes, which environments are told by themselves, are many: at a few
    of them only what is exact says something.

    Args:
        told: What the sampler is told.
        graph: All states, or None.
    """
    if told.draw is None or not told.env.condition_dim or not (graph or told.chosen):
        return None
    conditions = told.draw.probes(LEVELS)
    labels = tuple(map(told.draw.label, conditions)) if conditions.shape[1] <= SHORT else ()
    graphs = None if graph is None else tuple(graph.told(row) for row in conditions)
    return Levels(conditions, labels, graphs)

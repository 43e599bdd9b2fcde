"""`gflow train architecture`."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.architectures.data import (
    EDGES,
    OPERATIONS,
    ArchitectureTable,
    cell_index,
    load_architectures,
    synthetic_architectures,
)
from gflow.envs.architectures.env import ArchitectureReward, Architectures, ArchitectureScores
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.several import SeveralScores, enumerated_front
from gflow.tasks.shown import Picture, Shown
from gflow.tasks.task import Context, RunOptions
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class ArchitectureTask(SeveralScores):
    """Cells of neural networks, by the accuracy that networks made of them reach.

    Attributes:
        table: File of accuracies of all cells, or "synthetic" for a made-up landscape.
        judge: A second file, whose columns are only reported, such as longer training.
        column: Accuracy that is rewarded; the first column of the table if empty.
        scores: Columns, and "lightness" for few weights, as several scores instead of one column.
        low: Smallest log-reward of a single column, and that of unfinished cells.
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy.
    """

    name: ClassVar[str] = "architecture"
    summary: ClassVar[str] = "cells of networks by accuracy (NATS-Bench); exact distribution known"
    train: ClassVar[TrainConfig] = TrainConfig(steps=2000, batch_size=32, epsilon=0.05)
    run: ClassVar[RunOptions] = RunOptions(threads=1, eval_every=500)
    exact_limit: ClassVar[int] = 50_000
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "mean_score",
        "mean_reward",
        "best_accuracy",
        "regret",
        "log_z_error",
        "hypervolume_ratio",
        "igd_plus",
    )

    table: str = "synthetic"
    judge: str = ""
    column: str = ""
    scores: tuple[str, ...] = ()
    low: float = -12.0
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "uniform"

    def environment(self) -> Architectures:
        """The cells."""
        table = read_table(self.table)
        if self.scores:
            return Architectures(ArchitectureScores(table, self.scores, self.scalarization()))
        return Architectures(ArchitectureReward(table, self.rewarded, self.beta, self.low))

    @property
    def rewarded(self) -> str:
        """The column that is rewarded, or by which several scores are judged."""
        return self.column or read_table(self.table).columns[0]

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(
            env,
            self.width,
            self.depth,
            own_backward(self.backward),
            log_flow=needs.log_flow,
            condition_encoder=self.condition_encoder(env),
        )

    def known_front(self, env: DiscreteEnvironment[Any]) -> Tensor | None:
        """(M, K) the front among all cells."""
        return enumerated_front(self) if self.scores else None

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """The best cell so far by the rewarded column, as that and as all others see it."""
        numbers = super().metrics(context, objects)
        table = read_table(self.table)
        mean = table.column(self.rewarded)[cell_index(objects).cpu()].mean()
        numbers["mean_accuracy"] = float(mean)
        if context.best is None or not len(context.best):
            return numbers
        column = table.column(self.rewarded)
        rows = cell_index(context.best.states)
        best = rows[column[rows].argmax()]
        numbers["best_accuracy"] = float(column[best])
        numbers["regret"] = float(column.max() - column[best])
        judges = table.joined(read_table(self.judge)) if self.judge else table
        for name, value in zip(judges.columns, judges.values[best].tolist(), strict=True):
            numbers[f"best_{name}"] = value
        return numbers

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The best cells as a text file; the front as a picture, if there is one."""
        if context.best is not None:
            lines = context.env.show(context.best.states)
            values = read_table(self.table).column(self.rewarded)
            shown = values[cell_index(context.best.states)].tolist()
            pairs = sorted(zip(shown, lines, strict=True), reverse=True)
            text = "".join(f"{value:.3f}\t{line}\n" for value, line in pairs)
            (folder / "cells.tsv").write_text(text)
        return super().artifacts(context, folder)

    def pictures(self, shown: Shown) -> dict[str, Picture]:
        """The best cells, drawn and as text."""
        from gflow.envs.architectures.draw import cells_picture

        found = shown.best(3)
        if found is None:
            return {}
        column = read_table(self.table).column(self.rewarded)
        values = column[cell_index(found[0]).cpu()].tolist()
        cells = [
            (
                [(*edge, OPERATIONS[name]) for edge, name in zip(EDGES, row, strict=True)],
                f"accuracy ({self.rewarded}): {value:.2f}",
            )
            for row, value in zip(found[0].tolist(), values, strict=True)
        ]
        return {"cells": cells_picture(cells, "The best cells and their operations.")}

    def report(self, context: Context) -> str:
        """The best cell, and a warning where nothing was measured."""
        lines = []
        if context.best is not None and len(context.best):
            column = read_table(self.table).column(self.rewarded)
            rows = cell_index(context.best.states)
            place = int(column[rows].argmax())
            cell = context.env.show(context.best.states[torch.tensor([place])])[0]
            lines.append(f"best cell by {self.rewarded}: {float(column[rows[place]]):.3f}  {cell}")
        if self.table == "synthetic":
            lines.append("This landscape is made up; give a measured one with --table FILE.")
        return "\n".join(lines)


@lru_cache(maxsize=4)
def read_table(name: str) -> ArchitectureTable:
    """A table by the name of its file, read once."""
    return synthetic_architectures() if name == "synthetic" else load_architectures(name)

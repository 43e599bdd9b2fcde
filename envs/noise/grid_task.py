"""`gflow train stochastic-grid`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, Probability
from gflow.envs.noise.grid import StochasticGrid
from gflow.envs.noise.metrics import expected_law, expected_metrics
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.config import TrainConfig


@dataclass(frozen=True)
class StochasticGridTask(Task[StochasticGrid]):
    """Cells of a grid on which the agent is moved elsewhere than it means to go.

    Attributes:
        dim: Number of coordinates.
        side: Values per coordinate.
        stick: Probability that a uniform movement replaces the intended one.
        width: Units per hidden layer.
        depth: Hidden layers.
        backward: Backward policy over parents and what may have been meant there.
    """

    name: ClassVar[str] = "stochastic-grid"
    summary: ClassVar[str] = "cells of a slippery grid; exact expected flows known"
    train: ClassVar[TrainConfig] = TrainConfig(steps=3000, batch_size=16, lr=1e-3, epsilon=0.01)
    run: ClassVar[RunOptions] = RunOptions(threads=1)
    objective: ClassVar[str] = "edb"
    headline: ClassVar[tuple[str, ...]] = (
        "loss",
        "tv",
        "tv_expected",
        "tv_reward",
        "mean_reward",
        "log_z",
        "log_z_error",
    )

    dim: Count = 2
    side: Count = 8
    stick: Probability = 0.25
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "learned"

    def environment(self) -> StochasticGrid:
        """The grid."""
        return StochasticGrid(self.dim, self.side, self.stick)

    def policy(self, env: StochasticGrid, needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(env, self.width, self.depth, own_backward(self.backward), needs.log_flow)

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """The distances to expected flows and to R / Z."""
        return expected_metrics(context)

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """R / Z, expected flows and what was learned side by side, for two coordinates."""
        graph, policy = context.graph, context.policy
        if self.dim != 2 or graph is None or policy is None:
            return {}
        from gflow.tasks.pictures import heatmaps

        cells = graph.states.inner[graph.objects]

        def grid(law: Tensor) -> Tensor:
            found = torch.full((self.side, self.side), torch.nan, dtype=law.dtype)
            found[cells[:, 0], cells[:, 1]] = law.exp()
            return found

        path = folder / "distribution.png"
        laws = {
            "R / Z": grid(graph.log_target()),
            "expected flows": grid(expected_law(context)),
            "learned": grid(graph.terminal_distribution(policy)),
        }
        heatmaps(laws, path, ("coordinate 0", "coordinate 1"))
        return {"distribution": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {
            "distribution": "R / Z, the solution of expected flows, and what was learned.",
        }

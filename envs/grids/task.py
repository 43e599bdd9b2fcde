"""`gflow train hypergrid`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gflow.backward.choice import BackwardChoice, own_backward
from gflow.bounds import Count, NotNegative, Positive
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import (
    Corners,
    Cosine,
    CosineProduct,
    Deceptive,
    GridReward,
    Independent,
    Landscape,
    MultiScale,
    Sparse,
)
from gflow.errors import ConfigError
from gflow.policies.base import Policy
from gflow.policies.mlp import MLPPolicy
from gflow.rewards.wrappers import Tempered
from gflow.tasks.task import Context, RunOptions, Task
from gflow.terms import Needs
from gflow.training.trainer import TrainConfig


@dataclass(frozen=True)
class HypergridTask(Task[HyperGrid]):
    """Cells of a grid, reached from the corner step by step.

    Attributes:
        dim: Number of coordinates.
        side: Values per coordinate.
        reward: Reward family; independent has known marginals in any number of coordinates.
        r0: Base reward of corners, cosine and deceptive; 0 keeps the family's own.
        landscape: Function of the landscape reward: branin, currin, shubert, beale or sphere.
        levels: Digits of the multiscale reward; side must be 4^levels.
        beta: Inverse temperature of the reward.
        ending: "free": stop anywhere. "forced": the edge ends the trajectory.
        width: Units per hidden layer of the policy.
        depth: Hidden layers of the policy.
        backward: Backward policy.
    """

    name: ClassVar[str] = "hypergrid"
    summary: ClassVar[str] = "cells of a grid; exact distribution known"
    train: ClassVar[TrainConfig] = TrainConfig(steps=2000, batch_size=16, lr_half_life=500)
    run: ClassVar[RunOptions] = RunOptions(threads=1)

    dim: Count = 2
    side: Count = 8
    reward: Literal[
        "corners",
        "cosine",
        "cosine_product",
        "deceptive",
        "sparse",
        "multiscale",
        "landscape",
        "independent",
    ] = "corners"
    r0: NotNegative = 0.0
    landscape: str = "branin"
    levels: Count = 3
    beta: Positive = 1.0
    ending: Literal["free", "forced"] = "free"
    width: Count = 256
    depth: Count = 2
    backward: BackwardChoice = "learned"

    def grid_reward(self) -> GridReward:
        """The reward before the temperature."""
        base: dict[str, Any] = {"r0": self.r0} if self.r0 else {}
        match self.reward:
            case "corners":
                return Corners(self.side, **base)
            case "cosine":
                return Cosine(self.side, **base)
            case "cosine_product":
                return CosineProduct(self.side)
            case "deceptive":
                return Deceptive(self.side, **base)
            case "sparse":
                return Sparse(self.side)
            case "multiscale":
                return MultiScale(self.levels)
            case "landscape":
                return Landscape(self.side, {self.landscape: 1.0})
            case "independent":
                return Independent(self.side, self.dim)
        raise ConfigError(f"There is no hypergrid reward {self.reward!r}.")

    def environment(self) -> HyperGrid:
        """The grid."""
        reward = self.grid_reward()
        return HyperGrid(
            self.dim,
            self.side,
            reward if self.beta == 1 else Tempered(reward, self.beta),
            self.ending,
        )

    def policy(self, env: DiscreteEnvironment[Any], needs: Needs) -> Policy:
        """A multi-layer perceptron."""
        return MLPPolicy(
            env, self.width, self.depth, own_backward(self.backward), log_flow=needs.log_flow
        )

    def rewards(
        self, env: DiscreteEnvironment[Any], objects: Any, condition: Tensor | None = None
    ) -> Tensor | None:
        """(B,) the reward family's own, before the temperature; None where R is no float."""
        if self.reward == "independent":
            return None
        return self.grid_reward()(objects).exp()

    def metrics(self, context: Context, objects: Any) -> dict[str, float]:
        """Regions of modes that the best objects lie in; how far off the marginals are."""
        reward = self.grid_reward()
        if isinstance(reward, Independent) and self.ending == "free":
            exact = (reward.marginals().log() * self.beta).softmax(-1)
            found = torch.nn.functional.one_hot(objects.cpu(), self.side).double().mean(0)
            return {"marginal_tv": float((found - exact).abs().sum(-1).mean() / 2)}
        if not isinstance(reward, Corners) or context.best is None:
            return {}
        cells = context.best.states
        modes = cells[reward.is_mode(cells)]
        return {"mode_regions": float(len((modes > (self.side - 1) / 2).unique(dim=0)))}

    def artifacts(self, context: Context, folder: Path) -> dict[str, Path]:
        """The learned and the exact distribution side by side, for two coordinates."""
        graph, policy = context.graph, context.policy
        if self.dim != 2 or graph is None or policy is None:
            return {}
        from gflow.tasks.pictures import heatmaps

        cells = graph.states[graph.objects]
        distributions = {
            "exact": graph.log_target().exp(),
            "learned": graph.terminal_distribution(policy).exp(),
        }
        grids = {}
        for name, distribution in distributions.items():
            grid = torch.full((self.side, self.side), torch.nan, dtype=distribution.dtype)
            grid[cells[:, 0], cells[:, 1]] = distribution
            grids[name] = grid
        path = folder / "distribution.png"
        heatmaps(grids, path, ("coordinate 0", "coordinate 1"))
        return {"distribution": path}

    def captions(self) -> dict[str, str]:
        """What these show."""
        return {"distribution": "Exact and learned probability of each cell."}

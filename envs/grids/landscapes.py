"""Several test functions of optimisation on one two-dimensional grid: a small Pareto problem."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.rewards import LANDSCAPES
from gflow.errors import ConfigError, ShapeError, UnknownNameError
from gflow.rewards.scalarizations import Scalarization
from gflow.rewards.vector import VectorReward


class LandscapeScores(VectorReward[Tensor]):
    """Values of named test functions at the cells of a grid, about [0, 1] each.

    Coordinates are x, y in [-1, 1]. The scores make sense in every cell.

    Args:
        names: Among branin, currin, shubert, beale and sphere, each at most once.
        side: Values per coordinate.
        scalarization: How scores become log R; by default the logarithm of their mean.

    Raises:
        UnknownNameError: There is no such function.
        ConfigError: No function, or one twice.

    Reference:
        Jain et al., Multi-objective GFlowNets, 2022, https://arxiv.org/abs/2210.12765
    """

    has_partial = True

    def __init__(
        self, names: Sequence[str], side: int = 32, scalarization: Scalarization | None = None
    ) -> None:
        super().__init__(scalarization)
        for name in names:
            if name not in LANDSCAPES:
                raise UnknownNameError("landscape", name, LANDSCAPES)
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                f"LandscapeScores: need at least one function and none twice, got {list(names)}."
            )
        if side < 2:
            raise ConfigError(f"LandscapeScores: side must be at least 2, got {side}.")
        self.score_names, self.side = tuple(names), side
        self.num_scores = len(self.score_names)

    def scores(self, states: Tensor) -> Tensor:
        """(B, K) values of the functions."""
        if states.dim() != 2 or states.shape[1] != 2:
            raise ShapeError(f"LandscapeScores: cells must be (B, 2), got {tuple(states.shape)}.")
        x, y = (2 * states.double() / (self.side - 1) - 1).unbind(-1)
        found = torch.stack([LANDSCAPES[name](x, y) for name in self.score_names], -1)
        return found.to(torch.get_default_dtype())

    def partial(self, states: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) log R of the cell at hand."""
        return self(states, condition)

    def __repr__(self) -> str:
        return f"LandscapeScores({', '.join(self.score_names)})"


def landscape_grid(
    names: Sequence[str] = ("branin", "currin"),
    side: int = 32,
    scalarization: Scalarization | None = None,
    ending: Literal["free", "forced"] = "forced",
) -> HyperGrid:
    """A two-dimensional grid with several functions as scores.

    With 32 values per coordinate and forced ends, the usual benchmark, there are 1023 cells: the
    corner with both coordinates at the edge is never built.

    Args:
        names: The functions.
        side: Values per coordinate.
        scalarization: How scores become log R. If it reads a condition, so do the environment and
            policies for it.
        ending: "forced": a trajectory ends at the edge. "free": it may go on along it.

    Example:
        >>> env = landscape_grid(("branin", "currin"))
        >>> env.scores(torch.tensor([[0, 0]])).round(decimals=3).tolist()
        [[0.0, 0.218]]
    """
    reward = LandscapeScores(names, side, scalarization)
    env = HyperGrid(2, side, reward, ending)
    env.condition_dim = reward.condition_dim
    return env

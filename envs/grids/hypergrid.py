"""The hypergrid: cells reached from a corner, one coordinate at a time."""

from typing import Any, Literal

import torch
from torch import Tensor

from gflow.constants import constant
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.grids.rewards import Corners, GridReward
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward
from gflow.state import as_tuples

LARGEST_KEY = 2**62


class HyperGrid(DiscreteEnvironment[Tensor]):
    r"""Cells of a grid with `dim` coordinates in 0 ... side - 1, reached from the origin.

    **What is built.** A cell. **State.** (B, dim) int64 coordinates.

    **Forward actions.** 0 ... dim - 1 add one to a coordinate below side - 1; `dim` stops. With
    ``ending="free"`` any cell may stop. With ``ending="forced"`` a cell with a coordinate at
    side - 1 is finished on arrival, so cells with two such coordinates are never built.

    **Backward actions.** i subtracts one from coordinate i.

    **Reward.** Any `LogReward` of (B, dim) coordinates; see `gflow.envs.grids.rewards`.

    **Size.** side^dim cells (free), (side-1)^dim + dim (side-1)^(dim-1) objects (forced).

    Args:
        dim: Number of coordinates.
        side: Values per coordinate, at least 2.
        reward: By default `Corners()` with R0 = 0.1.
        ending: "free" or "forced".

    Example:
        >>> env = HyperGrid(dim=2, side=3)
        >>> cells = env.step(env.initial(1), torch.tensor([1]))
        >>> env.show(cells), env.forward_mask(cells).int().tolist()
        (['(0, 1)'], [[1, 1, 1]])

    Reference:
        Bengio et al., Flow Network based Generative Models for Non-Iterative Diverse Candidate
        Generation, 2021, https://arxiv.org/abs/2106.04399 (forced); Malkin et al., Trajectory
        balance, 2022, https://arxiv.org/abs/2201.13259 (free)
    """

    def __init__(
        self,
        dim: int = 2,
        side: int = 8,
        reward: LogReward[Tensor] | None = None,
        ending: Literal["free", "forced"] = "free",
    ) -> None:
        if dim < 1 or side < 2:
            raise ConfigError(f"HyperGrid: need dim >= 1 and side >= 2, got {dim} and {side}.")
        if ending not in ("free", "forced"):
            raise ConfigError(f"HyperGrid: ending must be 'free' or 'forced', got {ending!r}.")
        self.dim, self.side, self.ending = dim, side, ending
        self.reward = Corners(side) if reward is None else reward
        inner = self.reward
        while hasattr(inner, "reward"):  # inside wrappers
            inner = inner.reward
        if isinstance(inner, GridReward) and inner.side != side:
            raise ConfigError(
                f"HyperGrid: the reward {inner!r} is for side {inner.side}, the grid has side "
                f"{side}. Build both with the same side."
            )
        if getattr(inner, "dim", dim) != dim:
            raise ConfigError(
                f"HyperGrid: the reward {inner!r} is for {getattr(inner, 'dim', dim)} coordinates, "
                f"the grid has {dim}. Build both with the same number."
            )
        self.num_actions, self.num_backward_actions = dim + 1, dim
        self.stop_action = dim
        self.feature_sizes = (side,) * dim
        self.has_forced_terminals = ending == "forced"
        self.every_state_stops = ending == "free"
        self.horizon = dim * (side - 1) + 1
        if ending == "forced":
            self.horizon = max(1, dim * (side - 2) + 1)
        self.num_keys = side**dim
        if self.num_keys > LARGEST_KEY:  # keys would overflow 64 bits
            self.num_keys, self.has_keys = None, False  # type: ignore[misc]
        else:
            self._radix = side ** torch.arange(dim)

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        """(B, dim) zeros."""
        return torch.zeros(batch_size, self.dim, dtype=torch.int64, device=device)

    def forward_mask(self, states: Tensor) -> Tensor:
        """(B, dim + 1) coordinates below the edge, and the stop."""
        room = states < self.side - 1
        if self.ending == "free":
            return torch.nn.functional.pad(room, (0, 1), value=True)
        inside = room.all(-1, keepdim=True)
        return inside.expand(-1, self.num_actions)

    def backward_mask(self, states: Tensor) -> Tensor:
        """(B, dim) coordinates above zero; for forced ends only the one at the edge."""
        above = states > 0
        if self.ending == "free":
            return above
        edge = states == self.side - 1
        return above & (edge | ~edge.any(-1, keepdim=True))

    def is_terminal(self, states: Tensor) -> Tensor:
        """(B,) a coordinate has reached the edge, if that ends the trajectory."""
        edge = (states == self.side - 1).any(-1)
        return edge if self.ending == "forced" else torch.zeros_like(edge)

    def is_initial(self, states: Tensor) -> Tensor:
        """(B,) the origin."""
        return (states == 0).all(-1)

    def reaches(self, states: Tensor, objects: Tensor) -> Tensor:
        """(B,) no coordinate is larger, and nothing ended before."""
        below = (states <= objects).all(-1)
        return below & (~self.is_terminal(states) | (states == objects).all(-1))

    def key(self, states: Tensor) -> Tensor:
        """(B,) the number of the cell in mixed radix."""
        return (states * constant(self._radix, states.device)).sum(-1)

    def cells(self, keys: Tensor) -> Tensor:
        """(B, dim) the cells with the given keys."""
        return keys[:, None] // constant(self._radix, keys.device) % self.side

    def all_states(self, device: torch.device | str = "cpu") -> Tensor | None:
        """(side^dim, dim) all cells; the origin in place of those that are never built."""
        if self.num_keys is None:
            return None
        cells = self.cells(torch.arange(self.num_keys, device=device))
        if self.ending == "forced":
            beyond = (cells == self.side - 1).sum(-1, keepdim=True) > 1
            cells = cells.masked_fill(beyond, 0)
        return cells

    def max_entropy_logits(self, states: Tensor) -> Tensor:
        """(B, dim) log s_i: multinomial counts make n(parent_i) / n(s) = s_i / sum(s)."""
        return states.to(torch.get_default_dtype()).log()

    def log_partition(self) -> float | None:
        """Log Z from the reward's closed form (free ends only), if it has one."""
        if self.ending == "free" and isinstance(self.reward, GridReward):
            return self.reward.log_partition(self.dim)
        return None

    def show(self, states: Tensor) -> list[str]:
        """Coordinates."""
        return ["(" + ", ".join(map(str, row)) + ")" for row in states.tolist()]

    def written(self, states: Tensor) -> list[Any]:
        """Coordinates, as tuples of integers."""
        return as_tuples(states)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter_add(1, actions[:, None], torch.ones_like(actions)[:, None])

    def _backstep(self, states: Tensor, actions: Tensor) -> Tensor:
        return states.scatter_add(1, actions[:, None], torch.full_like(actions, -1)[:, None])

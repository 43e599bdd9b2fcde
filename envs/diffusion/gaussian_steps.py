"""Points of R^d that move to a target in Gaussian steps: what all such environments share."""

import copy
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from gflow.environment.continuous import PointEnvironment
from gflow.envs.diffusion.annealing_path import AnnealingPath
from gflow.envs.diffusion.process import check_grid, uniform_grid
from gflow.envs.targets.base import Target
from gflow.envs.targets.tempered import TemperedTarget
from gflow.errors import ConfigError
from gflow.rewards.base import LogReward


@dataclass(frozen=True)
class DiffusionState:
    """Points, with a counter of their moves.

    The integer counter, not a time that is added up, says where on the grid a point is.

    Attributes:
        x: (B, d) points; 0 at the source.
        step: (B,) int64 number of moves made.
        grid: (B,) int64 time grid of the trajectory; 0 at the source.
    """

    x: Tensor
    step: Tensor
    grid: Tensor


@dataclass(frozen=True)
class DiffusionInputs:
    """What networks read.

    Attributes:
        x: (N, d) points.
        time: (N,) times, or (1,) the time of all.
        gap: As many, times to the next step; 0 where there is none.
        target: What to ask for scores.
        path: Where the kernels read scores of an annealed density, its path.
        clip: Largest size of a coordinate of the target's scores.
    """

    x: Tensor
    time: Tensor
    gap: Tensor
    target: Target
    path: AnnealingPath | None = None
    clip: float = 1e2

    def score(self, condition: Tensor | None = None) -> Tensor:
        """(N, d) clipped scores of the target, never differentiated through."""
        x = self.x.detach()  # also where the point is a function of the policy (`retrace`)
        return self.target.score(x, condition).nan_to_num().clamp(-self.clip, self.clip)


class TargetReward(LogReward[DiffusionState]):
    """The log-density of a target at finished points.

    Args:
        target: The target.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    def __call__(self, states: DiffusionState, condition: Tensor | None = None) -> Tensor:
        """(B,) log-density."""
        return self.target.log_density(states.x, condition)

    def __repr__(self) -> str:
        return f"TargetReward({type(self.target).__name__})"


class GaussianSteps(PointEnvironment[DiffusionState]):
    r"""A point moves from the source to a sample of the target in T Gaussian steps.

    A subclass says the coefficients of its steps (`coefficients`), its kernels, and what flows look
    forward from (`partial_log_reward`).

    Where x_0 is noise there is one move more: from the source, a point, to x_0. Where there are
    several time grids, that move chooses one evenly (and stays at the point if there is no noise);
    the choice has the same probability forward and backward and is left out of both.

    Args:
        target: The density to sample from.
        times: (T + 1,) or (G, T + 1) time grids, or a number of equal steps.
        start_variance: Variance of x_0; 0 if it is a point.

    Attributes:
        num_drifts: Outputs that a network learns for the forward kernel; `num_outputs` may hold
            more.
        both_directions: The outputs of the backward kernel are those of the forward kernel.
    """

    fixed_length = True
    takes_noise = True
    num_drifts: int
    both_directions: bool = False

    def __init__(self, target: Target, times: Tensor | int, start_variance: float) -> None:
        grids = uniform_grid(times) if isinstance(times, int) else check_grid(times)
        self.target, self.times, self.start_variance = target, grids, start_variance
        self.dim = target.dim
        self.reward = TargetReward(target)
        self.condition_dim = target.condition_dim
        self.offset = int(start_variance > 0 or len(grids) > 1)
        self.horizon = grids.shape[1] - 1 + self.offset
        self._tables: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        self._timed: dict[tuple[Any, ...], tuple[Tensor, ...]] = {}

    @abstractmethod
    def coefficients(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """(G, T, K) of the steps from t to u, and (G, T, L) of those back; variances come last.

        Args:
            t: (G, T) times.
            u: (G, T) times that follow them.
        """

    # ------------------------------------------------------------------ states

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> DiffusionState:
        """The origin, before any move."""
        zero = torch.zeros(batch_size, dtype=torch.int64, device=device)
        return DiffusionState(torch.zeros(batch_size, self.dim, device=device), zero, zero)

    def objects(self, x: Tensor, grid: Tensor | None = None) -> DiffusionState:
        """Finished objects from (B, d) points, such as exact samples of the target.

        Args:
            x: (B, d).
            grid: (B,) int64 time grids of their trajectories; by default each in turn.
        """
        if x.dim() != 2 or x.shape[1] != self.dim:
            raise ConfigError(
                f"{self.name}: objects must be points (B, {self.dim}), got {tuple(x.shape)}."
            )
        if grid is None:
            grid = torch.arange(len(x), device=x.device) % len(self.times)
        return DiffusionState(x, torch.full_like(grid, self.horizon), grid)

    def points(self, states: DiffusionState) -> Tensor:
        """(B, d) the points."""
        return states.x

    def log_density_at(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) of the target."""
        return self.target.log_density(x, condition)

    def score_at(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B, d) of the target, detached."""
        return self.target.score(x, condition)

    def is_terminal(self, states: DiffusionState) -> Tensor:
        """(B,) all moves are made."""
        return states.step == self.horizon

    def is_initial(self, states: DiffusionState) -> Tensor:
        """(B,) no move is made."""
        return states.step == 0

    def time(self, states: DiffusionState) -> Tensor:
        """(B,) times in [0, 1]; 0 before the move into the noise too."""
        times = self._table(states.x)[2]
        return times[states.grid * (self.horizon + 1) + states.step]

    def clock(self, like: Tensor) -> Tensor:
        """(2, horizon + 1) the times and gaps of the first grid, move by move."""
        return torch.stack(self._table(like)[2:])[:, : self.horizon + 1]

    def encode(self, states: DiffusionState | DiffusionInputs) -> DiffusionInputs:
        """Points, times, gaps and the target; what `inputs` gave, off the grid too, as it is."""
        if isinstance(states, DiffusionInputs):
            return states
        gap = self._table(states.x)[3][states.grid * (self.horizon + 1) + states.step]
        return self.inputs(states.x, self.time(states), gap)

    def inputs(self, x: Tensor, time: Tensor, gap: Tensor | None = None) -> DiffusionInputs:
        """What networks read of (N, d) points at times off the grid too; the gap is a mean one."""
        if gap is None:
            gap = torch.full_like(time, 1 / (self.times.shape[1] - 1))
        return DiffusionInputs(x, time, gap, self.target)

    def show(self, states: DiffusionState) -> list[str]:
        """The first coordinates and the number of moves."""
        shown = states.x[:, :4].tolist()
        rest = ", ..." if self.dim > 4 else ""
        return [
            f"({', '.join(f'{v:.3g}' for v in row)}{rest}) after {step} of {self.horizon} moves"
            for row, step in zip(shown, states.step.tolist(), strict=True)
        ]

    @property
    def has_exact_objects(self) -> bool:
        """Where the target has exact samples, and needs no condition."""
        return self.target.has_samples and not self.condition_dim

    def exact_objects(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> DiffusionState:
        """`count` exact samples of the target; see `Environment.exact_objects`."""
        return self.objects(self.target.sample(count, generator, device=device))

    def log_partition(self) -> float | None:
        """Log Z of the target where it is known."""
        return self.target.log_z

    def with_temperature(self) -> Self:
        """The same on R^beta; see `Environment.with_temperature`."""
        return self.with_target(TemperedTarget(self.target))

    def with_target(self, target: Target) -> Self:
        """The same with another target of as many dimensions."""
        view = copy.copy(self)
        view.target, view.reward = target, TargetReward(target)
        view.condition_dim = target.condition_dim
        return view

    # ------------------------------------------------------------------ coefficients

    def forward_coefficients(self, grid: Tensor, step: Tensor, like: Tensor) -> Tensor:
        """(B, K) of the moves from `step`."""
        return self._table(like)[0][grid * self.horizon + step.clamp(max=self.horizon - 1)]

    def backward_coefficients(self, grid: Tensor, step: Tensor, like: Tensor) -> Tensor:
        """(B, L) of the moves back from `step`."""
        return self._table(like)[1][grid * self.horizon + (step - 1).clamp(min=0)]

    def timed_coefficients(
        self, ahead: bool, first: int, times: int, like: Tensor
    ) -> tuple[Tensor, ...]:
        """(times, 1) each, ahead or back, of the moves number `first` and following; remembered."""
        key = ahead, first, times, like.device, like.dtype
        if key not in self._timed:
            table = self._table(like)[0 if ahead else 1][first : first + times]
            self._timed[key] = table.unsqueeze(1).unbind(-1)
        return self._timed[key]

    def _table(self, like: Tensor) -> list[Tensor]:
        """Flat tables of coefficients ahead and back, times and gaps, of the type of `like`."""
        key = (like.device, like.dtype)
        if key not in self._tables:
            t, u = self.times[:, :-1], self.times[:, 1:]
            ahead, back = self.coefficients(t, u)
            times = self.times
            gaps = torch.nn.functional.pad(u - t, (0, 1))
            if self.offset:  # the move from the source to time 0
                noise, point = torch.zeros_like(ahead[:, :1]), torch.zeros_like(back[:, :1])
                noise[..., -1] = self.start_variance
                ahead, back = torch.cat([noise, ahead], 1), torch.cat([point, back], 1)
                times = torch.cat([times[:, :1], times], 1)
                gaps = torch.cat([torch.zeros_like(gaps[:, :1]), gaps], 1)
            found = ahead.flatten(0, 1), back.flatten(0, 1), times.reshape(-1), gaps.reshape(-1)
            self._tables[key] = [table.to(like) for table in found]
        return self._tables[key]

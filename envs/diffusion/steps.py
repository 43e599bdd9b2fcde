"""Gaussian steps of N states, ahead and back: what the kernels of all diffusions share."""

from abc import abstractmethod
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from gflow.environment.density import Density, gaussian_log_prob
from gflow.envs.diffusion.gaussian_steps import DiffusionState, GaussianSteps
from gflow.state import take


class Step(Density[DiffusionState]):
    """A Gaussian step from each of N states.

    The N states are R runs of n = N / R, and what depends on the time is looked up once a run: R
    is N, unless the law was told more (`timed`). Numbers of a run stand in one row of n d.

    Args:
        env: The environment.
        states: N states.
        outputs: (N, A) raw outputs of a policy, or None.
    """

    first: int | None = None
    times: int

    def __init__(self, env: GaussianSteps, states: DiffusionState, outputs: Tensor | None) -> None:
        self.env, self.states, self.outputs = env, states, outputs

    def timed(self, first: int, times: int) -> Self:
        """One look-up a run, where there is one time grid; see `Density.timed`."""
        if len(self.env.times) > 1:
            return self
        view = type(self)(self.env, self.states, self.outputs)
        view.first, view.times = first, times
        return view

    def rows(self, values: Tensor) -> Tensor:
        """(R, n D) from (N, D)."""
        return values if self.first is None else values.reshape(self.times, -1)

    def take(self, rows: Tensor) -> Self:
        """The laws of some of the states."""
        outputs = None if self.outputs is None else self.outputs[rows]
        return type(self)(self.env, take(self.states, rows), outputs)

    def drawn(self, mean: Tensor, variance: Tensor, generator: torch.Generator | None) -> Tensor:
        """(N, d) points from (R, n d) means and variances."""
        x = self.states.x
        z = torch.randn(x.shape, dtype=mean.dtype, device=mean.device, generator=generator)
        return torch.addcmul(mean, variance.sqrt(), self.rows(z)).view(x.shape)

    def density(self, x: Tensor, mean: Tensor, variance: Tensor, may_force: bool) -> Tensor:
        """(N,) log-density of (N, d) points, 0 in the rows whose variance is."""
        forced = variance[:, 0] == 0
        if may_force:
            variance = variance.masked_fill(forced[:, None], 1.0)
        dim = self.env.dim
        shared = variance.shape[1] == 1
        spread = variance[:, :, None] if shared else variance.view(len(variance), -1, dim)
        points = self.rows(x).view(len(mean), -1, dim)
        value = gaussian_log_prob(points, mean.view(points.shape), spread)
        if may_force:
            value = value.masked_fill(forced[:, None], 0.0)
        return value.flatten()


class StepAhead(Step):
    """P_F of N states; a subclass says means and variances."""

    outputs: Tensor

    def coefficients(self, grid: Tensor) -> tuple[Tensor, ...]:
        """(R, 1) each, of the moves from the states on time grids (N,)."""
        if self.first is None:
            table = self.env.forward_coefficients(grid, self.states.step, self.states.x)
            return table.unsqueeze(1).unbind(-1)
        return self.env.timed_coefficients(True, self.first, self.times, self.states.x)

    @abstractmethod
    def moments(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """(R, n d) means and (R, n d) or (R, 1) variances on time grids (N,); 0 where forced."""

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[DiffusionState, None]:
        """N next states."""
        grid, step = self.states.grid, self.states.step
        if len(self.env.times) > 1:
            drawn = torch.randint(
                len(self.env.times), grid.shape, generator=generator, device=grid.device
            )
            grid = torch.where(step == 0, drawn, grid)
        mean, variance = self.moments(grid)
        if noise:
            variance = torch.where(variance > 0, variance + noise**2, variance)
        return DiffusionState(self.drawn(mean, variance, generator), step + 1, grid), None

    def retrace(self, states: DiffusionState) -> DiffusionState:
        """N next states as functions of means and variances; see `Density.retrace`."""
        mean, variance = self.moments(states.grid)
        moves = variance > 0
        std = torch.where(moves, variance, 1.0).sqrt()
        noise = ((self.rows(states.x) - mean) / std).detach().where(moves, 0.0)
        return replace(states, x=(mean + std * noise).view(states.x.shape))

    def log_prob(self, states: DiffusionState) -> Tensor:
        """(N,) log-density of N next states; 0 where the move is forced."""
        return self.density(states.x, *self.moments(states.grid), self.env.offset > 0)


class StepBack(Step):
    """P_B of N states; a subclass says means and variances."""

    def coefficients(self) -> tuple[Tensor, ...]:
        """(R, 1) each, of the moves back from the states."""
        s = self.states
        if self.first is None:
            table = self.env.backward_coefficients(s.grid, s.step, s.x)
            return table.unsqueeze(1).unbind(-1)
        return self.env.timed_coefficients(False, self.first - 1, self.times, s.x)

    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """(R, n d) means and (R, n d) or (R, 1) variances, 0 where the move is forced."""

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[DiffusionState, None]:
        """N previous states."""
        s = self.states
        step = s.step - 1
        grid = s.grid if len(self.env.times) == 1 else s.grid.where(step > 0, 0)
        x = self.drawn(*self.moments(), generator)
        return replace(s, x=x, step=step, grid=grid), None

    def log_prob(self, states: DiffusionState) -> Tensor:
        """(N,) log-density of N previous states; 0 where the move is forced."""
        return self.density(states.x, *self.moments(), may_force=True)

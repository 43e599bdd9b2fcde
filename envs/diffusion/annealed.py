"""Controlled Monte Carlo diffusions: annealed Langevin steps with a learned transport."""

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from gflow.envs.diffusion.annealing_path import AnnealingPath
from gflow.envs.diffusion.gaussian_steps import (
    DiffusionInputs,
    DiffusionState,
    GaussianSteps,
)
from gflow.envs.diffusion.steps import StepAhead, StepBack
from gflow.envs.targets.base import Target
from gflow.errors import ConfigError, IncompatibleError


class AnnealedLangevin(GaussianSteps):
    r"""A point follows an `AnnealingPath` by Langevin steps, and a learned drift carries it along.

    From x_0 ~ N(0, s_0^2 I), with h the length of step k, s_k^2 the rate at its start, and the
    drift w(x, t_k) = s_k f(x, t_k) of a network f,

    .. math::
        P_F(x_{k+1} \mid x_k) &= N\bigl(x_k
            + h (s_k^2 \nabla \log \pi_{t_k}(x_k) + w(x_k, t_k)),\; 2 s_k^2 h I\bigr) \\
        P_B(x_k \mid x_{k+1}) &= N\bigl(x_{k+1}
            + h (s_k^2 \nabla \log \pi_{t_{k+1}}(x_{k+1}) - w(x_{k+1}, t_{k+1})),\;
            2 s_k^2 h I\bigr)

    With f = 0 this is unadjusted annealed Langevin dynamics, already a sampler; what the network
    has to learn is by how much it lags behind the path. Both directions read the same outputs
    (`both_directions`), so one pass of the network over the states of a trajectory gives both.

    Raw outputs are (N, 2 d): f, and the score of pi_t, which is not differentiated through. A
    policy finds it with the condition at hand, by `score` or `DiffusionInputs.path`. The backward
    kernel without outputs has f = 0.

    Args:
        target: The density to sample from.
        variance: s_0^2.
        times: (T + 1,) or (G, T + 1) time grids, or a number of equal steps.
        rate: s^2 at time 0.
        end_rate: s^2 at time 1, with a geometric course between; by default as at time 0. Narrow
            modes need small steps, with h s^2 below their variance.
        power: Of the path's schedule t^p.
        clip: Largest size of a coordinate of the target's score.

    Raises:
        ConfigError: If a size is not positive.

    Reference:
        Vargas et al., Transport meets variational inference: controlled Monte Carlo diffusions,
        2023, https://arxiv.org/abs/2307.01050
    """

    both_directions = True

    def __init__(
        self,
        target: Target,
        variance: float = 1.0,
        times: Tensor | int = 100,
        rate: float = 1.0,
        end_rate: float | None = None,
        power: float = 1.0,
        clip: float = 1e2,
    ) -> None:
        end_rate = rate if end_rate is None else end_rate
        if not rate > 0 or not end_rate > 0 or not clip > 0:
            raise ConfigError(
                f"AnnealedLangevin: rate, end_rate and clip must be positive, got {rate}, "
                f"{end_rate} and {clip}."
            )
        super().__init__(target, times, variance)
        self.path = AnnealingPath(target, variance, power)
        self.rate, self.end_rate, self.clip = rate, end_rate, clip
        self.num_drifts = self.dim
        self.num_outputs = self.num_backward_outputs = 2 * self.dim

    def coefficients(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """(G, T, 3) h s^2, h s and 2 h s^2 of the steps, and (G, T, 4) back, with a 1 before."""
        h, rate = u - t, self.rate_at(t)
        pull, one = h * rate, torch.ones_like(h)
        ahead = torch.stack([pull, h * rate.sqrt(), 2 * pull], -1)
        return ahead, torch.stack([one, pull, h * self.rate_at(u).sqrt(), 2 * pull], -1)

    def with_target(self, target: Target) -> Self:
        """The same with another target, and a path to it."""
        view = super().with_target(target)
        view.path = replace(self.path, target=target)
        return view

    def rate_at(self, time: Tensor) -> Tensor:
        """s^2 at times of any shape."""
        ratio: Tensor = (self.end_rate / self.rate) ** time
        return self.rate * ratio

    def inputs(self, x: Tensor, time: Tensor, gap: Tensor | None = None) -> DiffusionInputs:
        """What networks read, and the path; see `GaussianSteps.inputs`."""
        plain = super().inputs(x, time, gap)
        return DiffusionInputs(x, time, plain.gap, self.target, self.path, self.clip)

    def score(self, states: DiffusionState, condition: Tensor | None = None) -> Tensor:
        """(N, d) gradient of log pi_t at N states, the target's part clipped; detached."""
        found = self.encode(states).score(condition)
        return self.path.score(states.x.detach(), self.time(states), found)

    def partial_log_reward(self, states: DiffusionState, condition: Tensor | None = None) -> Tensor:
        """(B,) log pi_t, which is log R at the end."""
        with torch.no_grad():
            value = self.path.log_density(states.x, self.time(states), condition)
            return self._checked(value, states)

    # ------------------------------------------------------------------ laws

    def forward_law(self, states: DiffusionState, outputs: Tensor) -> "AnnealedStep":
        """A Langevin step along the path, and the drift; from the source, a sample of x_0."""
        return AnnealedStep(self, states, outputs)

    def backward_law(
        self, states: DiffusionState, outputs: Tensor | None = None
    ) -> "AnnealedStepBack":
        """A Langevin step against the drift; from x_0 to the source by force.

        Raises:
            IncompatibleError: Without outputs, if the target reads a condition.
        """
        if outputs is None:
            if self.condition_dim:
                raise IncompatibleError(
                    "AnnealedLangevin: the backward kernel reads the score of a target that needs "
                    "a condition. Use a policy with a learned backward kernel (DiffusionPolicy)."
                )
            score = self.score(states)
            outputs = torch.cat([torch.zeros_like(score), score], -1)
        return AnnealedStepBack(self, states, outputs)


class AnnealedStep(StepAhead):
    """P_F of controlled annealed Langevin dynamics, for N states."""

    env: AnnealedLangevin

    def moments(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """(R, n d) means and (R, 1) variances; see `StepAhead.moments`."""
        pull, push, v = self.coefficients(grid)
        drift, score = map(self.rows, self.outputs.chunk(2, -1))
        return self.rows(self.states.x) + pull * score + push * drift, v


class AnnealedStepBack(StepBack):
    """P_B of controlled annealed Langevin dynamics, for N states."""

    env: AnnealedLangevin
    outputs: Tensor

    def moments(self) -> tuple[Tensor, Tensor]:
        """(R, n d) means and (R, 1) variances; see `StepBack.moments`."""
        c, pull, push, v = self.coefficients()
        drift, score = map(self.rows, self.outputs.chunk(2, -1))
        return c * self.rows(self.states.x) + pull * score - push * drift, v

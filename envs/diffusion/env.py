"""Diffusion samplers: Gaussian steps from a point or from noise to a target density on R^d."""

import torch
from torch import Tensor

from gflow.environment.density import gaussian_log_prob
from gflow.envs.diffusion.bridge import BrownianBridge
from gflow.envs.diffusion.gaussian_steps import (
    DiffusionInputs,
    DiffusionState,
    GaussianSteps,
    TargetReward,
)
from gflow.envs.diffusion.process import Brownian, Process
from gflow.envs.diffusion.steps import StepAhead, StepBack
from gflow.envs.targets.base import Target
from gflow.errors import ConfigError

__all__ = [
    "BackwardStep",
    "Diffusion",
    "DiffusionInputs",
    "DiffusionState",
    "ForwardStep",
    "TargetReward",
]


class Diffusion(GaussianSteps):
    r"""Gaussian steps of a reference process, with a learned drift, to a sample of the target.

    Steps are those of a `Process` with a learned drift. With `log_variance_range` c > 0 the policy
    also chooses the variance of each coordinate, :math:`v e^{c \tanh l}`; with `backward_range`
    rho > 0 the backward kernel is learned around that of the process: its mean is
    :math:`x' - (1 - c)(1 + \rho \tanh a) x'` and its variance :math:`w (1 + \rho \tanh b)`.

    A process that starts from noise has one move more: from the source, a point, to
    x_0 ~ N(0, nu^2 I). Where there are several time grids, that move chooses one evenly (and stays
    at the point if there is no noise); the choice has the same probability forward and backward
    and is left out of both.

    Args:
        target: The density to sample from.
        process: The reference process; by default Brownian motion of rate 1.
        times: (T + 1,) or (G, T + 1) time grids, or a number of equal steps.
        log_variance_range: c; 0 fixes the variance.
        backward_range: rho, in [0, 1); 0 fixes the backward kernel.
        floor: Flows look forward from the process at no time below this (see
            `partial_log_reward`); by default the first step of the grid.

    Reference:
        Sendera et al., Improved off-policy training of diffusion samplers, 2024,
        https://arxiv.org/abs/2402.05098
    """

    reparametrised = True

    def __init__(
        self,
        target: Target,
        process: Process | None = None,
        times: Tensor | int = 100,
        log_variance_range: float = 0.0,
        backward_range: float = 0.0,
        floor: float | None = None,
    ) -> None:
        if not log_variance_range >= 0 or not 0 <= backward_range < 1:
            raise ConfigError(
                f"Diffusion: log_variance_range must not be negative and backward_range must lie "
                f"in [0, 1), got {log_variance_range} and {backward_range}."
            )
        process = Brownian() if process is None else process
        super().__init__(target, times, process.start_variance)
        self.process = process
        self.log_variance_range, self.backward_range = log_variance_range, backward_range
        self.num_drifts = self.num_outputs = self.dim * (2 if log_variance_range else 1)
        self.num_backward_outputs = self.dim * 2 if backward_range else 0
        self.floor = float(self.times[:, 1].min()) if floor is None else floor

    def coefficients(self, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """(G, T, 3) a, b, v of the steps of the process, and (G, T, 2) c, w of those back."""
        process = self.process
        return torch.stack(process.forward(t, u), -1), torch.stack(process.backward(t, u), -1)

    def bridge(self) -> BrownianBridge:
        """The Brownian bridge; see `ContinuousEnvironment.bridge`."""
        return BrownianBridge(self)

    # ------------------------------------------------------------------ laws

    def forward_law(self, states: DiffusionState, outputs: Tensor) -> "ForwardStep":
        """A Gaussian step with the learned drift."""
        return ForwardStep(self, states, outputs)

    def backward_law(self, states: DiffusionState, outputs: Tensor | None = None) -> "BackwardStep":
        """A Gaussian step back; to the source by force."""
        return BackwardStep(self, states, outputs)

    def partial_log_reward(self, states: DiffusionState, condition: Tensor | None = None) -> Tensor:
        r"""(B,) log-density of the process and of the target, mixed by time.

        .. math:: (1 - t) \log N(x; 0, \sigma_t^2 I) + t \log R(x)

        with the variance of the process at time max(t, `floor`).
        """
        with torch.no_grad():
            time = self.time(states)
            variance = self.process.marginal_variance(time.clamp(min=self.floor))[:, None]
            base = gaussian_log_prob(states.x, torch.zeros_like(states.x), variance)
            value = (1 - time) * base + time * self.reward(states, condition)
            return self._checked(value, states)


class ForwardStep(StepAhead):
    """P_F of a diffusion, for N states; its outputs are (N, d) drifts, and log-variances."""

    env: Diffusion

    def moments(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """(R, n d) means and (R, n d) or (R, 1) variances; see `StepAhead.moments`."""
        env = self.env
        a, b, v = self.coefficients(grid)
        drift = self.rows(self.outputs[:, : env.dim])
        mean = a * self.rows(self.states.x) + b * drift
        if env.log_variance_range:
            scale = env.log_variance_range * torch.tanh(self.rows(self.outputs[:, env.dim :]))
            v = v * torch.where(b == 0, 0.0, scale).exp()  # the move to time 0 is fixed
        return mean, v


class BackwardStep(StepBack):
    """P_B of a diffusion, for N states; its outputs are (N, 2 d) corrections, or None."""

    env: Diffusion

    def moments(self) -> tuple[Tensor, Tensor]:
        """(R, n d) means and (R, n d) or (R, 1) variances; see `StepBack.moments`."""
        env, x = self.env, self.rows(self.states.x)
        c, w = self.coefficients()
        if self.outputs is None or not env.backward_range:
            return c * x, w
        shift, scale = (env.backward_range * torch.tanh(self.outputs)).chunk(2, -1)
        shift = self.rows(shift).masked_fill(w == 0, 0.0)
        return x - (1 - c) * (1 + shift) * x, w * (1 + self.rows(scale))

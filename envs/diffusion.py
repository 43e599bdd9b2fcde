"""Diffusion samplers: Gaussian steps from a point or from noise to a target density on R^d."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gflow.envs.diffusion_bridge import BrownianBridge
from gflow.envs.diffusion_process import Brownian, Process, check_grid, uniform_grid
from gflow.envs.targets.base import Target
from gflow.errors import ConfigError
from gflow.kernel import Kernel, gaussian_log_prob
from gflow.kernel_env import PointEnvironment
from gflow.reward import LogReward


@dataclass(frozen=True)
class DiffusionState:
    """Points on their way, with a counter of their moves.

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
        time: (N,) times.
        gap: (N,) time to the next step; 0 where there is none.
        target: What to ask for scores.
    """

    x: Tensor
    time: Tensor
    gap: Tensor
    target: Target


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


class Diffusion(PointEnvironment[DiffusionState]):
    r"""A point moves in T Gaussian steps from the source to a sample of the target.

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

    fixed_length = True
    takes_noise = True
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
        grids = uniform_grid(times) if isinstance(times, int) else check_grid(times)
        process = Brownian() if process is None else process
        self.target, self.process, self.times = target, process, grids
        self.log_variance_range, self.backward_range = log_variance_range, backward_range
        self.dim = target.dim
        self.reward = TargetReward(target)
        self.condition_dim = target.condition_dim
        self.offset = int(process.start_variance > 0 or len(grids) > 1)
        self.horizon = grids.shape[1] - 1 + self.offset
        self.num_outputs = self.dim * (2 if log_variance_range else 1)
        self.num_backward_outputs = self.dim * 2 if backward_range else 0
        self.floor = float(grids[:, 1].min()) if floor is None else floor
        self._tables: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}

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
                f"Diffusion: objects must be points (B, {self.dim}), got {tuple(x.shape)}."
            )
        if grid is None:
            grid = torch.arange(len(x), device=x.device) % len(self.times)
        return DiffusionState(x, torch.full_like(grid, self.horizon), grid)

    def points(self, states: DiffusionState) -> Tensor:
        """(B, d) the points."""
        return states.x

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(B,) of the target."""
        return self.target.log_density(x, condition)

    def score(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
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

    def encode(self, states: DiffusionState) -> DiffusionInputs:
        """Points, times, gaps and the target."""
        gap = self._table(states.x)[3][states.grid * (self.horizon + 1) + states.step]
        return DiffusionInputs(states.x, self.time(states), gap, self.target)

    def inputs(self, x: Tensor, time: Tensor) -> DiffusionInputs:
        """What networks read of (N, d) points at (N,) times off the grid; the gap is a mean one."""
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
        """`count` exact draws of the target; see `Space.exact_objects`."""
        return self.objects(self.target.sample(count, generator, device=device))

    def bridge(self) -> BrownianBridge:
        """The Brownian bridge; see `KernelEnvironment.bridge`."""
        return BrownianBridge(self)

    def log_partition(self) -> float | None:
        """Log Z of the target where it is known."""
        return self.target.log_z

    # ------------------------------------------------------------------ kernels

    def forward_kernel(self, states: DiffusionState, outputs: Tensor) -> "ForwardStep":
        """A Gaussian step with the learned drift."""
        return ForwardStep(self, states, outputs)

    def backward_kernel(
        self, states: DiffusionState, outputs: Tensor | None = None
    ) -> "BackwardStep":
        """A Gaussian step back; to the source by force."""
        return BackwardStep(self, states, outputs)

    def forward_coefficients(self, grid: Tensor, step: Tensor, like: Tensor) -> Tensor:
        """(B, 3) a, b, v of the moves from `step`."""
        return self._table(like)[0][grid * self.horizon + step.clamp(max=self.horizon - 1)]

    def backward_coefficients(self, grid: Tensor, step: Tensor, like: Tensor) -> Tensor:
        """(B, 2) c, w of the moves back from `step`."""
        return self._table(like)[1][grid * self.horizon + (step - 1).clamp(min=0)]

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

    def _table(self, like: Tensor) -> list[Tensor]:
        """Flat tables of coefficients ahead and back, times and gaps, of the type of `like`."""
        key = (like.device, like.dtype)
        if key not in self._tables:
            t, u = self.times[:, :-1], self.times[:, 1:]
            ahead = torch.stack(self.process.forward(t, u), -1)  # (G, T, 3)
            back = torch.stack(self.process.backward(t, u), -1)  # (G, T, 2)
            times = self.times
            gaps = torch.nn.functional.pad(u - t, (0, 1))
            if self.offset:  # the move from the source to time 0
                count = len(times)
                noise = times.new_tensor([0.0, 0.0, self.process.start_variance])
                ahead = torch.cat([noise.expand(count, 1, 3), ahead], 1)
                back = torch.cat([times.new_zeros(count, 1, 2), back], 1)
                times = torch.cat([times[:, :1], times], 1)
                gaps = torch.cat([torch.zeros_like(gaps[:, :1]), gaps], 1)
            found = ahead.reshape(-1, 3), back.reshape(-1, 2), times.reshape(-1), gaps.reshape(-1)
            self._tables[key] = [table.to(like) for table in found]
        return self._tables[key]


class ForwardStep(Kernel[DiffusionState]):
    """P_F of a diffusion, for N states.

    Args:
        env: The diffusion.
        states: N states.
        outputs: (N, d) drifts, or (N, 2 d) drifts and log-variances.
    """

    def __init__(self, env: Diffusion, states: DiffusionState, outputs: Tensor) -> None:
        self.env, self.states, self.outputs = env, states, outputs

    def moments(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """(N, d) means and (N, d) or (N, 1) variances on time grids (N,)."""
        env, x = self.env, self.states.x
        a, b, v = env.forward_coefficients(grid, self.states.step, x).unsqueeze(1).unbind(-1)
        drift = self.outputs[:, : env.dim]
        mean = a * x + b * drift
        if env.log_variance_range:
            scale = env.log_variance_range * torch.tanh(self.outputs[:, env.dim :])
            v = v * torch.where(b == 0, 0.0, scale).exp()  # the move to time 0 is fixed
        return mean, v

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
        z = torch.randn(mean.shape, dtype=mean.dtype, device=mean.device, generator=generator)
        return DiffusionState(mean + variance.sqrt() * z, step + 1, grid), None

    def retrace(self, states: DiffusionState) -> DiffusionState:
        """N next states as functions of means and variances; see `Kernel.retrace`."""
        mean, variance = self.moments(states.grid)
        moves = variance > 0
        std = torch.where(moves, variance, 1.0).sqrt()
        noise = ((states.x - mean) / std).detach().where(moves, 0.0)
        return replace(states, x=mean + std * noise)

    def log_prob(self, states: DiffusionState) -> Tensor:
        """(N,) log-density of N next states; 0 where the move is forced."""
        return _log_prob(states.x, *self.moments(states.grid), self.env.offset > 0)


class BackwardStep(Kernel[DiffusionState]):
    """P_B of a diffusion, for N states.

    Args:
        env: The diffusion.
        states: N states.
        outputs: (N, 2 d) corrections of mean and variance, or None.
    """

    def __init__(self, env: Diffusion, states: DiffusionState, outputs: Tensor | None) -> None:
        self.env, self.states, self.outputs = env, states, outputs

    def moments(self) -> tuple[Tensor, Tensor]:
        """(N, d) means and (N, d) or (N, 1) variances, 0 where the move is forced."""
        env, s = self.env, self.states
        c, w = env.backward_coefficients(s.grid, s.step, s.x).unsqueeze(1).unbind(-1)
        if self.outputs is None or not env.backward_range:
            return c * s.x, w
        shift, scale = (env.backward_range * torch.tanh(self.outputs)).chunk(2, -1)
        forced = w == 0
        shift = shift.masked_fill(forced, 0.0)
        return s.x - (1 - c) * (1 + shift) * s.x, w * (1 + scale)

    def sample(
        self, generator: torch.Generator | None = None, noise: float = 0.0
    ) -> tuple[DiffusionState, None]:
        """N previous states."""
        s = self.states
        mean, variance = self.moments()
        z = torch.randn(mean.shape, dtype=mean.dtype, device=mean.device, generator=generator)
        step = s.step - 1
        grid = s.grid if len(self.env.times) == 1 else s.grid.where(step > 0, 0)
        x = mean + variance.sqrt() * z
        return replace(s, x=x, step=step, grid=grid), None

    def log_prob(self, states: DiffusionState) -> Tensor:
        """(N,) log-density of N previous states; 0 where the move is forced."""
        return _log_prob(states.x, *self.moments(), may_force=True)


def _log_prob(x: Tensor, mean: Tensor, variance: Tensor, may_force: bool) -> Tensor:
    """(N,) log-density of a Gaussian step, 0 where its variance is."""
    if not may_force:
        return gaussian_log_prob(x, mean, variance)
    forced = variance[:, 0] == 0
    variance = variance.masked_fill(forced[:, None], 1.0)
    return gaussian_log_prob(x, mean, variance).masked_fill(forced, 0.0)

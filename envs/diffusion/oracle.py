"""The exact optimum of a diffusion sampler, written as a policy."""

from typing import Any, Literal

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.density import gaussian_log_prob
from gflow.envs.diffusion.env import Diffusion, DiffusionState
from gflow.envs.diffusion.process import Brownian
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.oracle import reverse_kernel
from gflow.errors import IncompatibleError
from gflow.policies.base import Policy, PolicyOutput


class OraclePolicy(Policy):
    r"""Steps with the mean of the exact time reversal and, where it is learned, its variance.

    With a Gaussian target and `log_variance_range` it is the exact sampler: every residual
    vanishes. With other targets its gap tells what a perfect network can reach with Gaussian steps
    at the T at hand.

    Args:
        env: A diffusion with a `Brownian` process and a target whose bridge has known moments.

    Raises:
        IncompatibleError: For other processes, and for targets that read conditions.
    """

    backward: Literal["uniform"] = "uniform"

    def __init__(self, env: Diffusion) -> None:
        super().__init__()
        if env.condition_dim:
            raise IncompatibleError(
                f"OraclePolicy reads no condition, and {env.target!r} has one. Use DiffusionPolicy."
            )
        if not isinstance(env.process, Brownian):
            raise IncompatibleError(
                f"OraclePolicy knows the time reversal of Brownian bridges, not of {env.process!r}."
            )
        self.env, self.sigma2 = env, env.process.sigma2
        self.has_log_flow = isinstance(env.target, Gaussian)
        self.register_parameter("unused", torch.nn.Parameter(torch.zeros(())))

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        """Drifts, log-variances and, for Gaussian targets, log F."""
        own, x = self.env, states.x
        last = states.step.clamp(own.offset, own.horizon - 1)
        now = own.time(DiffusionState(x, last, states.grid))
        later = own.time(DiffusionState(x, last + 1, states.grid))
        mean, variance = reverse_kernel(own.target, x, now, later, self.sigma2)
        a, b, v = own.forward_coefficients(states.grid, last, x).unsqueeze(1).unbind(-1)
        outputs = (mean - a * x) / b
        if own.log_variance_range:
            share = (variance / v).log() / own.log_variance_range
            outputs = torch.cat([outputs, share.atanh()], -1)
        return PolicyOutput(outputs, None, self._log_flow(states) if self.has_log_flow else None)

    def _log_flow(self, states: DiffusionState) -> Tensor:
        """(N,) log C N(x; t m, v_t), log C at the source, which is a point."""
        x, t = states.x, self.env.time(states)
        target = self.env.target
        assert isinstance(target, Gaussian)
        assert target.log_z is not None
        time = t[:, None]
        mean, own = target.constant("mean", x), target.constant("variance", x)
        variance = time.square() * own + self.sigma2 * time * (1 - time)
        variance = torch.where(time > 0, variance, 1.0)
        density = gaussian_log_prob(x, time * mean, variance.expand_as(x))
        return target.log_z + density.where(t > 0, 0.0)

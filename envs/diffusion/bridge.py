"""The Brownian bridge of a diffusion, for objectives that need no trajectory."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gflow.environment.bridge import Bridge
from gflow.envs.diffusion.gaussian_steps import TargetReward
from gflow.envs.diffusion.process import Brownian
from gflow.errors import IncompatibleError

if TYPE_CHECKING:
    from gflow.envs.diffusion.env import Diffusion, DiffusionInputs, DiffusionState


class BrownianBridge(Bridge["DiffusionState"]):
    r"""Brownian motion of rate sigma^2 from 0, given its end.

    .. math:: X_t \mid X_1 \sim N(t X_1,\; \sigma^2 t (1 - t) I), \qquad
              \sigma^2 \nabla \log R(X_1) + X_1 = \text{pull}

    Times are any in [0, 1), not those of a grid alone.

    Args:
        env: A diffusion over Brownian motion with fixed variances and a fixed backward kernel.

    Raises:
        IncompatibleError: If it is another one.
    """

    def __init__(self, env: "Diffusion") -> None:
        process = env.process
        if not isinstance(process, Brownian):
            raise IncompatibleError(
                f"its drift is regressed on Brownian bridges, and the process is "
                f"{type(process).__name__}. Use Brownian, or kl, tb or vargrad."
            )
        if env.log_variance_range or env.backward_range:
            raise IncompatibleError(
                f"it fits a drift and nothing else, and this diffusion learns "
                f"{'variances' if env.log_variance_range else 'its backward kernel'} too. Set "
                f"log_variance_range and backward_range to 0, or use kl, tb or vargrad."
            )
        if not isinstance(env.reward, TargetReward):
            raise IncompatibleError(
                f"the reward is {env.reward!r}, and the drift is regressed on the score of the "
                f"target alone. Put what changes the density into the target, or use kl, tb or "
                f"vargrad."
            )
        self.env, self.sigma2 = env, process.sigma2
        self.sigma = math.sqrt(process.sigma2)

    def at(
        self, objects: "DiffusionState", time: Tensor, generator: torch.Generator | None = None
    ) -> "DiffusionInputs":
        """(N) points X_t given X_1 and their times; see `Bridge.at`."""
        x, t = objects.x, time[:, None]
        on = x.device if generator is None else generator.device
        z = torch.randn(x.shape, dtype=x.dtype, device=on, generator=generator).to(x.device)
        return self.env.inputs(t * x + (self.sigma2 * t * (1 - t)).sqrt() * z, time)

    def pull(
        self, objects: "DiffusionState", condition: Tensor | None = None, clip: float | None = None
    ) -> Tensor:
        """(N, d) sigma^2 score + X_1; see `Bridge.pull`."""
        with torch.no_grad():
            score = self.env.target.score(objects.x, condition)
            if clip is not None:
                norm = score.norm(dim=-1, keepdim=True)
                score = score * (clip / norm.clamp(min=clip))
            return self.sigma2 * score + objects.x

"""log Z of a density with one mode, by importance sampling around it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gflow.errors import ConfigError

CHUNK = 2**14


class LogZEstimate(NamedTuple):
    """An estimate of log Z with what it rests on.

    Attributes:
        log_z: The estimate.
        standard_error: Of the estimate, from the spread of the weights.
        ess: Effective sample size of the weights.
        laplace: The estimate by the height and the curvature of the mode alone.
        mode: (d,) the mode.
    """

    log_z: float
    standard_error: float
    ess: float
    laplace: float
    mode: Tensor


def laplace_importance(
    log_density: Callable[[Tensor], Tensor],
    start: Tensor,
    draws: int = 100_000,
    degrees: int | None = None,
    generator: torch.Generator | None = None,
) -> LogZEstimate:
    r"""Newton's method to the mode, then a Student t there with the inverse of the curvature.

    .. math:: \hat Z = \frac1N \sum_n R(x_n) / q(x_n), \qquad x_n \sim q

    Unbiased for Z whatever the density, and accurate if it is log-concave or nearly so.

    Args:
        log_density: ``(..., d) -> (...)``, differentiable twice.
        start: (d,) float64 point to climb from.
        draws: N.
        degrees: Degrees of freedom of the Student t; few make heavy tails, and cost draws in many
            dimensions. By default the larger of 5 and d.
        generator: Source of randomness.

    Raises:
        ConfigError: If no mode is found: the density is not log-concave near where it climbed.
    """
    degrees = max(5, len(start)) if degrees is None else degrees
    if draws < 2 or degrees < 1:
        raise ConfigError(
            f"laplace_importance: needs draws >= 2 and degrees >= 1, got {draws} and {degrees}."
        )
    mode, curvature = _climb(log_density, start.detach().clone())
    dim = len(mode)
    root = torch.linalg.cholesky(curvature)
    log_volume = -float(root.diagonal().log().sum())
    with torch.no_grad():
        height = float(log_density(mode))
    size: dict[str, Any] = {"generator": generator, "dtype": mode.dtype, "device": mode.device}
    log_weight = torch.empty(draws, dtype=mode.dtype, device=mode.device)
    for rows in torch.arange(draws, device=mode.device).split(CHUNK):
        noise = torch.randn(len(rows), dim, **size)
        chi = torch.randn(len(rows), degrees, **size).square().sum(-1, keepdim=True)
        noise = noise / (chi / degrees).sqrt()
        point = mode + torch.linalg.solve_triangular(root.mT, noise.mT, upper=True).mT
        with torch.no_grad():
            log_q = student_log_density(noise, degrees) - log_volume
            log_weight[rows] = log_density(point) - log_q
    log_z = float(log_weight.logsumexp(0)) - math.log(draws)
    share = (log_weight - log_z).exp()
    return LogZEstimate(
        log_z,
        float(share.std()) / math.sqrt(draws),
        float(share.sum().square() / share.square().sum()),
        height + dim / 2 * math.log(2 * math.pi) + log_volume,
        mode,
    )


def student_log_density(x: Tensor, degrees: int) -> Tensor:
    """(...) log-density of the standard Student t in d dimensions at (..., d) points."""
    dim = x.shape[-1]
    constant = (
        math.lgamma((degrees + dim) / 2)
        - math.lgamma(degrees / 2)
        - dim / 2 * math.log(degrees * math.pi)
    )
    return constant - (degrees + dim) / 2 * (x.square().sum(-1) / degrees).log1p()


def _climb(log_density: Callable[[Tensor], Tensor], point: Tensor) -> tuple[Tensor, Tensor]:
    """The mode and (d, d) minus the Hessian there, by Newton's method with halved steps."""
    for _ in range(200):
        with torch.inference_mode(False), torch.enable_grad():
            here = point.clone().requires_grad_()
            slope = torch.autograd.grad(log_density(here), here)[0]
            curvature = -torch.autograd.functional.hessian(log_density, point)
        root, info = torch.linalg.cholesky_ex(curvature)
        if int(info) == 0:
            step = torch.cholesky_solve(slope[:, None], root)[:, 0]
            gain = float(slope @ step)
            if gain < 1e-16 * len(point):
                return point, curvature
        else:
            step, gain = slope, float(slope @ slope)
        with torch.no_grad():
            before, scale = float(log_density(point)), 1.0
            while scale > 1e-10:
                after = float(log_density(point + scale * step))
                if after >= before + 1e-4 * scale * gain:
                    break
                scale /= 2
            else:
                if int(info) == 0 and gain < 1e-10 * len(point):
                    return point, curvature
                break
            point = point + scale * step
    raise ConfigError(
        "laplace_importance: no mode with a negative definite Hessian was found in 200 steps. Give "
        "another `start`, or use `gflow.mcmc.tempered_smc`, which needs no mode."
    )

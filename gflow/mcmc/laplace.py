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
    degrees: int = 5,
    pilot: int = 10_000,
    generator: torch.Generator | None = None,
) -> LogZEstimate:
    r"""Newton's method to the mode, and draws of a Student t around it as wide as the density.

    .. math:: \hat Z = \frac1N \sum_n R(x_n) / q(x_n), \qquad x_n \sim q

    Unbiased for Z whatever the density, and accurate if it is log-concave or nearly so.

    Args:
        log_density: ``(..., d) -> (...)``, differentiable twice.
        start: (d,) float64 point to climb from.
        draws: N.
        degrees: Degrees of freedom of the Student t; few make heavy tails.
        pilot: Draws around the mode whose weighted mean and covariance take the place of the
            mode and its curvature, if enough of them have weight; thrown away afterwards.
        generator: Source of randomness.

    Raises:
        ConfigError: If no mode is found: the density is not log-concave near where it climbed.
    """
    if draws < 2 or degrees < 1 or pilot < 0:
        raise ConfigError(
            f"laplace_importance: needs draws >= 2, degrees >= 1 and pilot >= 0, got {draws}, "
            f"{degrees} and {pilot}."
        )
    mode, curvature = _climb(log_density, start.detach().clone())
    dim = len(mode)
    precision_root = torch.linalg.cholesky(curvature)
    eye = torch.eye(dim, dtype=mode.dtype, device=mode.device)
    root = torch.linalg.solve_triangular(precision_root, eye, upper=False).mT
    log_volume = float(root.diagonal().log().sum())
    with torch.no_grad():
        height = float(log_density(mode))
        centre = mode
        if pilot:
            points, log_weight = _weigh(log_density, centre, root, pilot, degrees, generator)
            share = log_weight.softmax(0)
            if float(1 / share.square().sum()) > 10 * dim:
                centre = share @ points
                spread = (share[:, None] * (points - centre)).mT @ (points - centre)
                root = torch.linalg.cholesky(spread)
        parts = [
            _weigh(log_density, centre, root, len(rows), degrees, generator)[1]
            for rows in torch.arange(draws).split(CHUNK)
        ]
    log_weight = torch.cat(parts)
    log_z = float(log_weight.logsumexp(0)) - math.log(draws)
    share = (log_weight - log_z).exp()
    return LogZEstimate(
        log_z,
        float(share.std()) / math.sqrt(draws),
        float(share.sum().square() / share.square().sum()),
        height + dim / 2 * math.log(2 * math.pi) + log_volume,
        mode,
    )


def _weigh(
    log_density: Callable[[Tensor], Tensor],
    centre: Tensor,
    root: Tensor,
    count: int,
    degrees: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """(count, d) draws of a Student t with scale matrix `root` `root`^T, and log R - log q."""
    size: dict[str, Any] = {"generator": generator, "dtype": root.dtype, "device": root.device}
    noise = torch.randn(count, len(centre), **size)
    chi = torch.randn(count, degrees, **size).square().sum(-1, keepdim=True)
    noise = noise / (chi / degrees).sqrt()
    points = centre + noise @ root.mT
    log_q = student_log_density(noise, degrees) - root.diagonal().abs().log().sum()
    return points, log_density(points) - log_q


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

r"""Exact optima of diffusion samplers: the end of a bridge, given a point of it.

The path measure is the target at time 1 joined to the point 0 at time 0 by a Brownian bridge of
rate :math:`\sigma^2`, so that :math:`x_t \mid x_1 \sim N(t x_1, \sigma^2 t (1 - t))`. The mean and
the variance of x_1 given x_t are all that a perfect sampler with Gaussian steps needs.

The coordinates of x_1 need not be independent given x_t; what is returned is the mean and the
variance of each, the diagonal of the covariance.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gflow.envs.targets.base import Target
from gflow.envs.targets.double_well import ManyWell, log_well
from gflow.envs.targets.funnel import Funnel
from gflow.envs.targets.gaussian import Gaussian
from gflow.envs.targets.mixture import GaussianMixture
from gflow.envs.targets.rescaled import Rescaled
from gflow.errors import ConfigError, IncompatibleError

NODES = 256
"""Of a quadrature; a dozen for each standard deviation of the narrowest peak."""
NEGLIGIBLE = 40.0
"""exp(-40) is below what float64 resolves beside 1."""


def end_moments(
    target: Target, x: Tensor, t: Tensor | float, sigma2: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""(..., d) mean and (..., d) variance of x_1 given x_t.

    Closed form for Gaussians and mixtures, quadrature in one variable for double wells
    and funnels.

    Args:
        target: `Gaussian`, `GaussianMixture`, `ManyWell`, `Funnel`, or one of them rescaled.
        x: (..., d) points x_t. At t = 0 the point must be 0, and is not looked at.
        t: Time in [0, 1), a number or broadcastable to (...).
        sigma2: Rate of the bridge.

    Raises:
        IncompatibleError: For other targets.
        ConfigError: For a time outside [0, 1) or a rate that is not positive.
    """
    time = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    if not bool(((time >= 0) & (time < 1)).all()) or not sigma2 > 0:
        raise ConfigError(
            f"end_moments: needs 0 <= t < 1 and sigma2 > 0, got t from {float(time.min())} to "
            f"{float(time.max())} and sigma2={sigma2}."
        )
    time = time.expand(x.shape[:-1])[..., None]
    if isinstance(target, Rescaled):
        scale = target.scale
        mean, variance = end_moments(target.base, scale * x, t, sigma2 * scale**2)
        return mean / scale, variance / scale**2
    if isinstance(target, Gaussian):
        target = GaussianMixture(target.mean[None], target.variance[None])
    if isinstance(target, GaussianMixture):
        return _mixture(target, target.checked(x), time, sigma2)
    if isinstance(target, ManyWell):
        return _many_well(target.checked(x), time, sigma2)
    if isinstance(target, Funnel):
        return _funnel(target, target.checked(x), time, sigma2)
    raise IncompatibleError(
        f"end_moments: no closed form or quadrature for {target!r}; there is one for Gaussian, "
        f"GaussianMixture, ManyWell, Funnel, and these rescaled."
    )


def reverse_kernel(
    target: Target, x: Tensor, t: Tensor | float, t_next: Tensor | float, sigma2: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""(..., d) mean and variance of x_{t'} given x_t under the same path measure, t < t' <= 1.

    .. math::
        E = x + \tfrac{t' - t}{1 - t} (E[x_1 \mid x_t] - x), \quad
        V = \big(\tfrac{t' - t}{1 - t}\big)^2 \mathrm{Var}[x_1 \mid x_t]
            + \sigma^2 \tfrac{(t' - t)(1 - t')}{1 - t}

    The Gaussian of this mean and variance is exact for a Gaussian target, and the best of all
    Gaussians in Kullback-Leibler divergence from the exact kernel for any other.
    """
    now = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    later = torch.as_tensor(t_next, dtype=x.dtype, device=x.device)
    mean, variance = end_moments(target, x, now, sigma2)
    share = ((later - now) / (1 - now)).expand(x.shape[:-1])[..., None]
    rest = (sigma2 * (later - now) * (1 - later) / (1 - now)).expand(x.shape[:-1])[..., None]
    return x + share * (mean - x), share.square() * variance + rest


def _mixture(
    target: GaussianMixture, x: Tensor, time: Tensor, sigma2: float
) -> tuple[Tensor, Tensor]:
    means, variances = target.constant("means", x), target.constant("variances", x)
    time = time[..., None]  # (..., 1, 1) beside (K, d)
    point = torch.where(time > 0, x[..., None, :], 0.0)
    spread = time * variances + sigma2 * (1 - time)  # times t: the variance of x_t
    residual = point - time * means
    # log N(x_t; t m, t spread), without the 1 / t that components share
    shared = point.square() * (1 / spread - 1 / (sigma2 * (1 - time)))
    shared = shared / torch.where(time > 0, time, 1.0)
    exponent = shared - 2 * point * means / spread + time * means.square() / spread
    log_share = target.constant("log_weights", x) - (exponent + spread.log()).sum(-1) / 2
    share = log_share.softmax(-1)[..., None]
    each = means + variances / spread * residual
    mean = (share * each).sum(-2)
    within = variances * sigma2 * (1 - time) / spread
    return mean, (share * (within + (each - mean[..., None, :]).square())).sum(-2)


def _many_well(x: Tensor, time: Tensor, sigma2: float) -> tuple[Tensor, Tensor]:
    across, along = x[..., ::2], x[..., 1::2]
    # the second coordinate is a standard normal
    spread = time + sigma2 * (1 - time)
    along_mean = along / spread
    along_variance = (sigma2 * (1 - time) / spread).expand_as(along)
    # the first: exp(log_well(y)) N(x_t; t y, sigma2 t (1 - t)) as a function of y
    rate = sigma2 * (1 - time)
    pulled = (across.abs() / (4 * rate)) ** (1 / 3)
    reach = 6 + torch.minimum(across.abs() / time.clamp(min=1e-9), pulled)

    def log_height(nodes: Tensor) -> Tensor:
        return log_well(nodes) + _log_bridge(across, nodes, time, rate)

    nodes, share = _quadrature(log_height, -reach, reach)
    mean = (share * nodes).sum(-1)
    variance = (share * (nodes - mean[..., None]).square()).sum(-1)
    return (
        torch.stack([mean, along_mean], -1).flatten(-2),
        torch.stack([variance, along_variance], -1).flatten(-2),
    )


def _funnel(target: Funnel, x: Tensor, time: Tensor, sigma2: float) -> tuple[Tensor, Tensor]:
    first, rest = x[..., 0], x[..., 1:]
    time = time[..., 0]
    rate = sigma2 * (1 - time)
    # given the end y of the first coordinate, the others are Gaussian with variance exp(y)
    squares = rest.square().sum(-1)

    def log_height(nodes: Tensor) -> Tensor:
        spread = time[..., None] * nodes.exp() + rate[..., None]
        # log N(rest; 0, t spread), without what it has at exp(y) = 0
        gain = nodes.exp() / (spread * rate[..., None]) * squares[..., None] / 2
        wide = (target.dim - 1) * (spread / rate[..., None]).log() / 2
        prior = -nodes.square() / (2 * target.first_variance)
        return prior + _log_bridge(first, nodes, time, rate) + gain - wide

    reach = 12 * target.first_variance**0.5 + first.abs() / time.clamp(min=1e-9)
    reach = reach.clamp(max=300.0)
    nodes, share = _quadrature(log_height, -reach, reach)
    spread = time[..., None] * nodes.exp() + rate[..., None]
    gain = nodes.exp() / spread
    centre, mean_gain = (share * nodes).sum(-1), (share * gain).sum(-1)
    width = (share * (nodes - centre[..., None]).square()).sum(-1)
    within = (share * gain).sum(-1) * rate
    between = (share * (gain - mean_gain[..., None]).square()).sum(-1)
    return (
        torch.cat([centre[..., None], mean_gain[..., None] * rest], -1),
        torch.cat([width[..., None], within[..., None] + between[..., None] * rest.square()], -1),
    )


def _log_bridge(x: Tensor, nodes: Tensor, time: Tensor, rate: Tensor) -> Tensor:
    """(..., NODES) log N(x; t y, t rate) at ends y, without what does not read y."""
    return (x[..., None] * nodes - time[..., None] * nodes.square() / 2) / rate[..., None]


def _quadrature(
    log_height: Callable[[Tensor], Tensor], low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """(..., NODES) nodes where a density of one variable is not negligible, and their shares.

    The interval is narrowed to where the density is seen, so that a narrow peak in a wide range
    has as many nodes as a wide one. At both ends it is negligible: equal weights are the
    trapezoidal rule.
    """
    line = torch.linspace(0, 1, NODES, dtype=low.dtype, device=low.device)
    for _ in range(3):
        nodes = low[..., None] + (high - low)[..., None] * line
        height = log_height(nodes)
        seen = height > height.amax(-1, keepdim=True) - NEGLIGIBLE
        width = (high - low) / (NODES - 1)
        low = torch.where(seen, nodes, torch.inf).amin(-1) - width
        high = torch.where(seen, nodes, -torch.inf).amax(-1) + width
    nodes = low[..., None] + (high - low)[..., None] * line
    return nodes, log_height(nodes).softmax(-1)

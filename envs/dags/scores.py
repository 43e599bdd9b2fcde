"""Scores of linear Gaussian networks, and priors on graphs.

Each is a formula over the determinants of `gflow.envs.dags.local_scores`.
"""

import math

import torch
from torch import Tensor

from gflow.constants import constant
from gflow.envs.dags.local_scores import DeterminantScore
from gflow.errors import ConfigError


class BGe(DeterminantScore):
    r"""Marginal likelihood of Gaussian networks under a normal-Wishart prior.

    With n rows, mean :math:`\bar x`, centred scatter S, :math:`t = \alpha_\mu (\alpha_w - d - 1) /
    (\alpha_\mu + 1)`, a prior mean of zero, l parents and :math:`k = \alpha_w - d + l`,

    .. math::
        R &= t I + S + \tfrac{n \alpha_\mu}{n + \alpha_\mu} \bar x \bar x^T \\
        s &= \tfrac12 \log \tfrac{\alpha_\mu}{n + \alpha_\mu}
             + \log \Gamma(\tfrac{n + k + 1}{2}) - \log \Gamma(\tfrac{k + 1}{2})
             - \tfrac n2 \log \pi + \tfrac{k + l + 1}{2} \log t \\
          &\quad + \tfrac{n + k}{2} \log |R_{Pa}| - \tfrac{n + k + 1}{2} \log |R_{Pa + j}|

    Graphs that imply the same independences have the same score.

    Args:
        data: (n, d) rows of observations.
        log_prior: (d,) log-prior by number of parents, or None.
        alpha_mean: Weight of the prior mean, in rows.
        alpha_scatter: Degrees of freedom of the prior, above d + 1; d + 2 by default.
        table: See `DeterminantScore`.

    Reference:
        Geiger and Heckerman, Learning Gaussian Networks, 1994, https://arxiv.org/abs/1302.6808;
        Kuipers, Moffa and Heckerman, 2014, https://arxiv.org/abs/1402.6863 (corrected formula)
    """

    def __init__(
        self,
        data: Tensor,
        log_prior: Tensor | None = None,
        alpha_mean: float = 1.0,
        alpha_scatter: float | None = None,
        table: bool | None = None,
    ) -> None:
        n, d = _checked("BGe", data)
        degrees = d + 2.0 if alpha_scatter is None else alpha_scatter
        if not alpha_mean > 0 or not degrees > d + 1:
            raise ConfigError(
                f"BGe: needs alpha_mean > 0 and alpha_scatter > d + 1 = {d + 1}, got {alpha_mean} "
                f"and {degrees}."
            )
        self._rows, self._degrees = n, degrees - d
        self._scale = alpha_mean * (degrees - d - 1) / (alpha_mean + 1)
        mean, scatter = _moments(data)
        shrunk = n * alpha_mean / (n + alpha_mean) * torch.outer(mean, mean)
        own = self._scale * torch.eye(d, dtype=torch.float64)
        count = torch.arange(d, dtype=torch.float64)
        k = self._degrees + count
        self._by_count = (
            0.5 * math.log(alpha_mean / (n + alpha_mean))
            + torch.lgamma((n + k + 1) / 2)
            - torch.lgamma((k + 1) / 2)
            - n / 2 * math.log(math.pi)
            + (k + count + 1) / 2 * math.log(self._scale)
        )
        super().__init__(own + scatter + shrunk, log_prior, table)

    def _score(self, count: Tensor, parents: Tensor, family: Tensor) -> Tensor:
        data = self._rows + self._degrees + count.double()
        of_count = constant(self._by_count, count.device)[count]
        return of_count + data / 2 * parents - (data + 1) / 2 * family


class BIC(DeterminantScore):
    r"""Bayesian information criterion of Gaussian networks with intercepts and free variances.

    .. math:: s = -\tfrac n2 \log \tfrac{2 \pi e \, \mathrm{RSS}}{n} - \tfrac{l + 2}{2} \log n

    with RSS the residual sum of squares of the regression on the l parents, |S_(Pa + j)| / |S_Pa|.

    Args:
        data: (n, d) rows of observations, n > d.
        log_prior: (d,) log-prior by number of parents, or None.
        table: See `DeterminantScore`.

    Reference:
        Schwarz, Estimating the Dimension of a Model, 1978
    """

    def __init__(
        self, data: Tensor, log_prior: Tensor | None = None, table: bool | None = None
    ) -> None:
        n, d = _checked("BIC", data)
        if n <= d:
            raise ConfigError(
                f"BIC: {n} rows fit {d} variables without residual. Give more than {d} rows, or "
                f"use BGe, whose prior keeps the score finite."
            )
        self._rows = n
        super().__init__(_moments(data)[1], log_prior, table)

    def _score(self, count: Tensor, parents: Tensor, family: Tensor) -> Tensor:
        n = self._rows
        constant = math.log(2 * math.pi / n) + 1
        return -n / 2 * (constant + family - parents) - (count + 2) / 2 * math.log(n)


class LinearGaussian(DeterminantScore):
    r"""Marginal likelihood with known noise and normal weights, the data not centred.

    .. math:: s = \log N(x_j;\ 0,\ \sigma^2 I + w^2 X_{Pa} X_{Pa}^T)

    Not equal for graphs that imply the same independences.

    Args:
        data: (n, d) rows of observations.
        log_prior: (d,) log-prior by number of parents, or None.
        noise_variance: sigma^2; the variance, where some papers quote a standard deviation.
        weight_variance: w^2.
        table: See `DeterminantScore`.

    Reference:
        Nishikawa-Toomey et al., Bayesian learning of Causal Structure and Mechanisms with
        GFlowNets and Variational Bayes, 2022, https://arxiv.org/abs/2211.02763
    """

    def __init__(
        self,
        data: Tensor,
        log_prior: Tensor | None = None,
        noise_variance: float = 0.1,
        weight_variance: float = 1.0,
        table: bool | None = None,
    ) -> None:
        n, d = _checked("LinearGaussian", data)
        if not noise_variance > 0 or not weight_variance > 0:
            raise ConfigError(
                f"LinearGaussian: variances must be positive, got noise_variance={noise_variance}, "
                f"weight_variance={weight_variance}."
            )
        self._rows, self._noise, self._weights = n, noise_variance, weight_variance
        x = data.double()
        own = noise_variance * torch.eye(d, dtype=torch.float64)
        super().__init__(own + weight_variance * x.T @ x, log_prior, table)

    def _score(self, count: Tensor, parents: Tensor, family: Tensor) -> Tensor:
        # The Schur complement of j in R is w^2 sigma^2 x^T C^-1 x + sigma^2, C the covariance.
        n, noise = self._rows, self._noise
        square = ((family - parents).exp() - noise) / (self._weights * noise)
        log_det = parents + (n - count) * math.log(noise)
        return -0.5 * (square + log_det + n * math.log(2 * math.pi))


# ---------------------------------------------------------------------- priors


def erdos_renyi_prior(variables: int, expected_edges: float) -> Tensor:
    """(d,) l log p + (d - 1 - l) log(1 - p) for l parents, p = expected_edges / (d (d - 1) / 2).

    Raises:
        ConfigError: If p is not strictly between 0 and 1, as for 3 edges of 3 variables.
    """
    pairs = variables * (variables - 1) / 2
    if not 0 < expected_edges < pairs:
        raise ConfigError(
            f"erdos_renyi_prior: expected_edges must lie strictly between 0 and the number of "
            f"pairs {pairs:g}, got {expected_edges}."
        )
    p, count = expected_edges / pairs, torch.arange(variables, dtype=torch.float64)
    return count * math.log(p) + (variables - 1 - count) * math.log1p(-p)


def fair_prior(variables: int) -> Tensor:
    """(d,) minus log of the number of sets of l parents: all numbers are equally likely."""
    count = torch.arange(variables, dtype=torch.float64)
    rest = variables - 1 - count
    return (count + 1).lgamma() + (rest + 1).lgamma() - math.lgamma(variables)


# ---------------------------------------------------------------------- data


def _moments(data: Tensor) -> tuple[Tensor, Tensor]:
    """(d,) means and (d, d) centred scatter."""
    x = data.double()
    mean = x.mean(0)
    return mean, (x - mean).T @ (x - mean)


def _checked(name: str, data: Tensor) -> tuple[int, int]:
    if data.dim() != 2 or 0 in data.shape:
        raise ConfigError(
            f"{name}: data must be (rows, variables) with at least one of each, "
            f"got {tuple(data.shape)}."
        )
    bad = ~data.isfinite()
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise ConfigError(
            f"{name}: data[{row}, {column}] is {float(data[row, column])} ({int(bad.sum())} "
            f"entries are not finite). Leave such rows out."
        )
    return data.shape[0], data.shape[1]

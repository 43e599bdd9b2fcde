r"""What trajectories say about log Z.

All read one quantity, `FlowTerms.log_weight`: log w = log R + sum log P_B - sum log P_F. Under
trajectories from the forward policy the mean of w is Z, so by Jensen's inequality

.. math:: \mathrm{ELBO} = E_{P_F}[\log w] \le \log Z \le E_{\pi, P_B}[\log w] = \mathrm{EUBO}

with equality on both sides exactly at the solution. Each function says which trajectories it needs;
it cannot check where they came from. Without an exploration: explored trajectories estimate
neither. A log-weight is -inf where the reward is zero; NaN and inf are refused.

Where some moves are chance's, their own log-probabilities are part of P_F: the mean of w is the
sum of all rewards still, and both bounds hold, but no policy need reach them. Where players have
rewards of their own there is no such sum, and none of this means anything.
"""

import math

import torch
from torch import Tensor

from gflow.checks import check_numbers
from gflow.errors import ConfigError, IncompatibleError
from gflow.terms import FlowTerms


def elbo(terms: FlowTerms) -> Tensor:
    """() float64 mean log-weight of trajectories sampled from the forward policy: at most log Z."""
    return _log_weight("elbo", terms).mean()


def eubo(terms: FlowTerms) -> Tensor:
    """() float64 mean log-weight of trajectories drawn backward from exact samples: at least log Z.

    The objects must be samples of the target (`draw_objects`, or a data set), the trajectories
    from `Sampler.backward` with the policy that is evaluated.
    """
    return _log_weight("eubo", terms).mean()


def importance_log_z(terms: FlowTerms) -> Tensor:
    r"""() float64 importance-weighted estimate :math:`\log \frac1B \sum_b w_b`.

    For trajectories from the forward policy. Its exponential is unbiased for Z; itself lies below
    log Z on average and above the ELBO of the same trajectories.
    """
    weight = _log_weight("importance_log_z", terms)
    return weight.logsumexp(0) - math.log(len(weight))


def effective_sample_size(terms: FlowTerms) -> Tensor:
    r"""() float64 :math:`(\sum_b w_b)^2 / \sum_b w_b^2`, from 1 (one dominates) to B (equal)."""
    weight = _log_weight("effective_sample_size", terms)
    if not bool((weight > -torch.inf).any()):
        raise ConfigError(
            "effective_sample_size: all weights are zero, because every reward is. Draw more "
            "trajectories, or look at the reward."
        )
    return (2 * weight.logsumexp(0) - (2 * weight).logsumexp(0)).exp()


def forward_ess(terms: FlowTerms) -> Tensor:
    r"""() float64 effective sample size by trajectories drawn backward from exact samples.

    .. math:: B \Big/ \Big(\frac1B \sum_b w_b \cdot \frac1B \sum_b w_b^{-1}\Big)

    The share of it in B estimates what `effective_sample_size` estimates from the sampler's own
    trajectories, and sees the modes that the sampler misses. From exact samples, as `eubo`.
    """
    weight = _log_weight("forward_ess", terms)
    count = math.log(len(weight))
    return (3 * count - weight.logsumexp(0) - (-weight).logsumexp(0)).exp()


def log_z_error(estimate: Tensor | float, log_z: Tensor | float) -> Tensor:
    """() float64 |estimate - log Z|; of several estimates (B,) that of their mean."""
    guess, exact = (torch.as_tensor(v, dtype=torch.float64).detach() for v in (estimate, log_z))
    check_numbers("log_z_error", estimate=guess, log_z=exact)
    if not guess.numel():
        raise ConfigError("log_z_error: `estimate` is empty; it needs at least one number.")
    return (guess.mean() - exact).abs()


def _log_weight(where: str, terms: FlowTerms) -> Tensor:
    if terms.complete is not None and not bool(terms.complete.all()):
        row = int((~terms.complete).nonzero()[0])
        raise IncompatibleError(
            f"{where}: trajectory {row} was cut before its end, and its weight means nothing. Use "
            f"whole trajectories."
        )
    if terms.from_source is not None and not bool(terms.from_source.all()):
        row = int((~terms.from_source).nonzero()[0])
        raise IncompatibleError(
            f"{where}: trajectory {row} begins elsewhere than at the source, and its weight means "
            f"nothing. Use whole trajectories."
        )
    if not terms.has_log_pb:
        raise IncompatibleError(
            f"{where}: these terms hold no log P_B, which is part of every weight. Evaluate with "
            f"Needs(log_pb=True), in an environment with moves back."
        )
    if len(terms.length) == 0:
        raise ConfigError(f"{where}: the batch holds no trajectory.")
    weight = terms.log_weight.detach().double()
    check_numbers(where, neg_inf=True, log_weight=weight)
    return weight

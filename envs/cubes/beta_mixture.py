"""Mixtures of Beta distributions on the unit interval, from the raw outputs of a network."""

import torch
from torch import Tensor

from gflow.masking import sample_masked


def inside(u: Tensor) -> Tensor:
    """Numbers moved into the open unit interval, eight roundings from its ends.

    What is sampled and what is evaluated both pass through here, so that both are the same number
    and no density is read where it may be infinite.
    """
    edge = 8 * torch.finfo(u.dtype).eps
    return u.clamp(edge, 1 - edge)


class BetaMixture:
    r"""A mixture of K Beta distributions for each of N numbers in (0, 1).

    .. math:: g(u) = \sum_k w_k \operatorname{Beta}(u; \alpha_k, \beta_k)

    Args:
        logits: (..., K) of the weights.
        alpha: (..., K) first concentrations, positive; from 1 up the density is bounded.
        beta: (..., K) second concentrations.
    """

    def __init__(self, logits: Tensor, alpha: Tensor, beta: Tensor) -> None:
        self.logits, self.alpha, self.beta = logits, alpha, beta

    @classmethod
    def of(cls, outputs: Tensor, low: float, high: float) -> "BetaMixture":
        """From (..., 3 K) outputs: logits, then what puts alpha and beta between `low` and `high`.

        Outputs of zero mean the middle of the range.
        """
        logits, alpha, beta = outputs.chunk(3, -1)
        return cls(logits, within(alpha, low, high), within(beta, low, high))

    @classmethod
    def even(cls, like: Tensor) -> "BetaMixture":
        """The uniform distribution for each entry of `like` (...)."""
        one = torch.ones_like(like)[..., None]
        return cls(torch.zeros_like(one), one, one)

    @staticmethod
    def even_outputs(parts: int, low: float, high: float) -> Tensor:
        r"""(3 K,) outputs from which `of` makes a nearly uniform mixture of K different parts.

        Bernstein polynomials: the mean of Beta(k, K + 1 - k) over k = 1 ... K is uniform.
        As far as the range allows, and a little away from its ends, where sigmoids are flat.
        """
        k = torch.arange(1, parts + 1, dtype=torch.get_default_dtype())
        share = (torch.stack([k, parts + 1 - k]) - low) / max(high - low, 1e-6)
        return torch.cat([torch.zeros(parts), share.clamp(0.02, 0.98).logit().flatten()])

    def take(self, rows: Tensor) -> "BetaMixture":
        """The mixtures of some rows."""
        return BetaMixture(self.logits[rows], self.alpha[rows], self.beta[rows])

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(...) one number each."""
        if self.logits.shape[-1] > 1:  # nothing is differentiated through samples
            flat = self.logits.detach().flatten(0, -2)
            every = torch.ones_like(flat, dtype=torch.bool)
            chosen = sample_masked(flat, every, generator).view(self.logits.shape[:-1])[..., None]
            alpha, beta = self.alpha.gather(-1, chosen), self.beta.gather(-1, chosen)
        else:
            alpha, beta = self.alpha, self.beta
        both = torch.cat([alpha, beta], -1).detach()
        gamma = torch._standard_gamma(both, generator=generator)
        return inside(gamma[..., 0] / gamma.sum(-1))

    def log_prob(self, u: Tensor) -> Tensor:
        """(...) log-density at (...) numbers, which `inside` has moved into the interval."""
        u = u[..., None]
        alpha, beta = self.alpha, self.beta
        norm = alpha.lgamma() + beta.lgamma() - (alpha + beta).lgamma()
        part = (alpha - 1) * u.log() + (beta - 1) * torch.log1p(-u) - norm
        if part.shape[-1] == 1:
            return part.squeeze(-1)
        return (self.logits.log_softmax(-1) + part).logsumexp(-1)


def within(outputs: Tensor, low: float, high: float) -> Tensor:
    """Outputs squeezed between `low` and `high` by a sigmoid."""
    return low + (high - low) * outputs.sigmoid()

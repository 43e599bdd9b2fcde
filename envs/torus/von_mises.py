"""Von Mises distributions: densities, samples without a loop, and mixtures of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDS = 20
"""Proposals per sample. One in three is refused at worst, so all of them are 5 times in 10^10; the
first is then taken as it is."""


def wrap(angle: Tensor) -> Tensor:
    """(...) the same angles in [0, 2 pi)."""
    turned = torch.remainder(angle, 2 * math.pi)
    # Just below 0 rounds up to 2 pi itself.
    return turned.where(turned < 2 * math.pi, 0.0)


def von_mises_log_prob(angle: Tensor, mean: Tensor, concentration: Tensor) -> Tensor:
    r"""(...) log-density per radian, :math:`\kappa \cos(x - \mu) - \log(2 \pi I_0(\kappa))`.

    The exponentially scaled Bessel function and the half-angle formula keep all digits for large
    concentrations: neither :math:`I_0(\kappa)` nor :math:`\kappa` appears alone.

    Args:
        angle: (...) any angles, equal ones being 2 pi apart.
        mean: (...).
        concentration: (...) not negative; 0 is uniform.
    """
    away = torch.sin((angle - mean) / 2).square()
    log_norm: Tensor = (2 * math.pi * torch.special.i0e(concentration)).log()
    return -2 * concentration * away - log_norm


def sample_von_mises(
    mean: Tensor, concentration: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    r"""(...) samples in [0, 2 pi), by rejection from wrapped Cauchys, all proposals at once.

    A wrapped Cauchy has density proportional to :math:`1 / (r - \cos \theta)`, so its ratio to
    the target grows with :math:`c e^{-c}`, :math:`c = \kappa (r - \cos \theta)`, which is
    at most 1 / e whatever r. A proposal is kept with probability :math:`c e^{1 - c}`. The best r
    solves :math:`\kappa r^2 - r - \kappa = 0` and keeps 0.66 to 1 of them.

    Args:
        mean: (...).
        concentration: (...) not negative, shaped like `mean`.
        generator: Source of randomness.

    Reference:
        Best and Fisher, Efficient simulation of the von Mises distribution, Applied Statistics 28,
        1979.
    """
    kappa = concentration.detach().double()
    excess = (1 + 1 / ((1 + 4 * kappa.square()).sqrt() + 2 * kappa)) / 2  # kappa (r - 1)
    turn = math.pi * (uniform_like(kappa, (ROUNDS, *kappa.shape), generator) - 0.5)
    sine, cosine = (excess / (excess + 2 * kappa)).sqrt() * turn.sin(), turn.cos()
    c = excess + 2 * kappa * sine.square() / (sine.square() + cosine.square())
    kept = uniform_like(kappa, c.shape, generator) < c * (1 - c).exp()
    first = kept.to(torch.uint8).argmax(0, keepdim=True)
    theta = 2 * torch.atan2(sine.gather(0, first), cosine.gather(0, first)).squeeze(0)
    return wrap((mean.detach().double() + theta).to(mean.dtype))


def uniform_like(like: Tensor, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [0, 1) of a shape, with the type and the device of `like`."""
    return torch.rand(shape, dtype=like.dtype, device=like.device, generator=generator)


@dataclass(frozen=True)
class VonMisesMixture:
    """Independent mixtures of K von Mises distributions for each of D angles, in batches.

    Attributes:
        log_weight: (..., D, K) log-weights, normalised over K.
        mean: (..., D, K).
        concentration: (..., D, K).
    """

    log_weight: Tensor
    mean: Tensor
    concentration: Tensor

    def log_prob(self, angle: Tensor) -> Tensor:
        """(...) log-density of (..., D) angles with respect to Lebesgue measure on the torus."""
        parts = von_mises_log_prob(angle.unsqueeze(-1), self.mean, self.concentration)
        return (self.log_weight + parts).logsumexp(-1).sum(-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(..., D) samples in [0, 2 pi); nothing is differentiated through."""
        ends = self.log_weight.detach().double().exp().cumsum(-1)
        place = uniform_like(ends, ends.shape[:-1], generator)
        which = (place.unsqueeze(-1) > ends[..., :-1]).sum(-1, keepdim=True)
        mean, concentration = (
            part.gather(-1, which).squeeze(-1) for part in (self.mean, self.concentration)
        )
        return sample_von_mises(mean, concentration, generator)


@dataclass(frozen=True)
class UniformAngles:
    """Independent uniform angles, in batches.

    Attributes:
        like: (..., D) whose shape, type and device the angles have.
    """

    like: Tensor

    def log_prob(self, angle: Tensor) -> Tensor:
        """(...) log-density, the same everywhere."""
        value = -self.like.shape[-1] * math.log(2 * math.pi)
        return torch.full_like(angle[..., 0], value)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """(..., D) samples in [0, 2 pi)."""
        return wrap(2 * math.pi * uniform_like(self.like, self.like.shape, generator))

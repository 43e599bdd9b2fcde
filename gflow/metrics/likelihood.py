r"""How likely the policy is to build given objects, and whether that follows the reward.

.. math:: \hat p(x) = \frac1k \sum_{j=1}^k
          \frac{\prod P_F(\tau_j)}{\prod P_B(\tau_j \mid x)}, \quad \tau_j \sim P_B(\cdot \mid x)

is unbiased for the probability p(x) of building x; its logarithm lies below log p(x) on average.
Where every object has one trajectory (a tree) it is exact with k = 1.
"""

import math
from dataclasses import dataclass
from typing import Annotated, TypeVar

import torch
from torch import Tensor

from gflow.bounds import Bounds, Count
from gflow.checks import check_numbers, check_shapes, checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError
from gflow.evaluation.evaluate import evaluate
from gflow.policies.base import Policy
from gflow.sampling.sampler import Sampler
from gflow.state import batch_size, device_of, take

S = TypeVar("S")


@dataclass(frozen=True)
class Likelihood:
    """Estimates for X objects from k backward trajectories each, float64.

    Attributes:
        log_prob: (X,) estimated log p(x).
        standard_error: (X,) of `log_prob`, by the delta method; 0 on trees, inf for k = 1.
        log_ratio: (X, k) log P_F(tau) - log P_B(tau | x), whose mean in probability space it is.
    """

    log_prob: Tensor
    standard_error: Tensor
    log_ratio: Tensor

    @checked
    def interval(
        self, level: Annotated[float, Bounds(0, 1, True, True)] = 0.95
    ) -> tuple[Tensor, Tensor]:
        """(X,) lower and (X,) upper end of a normal confidence interval for log p(x).

        log p_hat plus or minus the normal quantile times the standard error. It is asymptotic in
        k. Where likely trajectories are rarely proposed it is far too narrow until some are seen:
        on a 4 x 4 grid with a random policy, 90 % intervals covered between 48 % and 90 % for
        k = 20, and between 88 % and 92 % for k = 1000.
        """
        half = torch.special.ndtri(self.log_prob.new_tensor((1 + level) / 2)) * self.standard_error
        return self.log_prob - half, self.log_prob + half


@checked
@torch.no_grad()
def log_likelihood(
    env: Environment[S],
    policy: Policy,
    objects: S,
    num_trajectories: Count = 10,
    *,
    condition: Tensor | None = None,
    generator: torch.Generator | None = None,
    sampler: Sampler | None = None,
    chunk: Count = 4096,
) -> Likelihood:
    r"""Estimate log p(x) of given objects by backward importance sampling.

    The standard error is that of the logarithm of a mean by the delta method, the standard
    deviation of the ratios over :math:`\sqrt k` times their mean.

    For environments that distinguish equivalent actions (`log_symmetry`) the probability is that of
    the object itself, all its labelled versions together, provided that the policy treats
    equivalent actions alike, as networks that respect the symmetry do.

    Args:
        env: The environment.
        policy: The policy; its own backward policy proposes.
        objects: X finished objects.
        num_trajectories: k per object. 10 is customary; a tree needs 1.
        condition: (X, C) or None.
        generator: Source of randomness.
        sampler: Reused if given.
        chunk: Largest number of trajectories held at once.

    Returns:
        The estimates.

    Raises:
        ConfigError: If `num_trajectories` or `chunk` is not positive, or there are no objects.
    """
    sampler = Sampler(env) if sampler is None else sampler
    count = batch_size(objects)
    if not count:
        raise ConfigError("log_likelihood: there are no objects whose probability is asked for.")
    rows = torch.arange(count, device=device_of(objects)).repeat_interleave(num_trajectories)
    parts = []
    for part in rows.split(chunk):
        given = None if condition is None else condition[part]
        # A reward of 1 for all: the log-weight is then minus the log-ratio, and none is computed.
        one = torch.zeros(len(part), device=part.device)
        back = sampler.backward(
            policy, take(objects, part), log_reward=one, condition=given, generator=generator
        )
        parts.append(-evaluate(env, policy, back).log_weight.double())
    ratio = torch.cat(parts).view(count, num_trajectories)
    symmetry = env.log_symmetry(objects)
    if symmetry is not None:
        ratio = ratio + symmetry.double()[:, None]
    log_mean = ratio.logsumexp(1) - torch.tensor(num_trajectories, dtype=torch.float64).log()
    if num_trajectories == 1:
        return Likelihood(log_mean, torch.full_like(log_mean, torch.inf), ratio)
    relative = (ratio - log_mean[:, None]).exp()
    error = relative.std(1) / num_trajectories**0.5
    return Likelihood(log_mean, error.where(log_mean > -torch.inf, torch.inf), ratio)


@dataclass(frozen=True)
class Correlation:
    """Two correlations of the same pairs; both are NaN if either side is constant.

    Attributes:
        pearson: Linear.
        spearman: Of the ranks: 1 if one is an increasing function of the other.
    """

    pearson: float
    spearman: float


def log_reward_correlation(log_prob: Tensor, log_reward: Tensor) -> Correlation:
    """Correlations between log p(x) and log R(x); a perfect sampler has 1 and 1.

    Args:
        log_prob: (X,) log-probabilities, exact or from `log_likelihood`.
        log_reward: (X,) log-rewards of the same objects. Where either is -inf, for an object that
            is never sampled or worth nothing, only the ranks have a correlation, and Pearson's is
            NaN.
    """
    check_shapes("log_reward_correlation", log_prob=(log_prob, "X"), log_reward=(log_reward, "X"))
    check_numbers("log_reward_correlation", neg_inf=True, log_prob=log_prob, log_reward=log_reward)
    rank = float(spearman(log_prob, log_reward))
    finite = bool((log_prob.isfinite() & log_reward.isfinite()).all())
    return Correlation(float(pearson(log_prob, log_reward)) if finite else math.nan, rank)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """() float64 Pearson's correlation of (X,) and (X,); NaN if either is constant, as one pair is.

    Raises:
        ConfigError: If a number is NaN or infinite. `spearman` takes -inf, which has a rank.
    """
    check_shapes("pearson", a=(a, "X"), b=(b, "X"))
    check_numbers("pearson", a=a, b=b)
    x, y = a.detach().double(), b.detach().double()
    # Equal numbers may differ from their own mean by rounding: look at the range, not the norm.
    if len(x) < 2 or bool((x.max() == x.min()) | (y.max() == y.min())):
        return x.new_tensor(torch.nan)
    x, y = x - x.mean(), y - y.mean()
    value: Tensor = x @ y / (x.norm() * y.norm())
    return value.clamp(-1, 1)


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """() float64 Spearman's correlation: Pearson's of the average ranks."""
    check_shapes("spearman", a=(a, "X"), b=(b, "X"))
    check_numbers("spearman", neg_inf=True, pos_inf=True, a=a, b=b)
    return pearson(average_ranks(a), average_ranks(b))


def average_ranks(values: Tensor) -> Tensor:
    """(X,) float64 ranks from 1; equal values share the mean of the ranks that they occupy.

    Infinities have ranks like other numbers; NaN has none and is refused.

    Example:
        >>> average_ranks(torch.tensor([10.0, 20.0, 10.0])).tolist()
        [1.5, 3.0, 1.5]
    """
    check_shapes("average_ranks", values=(values, "X"))
    check_numbers("average_ranks", neg_inf=True, pos_inf=True, values=values)
    _, group, count = torch.unique(values, return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    rank: Tensor = (last - (count - 1) / 2)[group]
    return rank

"""How near a learned energy is: couplings, likelihoods of data, kernel distances of codes."""

import math
from typing import Any

import torch
from torch import Tensor

from gflow.checks import check_shapes
from gflow.environment.discrete import DiscreteEnvironment
from gflow.envs.spins.rewards import IsingReward
from gflow.errors import ConfigError
from gflow.metrics.likelihood import log_likelihood
from gflow.policies.base import Policy


def neg_log_rmse(found: Tensor, truth: Tensor) -> float:
    r"""-log of the root mean squared error over all N^2 entries of two (N, N) matrices J.

    Both are as in log p(s) = s^T J s, so that a lattice has J = sigma A and each edge contributes
    2 sigma s_i s_j; the higher the better.
    """
    check_shapes("neg_log_rmse", found=(found, "N N"), truth=(truth, "N N"))
    error = (found.detach().double() - truth.double()).square().mean().sqrt()
    return -math.log(max(float(error), 1e-300))


def hamming_mmd(one: Tensor, two: Tensor, rate: float = 0.1) -> float:
    r"""Squared maximum mean discrepancy of (X, N) and (Y, N) values, without bias.

    .. math:: \overline{k(x, x')} + \overline{k(y, y')} - 2\, \overline{k(x, y)}, \qquad
              k(x, y) = e^{-r\, |\{i : x_i \ne y_i\}|}

    the first two means being over pairs of different rows.

    Args:
        one: (X, N).
        two: (Y, N).
        rate: r.

    Raises:
        ConfigError: If either has less than two rows.
    """
    check_shapes("hamming_mmd", one=(one, "X N"), two=(two, "Y N"))
    if min(len(one), len(two)) < 2:
        raise ConfigError(
            f"hamming_mmd: two samples of at least two rows each are compared, got {len(one)} and "
            f"{len(two)}."
        )

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        same = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
        for value in torch.unique(a):
            same += (a == value).double() @ (b == value).double().T
        return (-rate * (a.shape[1] - same)).exp()

    def within(a: Tensor) -> Tensor:
        table = kernel(a, a)
        return (table.sum() - table.diagonal().sum()) / (len(a) * (len(a) - 1))

    return float(within(one) + within(two) - 2 * kernel(one, two).mean())


def nll(
    env: DiscreteEnvironment[Any],
    policy: Policy,
    objects: Tensor,
    trajectories: int = 20,
    generator: torch.Generator | None = None,
) -> float:
    """Mean of -log p(x) in nats of objects under the sampler, by importance sampling.

    Too high on average, never too low (`gflow.metrics.log_likelihood`).

    Args:
        env: The environment.
        policy: The sampler.
        objects: (X, N).
        trajectories: M for each object.
        generator: Source of randomness.
    """
    found = log_likelihood(env, policy, objects, trajectories, generator=generator)
    return -float(found.log_prob.mean())


def true_nll(lattice: IsingReward, objects: Tensor) -> float:
    """Mean of -log p(x) in nats of objects under a lattice, exact.

    Args:
        lattice: Of which log Z is known.
        objects: (X, N).

    Raises:
        ConfigError: If it is not.
    """
    log_z = lattice.log_partition()
    if log_z is None:
        raise ConfigError(f"true_nll: log Z of {lattice!r} is not known. Make one side shorter.")
    return log_z - float(lattice(objects).double().mean())

"""Log-partition variance (VarGrad)."""

from typing import Any

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.objective import Objective
from gflow.terms import FlowTerms


class LogPartitionVariance(Objective):
    r"""Trajectory balance with log Z replaced by the batch mean of the log-weights.

    .. math:: \delta(\tau) = \widehat{\log Z} - \Bigl(\log R + \sum_t \log P_B
              - \sum_t \log P_F\Bigr), \quad
              \widehat{\log Z} = \text{mean of the bracket over the batch}

    With conditions the mean is taken among trajectories of equal condition; one that is alone in
    its condition (replayed, or relabelled) has the residual zero. The mean residual
    is zero, so stopping the gradient through the mean or not gives the same gradient for the
    squared loss; it is not stopped.

    Reference:
        Zhang, Rainone et al., Robust Scheduling with GFlowNets, 2023,
        https://arxiv.org/abs/2302.05446; Richter et al., VarGrad: A Low-Variance Gradient Estimator
        for Variational Inference, 2020, https://arxiv.org/abs/2010.10436
    """

    name = "vargrad"
    compares = True

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B,) mean log-weight of the group less the log-weight.

        Raises:
            ConfigError: If no two trajectories have the same condition.
        """
        return self.log_z_estimate(terms) - terms.log_weight

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B,) equal weights."""
        return torch.full_like(terms.log_reward, 1 / len(terms.log_reward))

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) mean log-weight of the trajectories with the same condition; log Z where known."""
        value = terms.log_weight
        if terms.known_log_z is not None:
            return terms.known_log_z.to(value)
        if terms.condition is None:
            if len(value) < 2:
                raise ConfigError("LogPartitionVariance needs at least 2 trajectories in a batch.")
            return value.mean().expand_as(value)
        groups: Any = torch.unique(terms.condition, dim=0, return_inverse=True)[1]
        count = torch.bincount(groups)
        if not bool((count > 1).any()):
            raise ConfigError(
                "LogPartitionVariance compares trajectories of equal condition, and each "
                "condition occurs only once in this batch. Draw each at least twice (repeat=2 of "
                "what draws conditions, --repeat 2 on the command line), or use TrajectoryBalance."
            )
        total = value.new_zeros(len(count)).index_add(0, groups, value)
        return (total / count)[groups]

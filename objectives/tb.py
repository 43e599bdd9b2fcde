"""Trajectory balance."""

import torch
from torch import Tensor, nn

from gflow.bounds import Natural
from gflow.checks import checked
from gflow.objective import LogZ, Objective, Regression, squared
from gflow.terms import FlowTerms


class TrajectoryBalance(Objective):
    r"""Trajectory balance: one residual per trajectory.

    .. math:: \delta(\tau) = \log Z + \sum_t \log P_F(s_{t+1} \mid s_t)
              - \log R(x) - \sum_t \log P_B(s_t \mid s_{t+1})

    Args:
        log_z: Initial log Z.
        condition_dim: Width of the condition that log Z depends on, 0 for none.
        condition_encoder: Module for the condition, with `out_features`.
        regression: How residuals are punished.

    Reference:
        Malkin et al., Trajectory balance: improved credit assignment in GFlowNets, 2022,
        https://arxiv.org/abs/2201.13259
    """

    name = "tb"

    @checked
    def __init__(
        self,
        log_z: float = 0.0,
        condition_dim: Natural = 0,
        condition_encoder: nn.Module | None = None,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.log_z = LogZ(log_z, condition_dim, condition_encoder)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B,) log Z less the log-weight."""
        log_z: Tensor = self.log_z(terms)
        return log_z - terms.log_weight

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B,) equal weights."""
        return torch.full_like(terms.log_reward, 1 / len(terms.log_reward))

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the learned log Z."""
        log_z: Tensor = self.log_z(terms)
        return log_z.expand(len(terms.log_reward))

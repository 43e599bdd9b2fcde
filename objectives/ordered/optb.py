"""Order-preserving trajectory balance."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import NotNegative
from gflow.objectives.ordered.order_preserving import Order, OrderPreserving, Ranking
from gflow.objectives.regression import refuse_regression
from gflow.terms import FlowTerms


class OrderPreservingTrajectoryBalance(OrderPreserving):
    r"""Order-preserving trajectory balance: the policy alone says what the reward is.

    .. math:: \log \hat R(\tau) = \sum_t \log P_F(s_{t+1} \mid s_t)
              - \sum_t \log P_B(s_t \mid s_{t+1})

    log Z would be a constant in every log R^, and drops out of all order losses. There are no
    residuals: the order makes R^ of different trajectories of one object agree, since these are
    tied with each other and ranked alike against all others. `lambda_flow` has no effect.

    Args:
        settings: Those of `OrderPreserving` but `regression`, which would have nothing to punish.

    Reference:
        Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386
    """

    name = "optb"

    def __init__(
        self, order: Order = "auto", lambda_op: NotNegative = 1.0, **settings: Any
    ) -> None:
        super().__init__(order, lambda_op=lambda_op, **settings)
        refuse_regression(self)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, 0): nothing has to balance."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, 0)."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def implied_log_reward(self, terms: FlowTerms) -> Tensor:
        """(B,) log P_F - log P_B of the trajectory."""
        return (terms.log_pf - terms.log_pb).where(terms.mask, 0.0).sum(-1)

    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        """One column."""
        return self._one_column(self.implied_log_reward(terms), terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) zeros: R^ is normalised."""
        return torch.zeros_like(terms.log_reward)

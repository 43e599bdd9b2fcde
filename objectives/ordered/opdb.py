"""Order-preserving detailed balance."""

from typing import Any

from torch import Tensor

from gflow.bounds import NotNegative
from gflow.objectives.ordered.order_preserving import Order, OrderPreserving, Ranking, inner
from gflow.terms import FlowTerms, Needs


class OrderPreservingDetailedBalance(OrderPreserving):
    r"""Order-preserving detailed balance: the last transition says what the reward is.

    .. math:: \log \hat R(\tau) = \log F(s_{n-1}) + \log P_F(s_n \mid s_{n-1})
              - \log P_B(s_{n-1} \mid s_n)

    A stop has log P_B = 0, and R^ is then a function of the object. Where objects end by force the
    last transition leads into the object, and R^ may differ by the parent it was reached from until
    the order has made it agree. The loss has the mean over all transitions before the last ones of
    squared residuals of detailed balance.

    Args:
        settings: Those of `OrderPreserving`, here with lambda_op = 0.1.

    Reference:
        Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386
    """

    name = "opdb"
    needs = Needs(log_flow=True, scores=True, from_source=False)

    def __init__(
        self, order: Order = "auto", lambda_op: NotNegative = 0.1, **settings: Any
    ) -> None:
        super().__init__(order, lambda_op=lambda_op, **settings)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one per transition but the last."""
        assert terms.log_flow is not None
        flow = terms.log_flow
        delta = flow[:, :-1] + terms.log_pf - flow[:, 1:] - terms.log_pb
        return delta.where(inner(terms), 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all transitions but the last ones."""
        within = inner(terms)
        return within.to(terms.log_pf.dtype) * (self.lambda_flow / within.sum().clamp(min=1))

    def implied_log_reward(self, terms: FlowTerms) -> Tensor:
        """(B,) log-flow through the last transition, as the state before it has it."""
        assert terms.log_flow is not None
        last = terms.length[:, None] - 1
        through = terms.log_flow[:, :-1] + terms.log_pf - terms.log_pb
        return through.gather(1, last).squeeze(1)

    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        """One column."""
        return self._one_column(self.implied_log_reward(terms), terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source: log of the sum of R^."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

"""Order-preserving flow matching."""

from typing import Any

from torch import Tensor

from gflow.bounds import NotNegative
from gflow.errors import ConfigError
from gflow.objectives.ordered.order_preserving import Order, OrderPreserving, Ranking, inner
from gflow.terms import FlowTerms, Needs


class OrderPreservingFlowMatching(OrderPreserving):
    r"""Order-preserving flow matching: what flows into the object is its reward.

    Where objects end by a stop, log R^ is the log-flow of the edge that stops. Where they end by
    force it is the log of all flow into the object, from every parent, so that R^ is a function of
    the object in both cases. All visited states before the end keep flow matching. There is no
    backward policy to regularise: lambda_kl is refused.

    Args:
        settings: Those of `OrderPreserving`, here with lambda_op = 0.1.

    Reference:
        Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386
    """

    name = "opfm"
    needs = Needs(edge_flow=True, scores=True, from_source=False)

    def __init__(
        self, order: Order = "auto", lambda_op: NotNegative = 0.1, **settings: Any
    ) -> None:
        super().__init__(order, lambda_op=lambda_op, **settings)
        if self.lambda_kl:
            raise ConfigError(
                f"OrderPreservingFlowMatching reads no backward policy, so that lambda_kl = "
                f"{self.lambda_kl} has nothing to act on. Leave it at 0, or use "
                f"OrderPreservingDetailedBalance."
            )

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one per state s_1 ... s_(length - 1)."""
        assert terms.log_inflow is not None
        assert terms.log_outflow is not None
        delta = terms.log_inflow[:, 1:] - terms.log_outflow[:, 1:]
        return delta.where(inner(terms), 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all those states."""
        within = inner(terms)
        return within.to(terms.log_pf.dtype) * (self.lambda_flow / within.sum().clamp(min=1))

    def implied_log_reward(self, terms: FlowTerms) -> Tensor:
        """(B,) log of the flow into the finished object."""
        assert terms.log_inflow is not None
        return terms.log_inflow.gather(1, terms.length[:, None]).squeeze(1)

    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        """One column."""
        return self._one_column(self.implied_log_reward(terms), terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log of the flow out of the source: log of the sum of R^."""
        assert terms.log_outflow is not None
        return terms.log_outflow[:, 0]

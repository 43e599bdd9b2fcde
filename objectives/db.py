"""Detailed balance."""

from torch import Tensor

from gflow.objective import Objective
from gflow.terms import FlowTerms, Needs


class DetailedBalance(Objective):
    r"""Detailed balance: one residual per transition.

    .. math:: \delta(s \to s') = \log F(s) + \log P_F(s' \mid s)
              - \log F(s') - \log P_B(s \mid s')

    with F(x) = R(x) at finished objects. The loss is the mean over all transitions of the batch.

    Reference:
        Bengio et al., GFlowNet Foundations, 2021, https://arxiv.org/abs/2111.09266
    """

    name = "db"
    needs = Needs(log_flow=True, whole=False, from_source=False)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one per transition."""
        assert terms.log_flow is not None
        flow = terms.log_flow
        delta = flow[:, :-1] + self.steps(terms) - flow[:, 1:]
        return delta.where(terms.mask, 0.0)

    @staticmethod
    def steps(terms: FlowTerms) -> Tensor:
        """(B, T) log of what each transition multiplies the flow by."""
        return terms.log_pf - terms.log_pb

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all transitions in the batch."""
        return terms.mask.to(terms.log_pf.dtype) / terms.length.sum().clamp(min=1)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

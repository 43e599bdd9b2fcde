"""Maximum likelihood of walks back from outcomes, and the flows that follow from it."""

import torch
from torch import Tensor

from gflow.errors import ConfigError
from gflow.objective import Objective, Regression, squared
from gflow.source import Source
from gflow.terms import FlowTerms, Needs


class OutcomeLikelihood(Objective):
    r"""Cross-entropy for P_F, balance with both ends for log F.

    .. math:: L = -\sum_t \log P_F(s_{t+1} \mid s_t, y)
              + \frac{1}{2T} \sum_{0 < t < T} (\delta_{0t}^2 + \delta_{tT}^2), \quad
              \delta_{ij} = \log F(s_i \mid y) - \log F(s_j \mid y)
              + \sum_{i \le k < j} \log \frac{P_F(s_{k+1} \mid s_k, y)}{P_B(s_k \mid s_{k+1}, y)}

    for trajectories that are walked back from outcomes y by a fixed P_B. The first part is smallest
    where P_F is the reverse of these walks, so that y is reached for certain; the second, which
    sends no gradient into P_F, fits log F between the source, where log Z is known to be 0, and
    the end. This is the solution of every other objective for the same P_B, and comes much sooner:
    each move is a labelled example, while balance sees a policy that misses only in the sum.

    Args:
        flow_weight: How much the second part counts.
        regression: How its residuals are punished.

    Raises:
        ConfigError: If the weight is not positive.
    """

    name = "likelihood"
    needs = Needs(log_flow=True)
    learns_from = Source.TARGET

    def __init__(self, flow_weight: float = 1.0, regression: Regression = squared) -> None:
        super().__init__(regression)
        if not flow_weight > 0:
            raise ConfigError(
                f"OutcomeLikelihood: flow_weight must be positive, got {flow_weight}."
            )
        self.flow_weight = flow_weight

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T - 1, 2) of each state between the ends: with the source, and with the end."""
        assert terms.log_flow is not None
        flow = terms.log_flow
        steps = (terms.log_pf - terms.log_pb).detach().where(terms.mask, 0.0)
        before = steps.cumsum(-1)
        after = before[:, -1:] - before
        middle = flow[:, 1:-1]
        first, last = flow[:, :1], flow.gather(1, terms.length[:, None])
        delta = torch.stack(
            [first + before[:, :-1] - middle, middle + after[:, :-1] - last], -1
        )
        return delta.where(self._between(terms)[:, :, None], 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T - 1, 2) equal weights of all states between the ends in the batch."""
        inside = self._between(terms).to(terms.log_pf.dtype)
        share: Tensor = 0.5 * self.flow_weight * inside / inside.sum().clamp(min=1)
        return share[:, :, None].expand(-1, -1, 2)

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the mean of minus log P_F."""
        return -terms.log_pf.where(terms.mask, 0.0).sum(-1) / len(terms.length)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    @staticmethod
    def _between(terms: FlowTerms) -> Tensor:
        """(B, T - 1) bool: s_1 ... s_{T - 1} of each trajectory."""
        steps = torch.arange(1, terms.log_pf.shape[1], device=terms.length.device)
        return steps < terms.length[:, None]

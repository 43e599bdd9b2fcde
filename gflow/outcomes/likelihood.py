"""Maximum likelihood of walks back from outcomes, and the flows that follow from it."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gflow.bounds import Probability
from gflow.checks import checked
from gflow.errors import ConfigError
from gflow.objective import Objective, Regression, squared
from gflow.source import Source
from gflow.terms import FlowTerms, Needs

SURE = math.log(2.0)
"""Trajectories that P_F gives more than twice what they are due pull no harder than that."""


class OutcomeLikelihood(Objective):
    r"""Likelihood of walks back for P_F, balance with both ends for log F.

    .. math:: L = (1 - \lambda) (e^{\delta_{0T}} - 1) - \delta_{0T}
              + \frac{1}{2T} \sum_{0 < t < T} (\delta_{0t}^2 + \delta_{tT}^2), \quad
              \delta_{ij} = \log F(s_i \mid y) - \log F(s_j \mid y)
              + \sum_{i \le k < j} \log \frac{P_F(s_{k+1} \mid s_k, y)}{P_B(s_k \mid s_{k+1}, y)}

    for trajectories that are walked back from outcomes y by a fixed P_B. The first part trains P_F.
    With -delta alone it is the cross-entropy: each move is a labelled example, and however good P_F
    is, each walk pulls it towards itself. The exponential takes away what is nothing on average,
    since the probabilities of all walks to y sum to one, and all but the share lambda (`leak`) of
    the pull where P_F is right. That share is for walks of P_F that miss y: of these no walk back
    tells, and the exponential alone hardly minds a few. Its slope is at most 1 (delta = log 2). The
    second part, which sends no gradient into P_F, fits log F between the source, where log Z is
    known to be 0, and the end. This is the solution of every other objective for the same P_B, and
    comes much sooner: balance sees a policy that misses only in the sum.

    Trajectories that begin elsewhere than at the source fit log F alone, to the end: they may come
    from anywhere (`WalkedBack`).

    Args:
        flow_weight: How much the second part counts.
        leak: Lambda. 1 is the cross-entropy; 0 makes the flows most exact, and misses rare last.
        regression: How its residuals are punished.

    Raises:
        ConfigError: If the weight is not positive.
    """

    name = "likelihood"
    needs = Needs(log_flow=True, from_source=False)
    learns_from = Source.TARGET

    @checked
    def __init__(
        self, flow_weight: float = 4.0, leak: Probability = 0.3, regression: Regression = squared
    ) -> None:
        super().__init__(regression)
        if not flow_weight > 0:
            raise ConfigError(
                f"OutcomeLikelihood: flow_weight must be positive, got {flow_weight}."
            )
        self.flow_weight, self.leak = flow_weight, leak

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T, 2) of the states before the end: with the source, and with the end."""
        assert terms.log_flow is not None
        flow, steps = terms.log_flow, (terms.log_pf - terms.log_pb).detach()
        done = F.pad(steps.where(terms.mask, 0.0).cumsum(-1), (1, 0))
        state, last = flow[:, :-1], terms.length[:, None]
        left = done.gather(1, last) - done[:, :-1]
        delta = torch.stack(
            [flow[:, :1] + done[:, :-1] - state, state + left - flow.gather(1, last)], -1
        )
        return delta.where(self._counts(terms), 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T, 2) equal weights of all states in the batch."""
        counts = self._counts(terms).to(terms.log_pf.dtype)
        share: Tensor = self.flow_weight * counts / counts.sum().clamp(min=1)
        return share

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the mean of the first part over trajectories from the source."""
        assert terms.log_flow is not None
        ends = terms.log_flow[:, 0] - terms.log_flow.gather(1, terms.length[:, None]).squeeze(1)
        moves = (terms.log_pf - terms.log_pb.detach()).where(terms.mask, 0.0)
        whole = exponential(ends.detach() + moves.sum(-1), self.leak)
        if terms.from_source is None:
            return whole / len(whole)
        return whole.where(terms.from_source, 0.0) / terms.from_source.sum().clamp(min=1)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    @staticmethod
    def _counts(terms: FlowTerms) -> Tensor:
        """(B, T, 2) bool: states between the ends; those of trajectories from the source twice."""
        steps = torch.arange(terms.log_pf.shape[1], device=terms.length.device)
        inside = terms.mask & (steps > 0)
        if terms.from_source is None:
            return torch.stack([inside, inside], -1)
        begun = terms.from_source[:, None]
        return torch.stack([inside & begun, torch.where(begun, inside, terms.mask)], -1)


def exponential(delta: Tensor, leak: float) -> Tensor:
    """(1 - leak) (e^delta - 1) - delta, of the same shape; a line from `SURE` on."""
    low = delta.clamp(max=SURE)
    return (1 - leak) * (torch.expm1(low) + 2 * (delta - low)) - delta

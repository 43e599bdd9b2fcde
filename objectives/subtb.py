"""Sub-trajectory balance with every weighting in use."""

import math
from typing import Literal

import torch
from torch import Tensor

from gflow.bounds import Positive
from gflow.checks import checked
from gflow.objective import Objective, Regression, squared
from gflow.terms import FlowTerms, Needs

Weighting = Literal[
    "geometric_within",
    "geometric",
    "pooled",
    "equal",
    "equal_within",
    "db",
    "db_within",
    "tb",
]


class SubTrajectoryBalance(Objective):
    r"""Sub-trajectory balance: one residual per pair of states on a trajectory.

    .. math:: \delta_{ij} = \log F(s_i) + \sum_{t=i}^{j-1} \log P_F - \log F(s_j)
              - \sum_{t=i}^{j-1} \log P_B = g_i - g_j

    with g_t = log F(s_t) - sum_{u<t} (log P_F - log P_B), and F(x) = R(x) at finished objects. The
    weight of a pair depends on its length l = j - i and on the number n of transitions:

    ==================  ===========================================================
    geometric_within    lam^(l-1), normalised within each trajectory (the paper's)
    geometric           mean over all pairs of length l, these means by lam^(l-1)
    pooled              lam^l, normalised over the whole batch
    equal               all pairs of the batch alike
    equal_within        all pairs of a trajectory alike, trajectories alike
    db                  l = 1 only, all transitions of the batch alike
    db_within           l = 1 only, transitions of a trajectory alike, trajectories alike
    tb                  l = n only
    ==================  ===========================================================

    lam -> 0 of geometric_within is db_within, lam -> infinity is tb; lam > 1 is legal.

    Args:
        lam: Decay per unit of length, positive.
        weighting: Row of the table.
        regression: How residuals are punished.

    Raises:
        ConfigError: If lam is not positive, or the weighting no row of the table.

    Reference:
        Madan et al., Learning GFlowNets from partial episodes for improved convergence and
        stability, 2022, https://arxiv.org/abs/2209.12782
    """

    name = "subtb"
    needs = Needs(log_flow=True, whole=False, from_source=False)

    @checked
    def __init__(
        self,
        lam: Positive = 0.9,
        weighting: Weighting = "geometric_within",
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.lam, self.weighting = lam, weighting

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T (T + 1) / 2) one per pair i < j, in the order of `torch.triu_indices`."""
        assert terms.log_flow is not None
        gain = self.steps(terms).cumsum(-1)
        g = terms.log_flow - torch.nn.functional.pad(gain, (1, 0))
        i, j = self._pairs(terms)
        return (g[:, i] - g[:, j]).where(j <= terms.length[:, None], 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T (T + 1) / 2) weights as in the table; they sum to 1 over the batch."""
        i, j = self._pairs(terms)
        n = terms.length[:, None]
        by_length = self._by_length(terms.length, terms.log_pf.shape[1])  # (B, T + 1)
        weight = by_length[:, j - i].where(j <= n, 0.0)
        return weight.to(terms.log_pf.dtype)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    @staticmethod
    def steps(terms: FlowTerms) -> Tensor:
        """(B, T) log of what each transition multiplies the flow by."""
        return terms.log_pf - terms.log_pb

    @staticmethod
    def _pairs(terms: FlowTerms) -> Tensor:
        states = terms.log_pf.shape[1] + 1
        return torch.triu_indices(states, states, offset=1, device=terms.length.device)

    def _by_length(self, length: Tensor, longest: int) -> Tensor:
        """(B, T + 1) float64 weight of one pair of each length l = 0 ... T in each trajectory."""
        batch, device = len(length), length.device
        n = length[:, None].double()
        lengths = torch.arange(longest + 1, device=device, dtype=torch.float64)
        exists = (lengths >= 1) & (lengths <= n)  # (B, T + 1)
        pairs = (n - lengths + 1).where(exists, 0.0)  # how many pairs of each length
        decay = ((lengths - 1) * math.log(self.lam)).expand_as(pairs)  # log of lam^(l-1)
        one = torch.ones_like(pairs)
        match self.weighting:
            case "geometric_within":
                decay = decay.masked_fill(~exists, -math.inf)
                power = (decay - decay.amax(-1, keepdim=True)).exp()
                weight = power / (power * pairs).sum(-1, keepdim=True) / batch
            case "geometric":
                # The mean over the batch at each length, weighted by the share of that length.
                share = (decay[0] - decay[0, 1:].max()).exp() * (lengths >= 1)
                share = share * (lengths <= length.max())
                weight = share / share.sum() / pairs.sum(0).clamp(min=1)
                weight = weight.expand_as(pairs)
            case "pooled":
                power = (decay - decay[0, 1:].max()).exp()
                weight = power / (power * pairs).sum()
            case "equal":
                weight = one / pairs.sum()
            case "equal_within":
                weight = one / pairs.sum(-1, keepdim=True) / batch
            case "db":
                weight = (lengths == 1) * one / n.sum()
            case "db_within":
                weight = (lengths == 1) * one / n / batch
            case _:
                weight = (lengths == n) * one / batch
        return weight.where(exists, 0.0)

"""Flow matching."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gflow.bounds import NotNegative, Positive
from gflow.checks import checked
from gflow.objective import Objective, Regression, squared
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


class FlowMatching(Objective):
    r"""Flow matching: what flows into a state flows out of it, for every visited state but s0.

    .. math:: \delta(s) = \log\Bigl(\epsilon + \sum_{p} e^{f(p \to s)}\Bigr)
              - \log\Bigl(\epsilon + R(s)\,[s \text{ finished}] + \sum_{c} e^{f(s \to c)}\Bigr)

    The policy's forward logits are read as the log edge flows f, and P_F is their softmax. A stop
    leads to a copy of the state whose outflow is R. There is no backward policy.

    Flows of a fresh network are near 1. Where rewards are far from that, what a network learns
    first is to shun all states but a few whose flows have come down to the size of R; it then never
    sees the others again, at a loss near zero. So R is divided by a learned scale, which starts at
    the mean log R of the first batch, and trainers explore unless they are told not to (`epsilon`).

    Args:
        epsilon: Added to both sides; takes the gradient from flows far below it.
        leaf_coefficient: If given, the loss is this times the mean over finished objects plus the
            mean over the other states, instead of the mean over all. Positive: without the finished
            objects no reward would be seen.
        log_scale: Logarithm of the scale of R at the start; by default that of the first batch.
        regression: How residuals are punished.

    Raises:
        ConfigError: If a number is out of range.

    Reference:
        Bengio et al., Flow Network based Generative Models for Non-Iterative Diverse Candidate
        Generation, 2021, https://arxiv.org/abs/2106.04399
    """

    name = "fm"
    needs = Needs(edge_flow=True, whole=False, from_source=False)
    epsilon = 0.05

    @checked
    def __init__(
        self,
        epsilon: NotNegative = 0.0,
        leaf_coefficient: Positive | None = None,
        log_scale: float | None = None,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.log_epsilon = math.log(epsilon) if epsilon > 0 else None
        self.leaf_coefficient = leaf_coefficient
        self._given = log_scale is not None
        start = torch.tensor(float(log_scale or 0.0), dtype=torch.get_default_dtype())
        self.log_scale = nn.Parameter(start)

    @torch.no_grad()
    def begin(self, batch: Trajectories[Any]) -> None:
        """Start the scale at the mean log R of the finished objects, if none was given."""
        if self._given:
            return
        value = batch.log_reward
        if batch.complete is None:
            self.log_scale.copy_(value.mean())
        else:
            whole = batch.complete
            self.log_scale.copy_(value.where(whole, 0.0).sum() / whole.sum().clamp(min=1))

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one per state s_1 ... s_length."""
        assert terms.log_inflow is not None
        assert terms.log_outflow is not None
        into, out = terms.log_inflow[:, 1:], terms.log_outflow[:, 1:]
        out = torch.where(self._ends(terms), out - self.log_scale, out)
        if self.log_epsilon is not None:
            floor = into.new_tensor(self.log_epsilon)
            into, out = torch.logaddexp(into, floor), torch.logaddexp(out, floor)
        return (into - out).where(terms.mask, 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all visited states, or balanced between ends and the rest."""
        seen, dtype = terms.mask, terms.log_pf.dtype
        if self.leaf_coefficient is None:
            return seen.to(dtype) / seen.sum().clamp(min=1)
        ends = self._ends(terms)
        inner = seen & ~ends
        leaf = ends.to(dtype) * (self.leaf_coefficient / ends.sum().clamp(min=1))
        return leaf + inner.to(dtype) / inner.sum().clamp(min=1)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log of the flow out of the source."""
        assert terms.log_outflow is not None
        return terms.log_outflow[:, 0] + self.log_scale

    @staticmethod
    def _ends(terms: FlowTerms) -> Tensor:
        steps = torch.arange(terms.log_pf.shape[1], device=terms.length.device)
        ends = steps == terms.length[:, None] - 1
        return ends if terms.complete is None else ends & terms.complete[:, None]

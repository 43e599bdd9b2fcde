"""A GFlowNet that takes what the agent meant for what happened, with flows of what happened."""

from torch import Tensor

from gflow.objectives.chance.across import across, even
from gflow.objectives.chance.base import ChanceObjective
from gflow.terms import FlowTerms, Needs


class NaiveIntended(ChanceObjective):
    r"""Detailed balance of intentions: the stochastic GFlowNet without the moves of chance.

    .. math:: \delta(s \to e \to s') = \log F(s) + \log P_F(e \mid s) - \log F(s')
              - \log P_B(e \mid s')

    with F(x) = R(x) at finished objects, and e = (s, a) what the agent meant. Flows are those of
    the states that were in fact reached. Without chance this is detailed balance.

    **What it converges to.** Nothing that can be named: s' depends on chance while P_F(e | s) does
    not, so that residuals contradict each other as soon as several s' may follow e with different
    F(s') P_B(e | s'). The loss has a minimum above zero, a compromise between logarithms (by
    Jensen's inequality near the geometric mean of the flows that follow), weighed by where
    trajectories go. It is the baseline "DB" of experiments with stochastic environments.

    Args:
        regression: How residuals are punished.

    Reference:
        Pan et al., Stochastic Generative Flow Networks, 2023, https://arxiv.org/abs/2302.09465
    """

    name = "naive_intended"
    needs = Needs(log_flow=True, mover=True, whole=False, from_source=False)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one for each move of the agent; 0 where it is chance's turn."""
        intended = terms.log_pf
        if terms.chance is not None:
            intended = intended.masked_fill(terms.chance[:, :-1], 0.0)
        return across(terms, intended)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all moves of the agent in the batch."""
        return even(terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

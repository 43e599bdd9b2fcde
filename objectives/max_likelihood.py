"""Maximum likelihood of trajectories that end in exact samples or data."""

from torch import Tensor

from gflow.objective import Objective, Regression, squared
from gflow.objectives.regression import refuse_regression
from gflow.source import Source
from gflow.terms import FlowTerms


class MaximumLikelihood(Objective):
    r"""Forward KL divergence: the log-likelihood of trajectories that end in given objects.

    .. math:: L = -\,\mathbb{E}_{x \sim p,\; \tau \sim P_B(\cdot \mid x)}
              \Bigl[\sum_t \log P_F(s_{t+1} \mid s_t)\Bigr]

    There are no residuals. With exact samples of the target, p = R / Z, the solution samples in
    proportion to the reward; with data it learns their distribution, and the reward is not read at
    all. Up to a constant, L is the divergence of the policy from p P_B, and at the solution the
    entropy of that. No mode of the samples can be missed.

    The batch must come from `ExactSamples`, or `BackwardReplay` with share=1, and from nothing else
    (`learns_from`). P_B samples the trajectories and learns nothing.

    The estimate of log Z is the mean log-weight: from exact samples the evidence upper bound.

    Args:
        regression: There are no residuals to punish: `squared`, and nothing else.

    Raises:
        ConfigError: If another regression is asked for.

    Reference:
        Sendera et al., Improved off-policy training of diffusion samplers, 2024,
        https://arxiv.org/abs/2402.05098
    """

    name = "mle"
    learns_from = Source.TARGET

    def __init__(self, regression: Regression = squared) -> None:
        super().__init__(regression)
        refuse_regression(self)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, 0): nothing has to balance."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, 0)."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the mean of minus log P_F."""
        return -terms.log_pf.where(terms.mask, 0.0).sum(-1) / len(terms.length)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-weights."""
        return terms.log_weight

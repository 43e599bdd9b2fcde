"""Reverse Kullback-Leibler divergence, with gradients through the samples."""

from typing import Any

from torch import Tensor

from gflow.bounds import Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.continuous import ContinuousEnvironment
from gflow.evaluation.retrace import retraced_terms
from gflow.objective import Objective, Regression, squared
from gflow.objectives.regression import refuse_regression
from gflow.policies.base import Policy
from gflow.source import Source
from gflow.terms import FlowTerms
from gflow.trajectories import Trajectories


class PathwiseDivergence(Objective):
    r"""Reverse KL divergence between the policy and the target with P_B, through the samples.

    .. math:: L = \frac{1}{c}\, \mathbb{E}_{\tau \sim P_F} \Bigl[\sum_t \log P_F(s_{t+1} \mid s_t)
              - \sum_t \log P_B(s_t \mid s_{t+1}) - \log R(x)\Bigr]

    There are no residuals. c L is the divergence less log Z, and minus the evidence lower bound.
    Each step is a differentiable function of the policy and a noise, so the gradient goes through
    the whole trajectory and through log R. The environment decides which sampler of the literature
    it is: PIS for a diffusion over Brownian motion; DDS and DIS over the two schemes of an
    Ornstein-Uhlenbeck process.

    Trajectories must be the policy's own, as it is and without exploration (`learns_from`); the
    noise of each step is recovered from them. The divergence is blind to modes that the policy
    never visits.

    Args:
        divisor: c; the reference implementations divide by the dimension of the space.
        regression: There are no residuals to punish: `squared`, and nothing else.

    Raises:
        ConfigError: If the divisor is not positive, or another regression is asked for.

    Reference:
        Zhang and Chen, Path Integral Sampler, 2021, https://arxiv.org/abs/2111.15141; Vargas et
        al., Denoising Diffusion Samplers, 2023, https://arxiv.org/abs/2302.13834; Berner et al., An
        optimal control perspective on diffusion-based generative modeling, 2022,
        https://arxiv.org/abs/2211.01364
    """

    name = "kl"
    reads_policy = False
    learns_from = Source.OWN

    @checked
    def __init__(self, divisor: Positive = 1.0, regression: Regression = squared) -> None:
        super().__init__(regression)
        refuse_regression(self)
        self.divisor = divisor

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """It goes through the samples, so they must be differentiable."""
        if isinstance(env, ContinuousEnvironment) and env.reparametrised and env.fixed_length:
            return None
        what = "its moves are not" if isinstance(env, ContinuousEnvironment) else "actions are no"
        return (
            f"its gradient goes through the samples, and {what} differentiable functions of the "
            f"policy and a noise. Use tb or vargrad, whose gradient on the policy's own "
            f"trajectories is that of the same divergence."
        )

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The flow terms as functions of the policy, the states and rewards included."""
        assert isinstance(env, ContinuousEnvironment)  # refused otherwise
        return retraced_terms(env, policy, trajectories)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, 0): nothing has to balance."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, 0)."""
        return terms.log_pf.new_zeros(len(terms.length), 0)

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the mean of minus the log-weights."""
        return -terms.log_weight / (self.divisor * len(terms.length))

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-weights, whose mean is the evidence lower bound."""
        return terms.log_weight

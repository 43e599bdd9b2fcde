"""Outcome-teleported detailed balance, with clamped and down-weighted failures."""

from typing import Any

from torch import Tensor

from gflow.bounds import Probability
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.objective import Objective, Regression, squared
from gflow.outcomes.conditioned import OutcomeReward
from gflow.terms import FlowTerms, Needs

MISSED = -1e-6
"""A log-reward below this is that of the floor."""


class TeleportedBalance(Objective):
    r"""Detailed balance in which the reward at the end enters every transition.

    .. math:: \delta(s \to s') = \log F(s \mid y) + \log P_F(s' \mid s, y)
              - \log F(s' \mid y) - \log P_B(s \mid s', y) - \log R(x \mid y)

    x is the object that the trajectory ends in. On trajectories that achieve y this is detailed
    balance. On others log R is that of the floor, and a transition that lies on trajectories of
    both kinds is asked for two things at once: exact flows are no minimum. Kept to compare with;
    trajectories that are told what they achieve need no failures, and where some are wanted
    detailed balance has them at the last transition alone.

    Args:
        failure_weight: How much transitions of trajectories that miss count, against 1.
        regression: How residuals are punished.

    Reference:
        Pan et al., Pre-Training and Fine-Tuning Generative Flow Networks, 2023,
        https://arxiv.org/abs/2310.03419
    """

    name = "teleported"
    needs = Needs(log_flow=True, scores=True, from_source=False)
    self_contained = False

    @checked
    def __init__(self, failure_weight: Probability = 0.1, regression: Regression = squared) -> None:
        super().__init__(regression)
        self.failure_weight = failure_weight

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Only where the reward is to achieve an outcome."""
        if not isinstance(env.reward, OutcomeReward):
            return (
                "it is for rewards that say whether an outcome was achieved: use "
                "OutcomeConditioned(env), or detailed balance."
            )
        return super().refusal(env)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one per transition."""
        assert terms.log_flow is not None
        flow = terms.log_flow
        delta = flow[:, :-1] + terms.log_pf - flow[:, 1:] - terms.log_pb
        return (delta - _log_r(terms)[:, None]).where(terms.mask, 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all transitions, less where the outcome is missed."""
        even = terms.mask.to(terms.log_pf.dtype) / terms.length.sum().clamp(min=1)
        missed = (_log_r(terms) < MISSED).to(even.dtype)
        return even * (1 - (1 - self.failure_weight) * missed[:, None])

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    def metrics(self, terms: FlowTerms) -> dict[str, Tensor]:
        """`missed`: share of the trajectories that did not achieve their outcome."""
        return {"missed": (_log_r(terms) < MISSED).double().mean()}


def _log_r(terms: FlowTerms) -> Tensor:
    """(B,) log R(x | y), without what corrects for symmetries: 0 where y is achieved."""
    assert terms.scores is not None
    return terms.scores[:, 0].to(terms.log_pf.dtype)

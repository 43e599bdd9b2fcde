"""Energy-based training of marginals: a divergence at the objects, self-consistency everywhere."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.objective import Regression, squared
from gflow.objectives.marginals.consistency import MarginalConsistency
from gflow.policies.base import Policy
from gflow.source import Source
from gflow.terms import FlowTerms
from gflow.trajectories import Trajectories


class MarginalDivergence(MarginalConsistency):
    r"""KL(p_theta || R / Z) by its policy gradient, with marginals held to be marginals.

    .. math:: \frac{1}{B} \sum_b A_b \log p_\theta(x_b)
              + \alpha \Bigl[ D \, \overline{\Delta^2} + (\log p_\theta(\emptyset) - c)^2 \Bigr],
              \qquad A = \frac{g - \bar g}{\operatorname{std} g}, \quad
              g_b = \log p_\theta(x_b) - \log R(x_b)

    Objects must come from about p_theta: from `MarginalChains`.

    Args:
        env: The environment, which fills places in any order.
        alpha: Weight of self-consistency.
        standardised: Divide the advantage by its standard deviation.
        anchor: c.
        regression: How residuals are punished.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """

    name = "marginal_divergence"
    learns_from = Source.OWN | Source.EXPLORED

    @checked
    def __init__(
        self,
        env: Environment[Any],
        alpha: Positive = 4.0,
        standardised: bool = True,
        anchor: float = 0.0,
        regression: Regression = squared,
    ) -> None:
        super().__init__(env, alpha, anchor, regression)
        self.standardised = standardised

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """Flow terms in which finished objects have the flow that is learned.

        Raises:
            IncompatibleError: If the policy is no `MarginalPolicy`, or a batch has no objects.
        """
        if trajectories.complete is not None and not bool(trajectories.complete.any()):
            raise IncompatibleError(
                "MarginalDivergence compares finished objects with their reward, and the batch has "
                "none. Use the behaviour MarginalChains(ends=True)."
            )
        return super().evaluate(env, policy, trajectories)

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the policy gradient and of the anchor."""
        learned, ends = self._ends(terms)
        gap = learned.detach() - terms.log_reward.to(learned)
        count = ends.to(gap.dtype).sum()
        mean = gap.where(ends, 0.0).sum() / count
        gap = (gap - mean).where(ends, 0.0)
        if self.standardised:
            gap = gap / ((gap.square().sum() / (count - 1).clamp(min=1)).sqrt() + 1e-7)
        return (gap * learned).where(ends, 0.0) / count + super().extra(terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log R less the log-probability of the objects, meaned over the batch."""
        learned, ends = self._ends(terms)
        gap = terms.log_reward.to(learned) - learned + self.scale(terms)
        return (gap.where(ends, 0.0).sum() / ends.sum()).expand(len(ends))

    @staticmethod
    def _ends(terms: FlowTerms) -> tuple[Tensor, Tensor]:
        """(B,) log p of the last states, (B,) which of them are objects."""
        assert terms.log_flow is not None
        learned = terms.log_flow.gather(1, terms.length[:, None]).squeeze(1)
        ends = terms.complete
        return learned, torch.ones_like(learned, dtype=torch.bool) if ends is None else ends

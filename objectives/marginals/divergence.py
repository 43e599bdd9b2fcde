"""Energy-based training of marginals: a divergence at the objects, self-consistency everywhere."""

from typing import Any

from torch import Tensor

from gflow.bounds import Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.objective import Regression, squared
from gflow.objectives.marginals.energy import MarginalEnergy
from gflow.source import Source
from gflow.terms import FlowTerms


class MarginalDivergence(MarginalEnergy):
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
        anchor: c; the log of the number of objects by default.
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
        anchor: float | None = None,
        regression: Regression = squared,
    ) -> None:
        super().__init__(env, alpha, anchor, regression)
        self.standardised = standardised

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the policy gradient and of the anchor."""
        learned, ends = self.ends(terms)
        gap = learned.detach() - terms.log_reward.to(learned)
        count = ends.to(gap.dtype).sum()
        mean = gap.where(ends, 0.0).sum() / count
        gap = (gap - mean).where(ends, 0.0)
        if self.standardised:
            gap = gap / ((gap.square().sum() / (count - 1).clamp(min=1)).sqrt() + 1e-7)
        return (gap * learned).where(ends, 0.0) / count + super().extra(terms)

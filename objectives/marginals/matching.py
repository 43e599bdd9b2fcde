"""Marginals of a known reward without its normaliser: matched at objects, consistent elsewhere."""

from typing import Any

from torch import Tensor

from gflow.bounds import Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.objective import Regression, squared
from gflow.objectives.marginals.energy import MarginalEnergy
from gflow.terms import FlowTerms


class MarginalMatching(MarginalEnergy):
    r"""Self-consistency everywhere, and p_theta(x) = R(x) at the objects: no Z is needed.

    .. math:: \alpha \, \overline{\Delta^2}
              + \frac{1}{D} \overline{(\log p_\theta(x) - \log R(x))^2}

    Objects may come from anywhere; marginals are learned best of what is like them. Detailed
    balance on the same moves never asks for p_theta(x) of a finished x. Both parts are of one
    place, since log p of an object is a sum over D of them.

    Args:
        env: The environment, which fills places in any order.
        alpha: Weight of self-consistency.
        regression: How inconsistency is punished.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920, of which this is the off-policy form.
    """

    name = "marginal_matching"

    @checked
    def __init__(
        self, env: Environment[Any], alpha: Positive = 1.0, regression: Regression = squared
    ) -> None:
        super().__init__(env, alpha, None, regression)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) alpha over the number of transitions."""
        return super().weight(terms) / self.places

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the squared distance of objects from their reward."""
        learned, ends = self.ends(terms)
        gap = (learned - terms.log_reward.to(learned)).where(ends, 0.0)
        return gap.square() / (self.places * ends.sum())

    def metrics(self, terms: FlowTerms) -> dict[str, Tensor]:
        """How far marginals are from consistent, and from the reward."""
        return {
            "consistency": super().metrics(terms)["consistency"],
            "matching": self.extra(terms).sum().detach() * self.places,
        }

"""Energy-based training of marginals: a divergence at the objects, self-consistency everywhere."""

from typing import Any

import torch
from torch import Tensor

from gflow.bounds import Count, Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.evaluation import numbered
from gflow.marginals.policy import MarginalPolicy
from gflow.objective import Objective, Regression, squared
from gflow.policies.base import Policy
from gflow.policies.chunked import Chunked
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


class MarginalDivergence(Objective):
    r"""KL(p_theta || R / Z) by its policy gradient, with marginals held to be marginals.

    .. math:: \frac{1}{B} \sum_b A_b \log p_\theta(x_b)
              + \alpha \Bigl[ D \, \overline{\Delta^2} + (\log p_\theta(\emptyset) - c)^2 \Bigr],
              \qquad A = \frac{g - \bar g}{\operatorname{std} g}, \quad
              g_b = \log p_\theta(x_b) - \log R(x_b)

    where Delta is the residual of detailed balance with p_theta(x) itself, and not R, at finished
    objects. Objects must come from about p_theta: from `MarginalChains(ends=True)`. Only
    differences of log-marginals mean anything, which are held near c.

    Args:
        places: D.
        alpha: Weight of self-consistency.
        standardised: Divide the advantage by its standard deviation.
        anchor: c.
        regression: How residuals are punished.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """

    name = "marginal_divergence"
    needs = Needs(log_flow=True, whole=False, from_source=False)

    @checked
    def __init__(
        self,
        places: Count,
        alpha: Positive = 4.0,
        standardised: bool = True,
        anchor: float = 0.0,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.places, self.alpha = places, alpha
        self.standardised, self.anchor = standardised, anchor

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """Flow terms in which finished objects have the flow that is learned.

        Raises:
            IncompatibleError: If the policy is no `MarginalPolicy`, or a batch has no objects.
        """
        inner: Any = policy.policy if isinstance(policy, Chunked) else policy
        if not isinstance(inner, MarginalPolicy):
            raise IncompatibleError(
                f"MarginalDivergence trains marginals, and {type(inner).__name__} has none. Train "
                f"a MarginalPolicy, or use DetailedBalance."
            )
        if trajectories.complete is not None and not bool(trajectories.complete.any()):
            raise IncompatibleError(
                "MarginalDivergence compares finished objects with their reward, and the batch has "
                "none. Use the behaviour MarginalChains(ends=True)."
            )
        kind: Any = env
        parts = numbered.parts(kind, policy, trajectories, self.needs)
        assert parts.output.log_flow is not None
        nothing = torch.full((1, inner.sites.places), inner.sites.symbols)
        empty = inner.network.log_marginal(nothing.to(trajectories.length.device))
        return FlowTerms(
            log_pf=parts.log_pf,
            log_pb=parts.log_pb,
            log_reward=trajectories.log_reward,
            length=trajectories.length,
            stopped=trajectories.stopped,
            log_flow=parts.output.log_flow[trajectories.state_index],
            learned_log_reward=empty.expand(trajectories.state_index.shape),
            complete=trajectories.complete,
            from_source=trajectories.from_source,
        )

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) Delta of each transition."""
        assert terms.log_flow is not None
        delta = terms.log_flow[:, :-1] + terms.log_pf - terms.log_pb - terms.log_flow[:, 1:]
        return delta.where(terms.mask, 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) alpha D over the number of transitions."""
        mask = terms.mask.to(terms.log_pf.dtype)
        return self.alpha * self.places * mask / mask.sum()

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) shares of the policy gradient and of the anchor."""
        value, learned, ends = self._ends(terms)
        gap = learned.detach() - terms.log_reward.to(learned)
        count = ends.to(gap.dtype).sum()
        mean = gap.where(ends, 0.0).sum() / count
        gap = (gap - mean).where(ends, 0.0)
        if self.standardised:
            gap = gap / ((gap.square().sum() / (count - 1).clamp(min=1)).sqrt() + 1e-7)
        drift = (value[:, 0] - self.anchor).square() / len(value)
        return (gap * learned).where(ends, 0.0) / count + self.alpha * drift

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) log R less the log-probability of the objects, meaned over the batch."""
        value, learned, ends = self._ends(terms)
        gap = (terms.log_reward.to(learned) - learned + value[:, 0]).where(ends, 0.0)
        return (gap.sum() / ends.sum()).expand(len(ends))

    def metrics(self, terms: FlowTerms) -> dict[str, Tensor]:
        """How far marginals are from consistent, and the drift of what is anchored."""
        delta = self.residual(terms).detach()
        size = terms.mask.sum()
        value, _, _ = self._ends(terms)
        return {
            "consistency": delta.square().sum() / size,
            "drift": (value[0, 0] - self.anchor).detach(),
        }

    @staticmethod
    def _ends(terms: FlowTerms) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T + 1) log p(nothing), (B,) log p of the last states, (B,) which are objects."""
        assert terms.learned_log_reward is not None
        assert terms.log_flow is not None
        learned = terms.log_flow.gather(1, terms.length[:, None]).squeeze(1)
        ends = terms.complete
        if ends is None:
            ends = torch.ones_like(learned, dtype=torch.bool)
        return terms.learned_log_reward, learned, ends

"""Self-consistency: marginals that agree with given conditionals, whatever the reward."""

import math
from typing import Any

from torch import Tensor

from gflow.bounds import Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment
from gflow.errors import IncompatibleError
from gflow.evaluation import numbered
from gflow.marginals.policy import MarginalPolicy
from gflow.marginals.sites import Sites
from gflow.objective import Objective, Regression, squared
from gflow.policies.base import Policy
from gflow.policies.chunked import Chunked
from gflow.source import Source
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


class MarginalConsistency(Objective):
    r"""Marginals fitted to conditionals, which somebody else trains; rewards are not read.

    .. math:: \alpha \Bigl[ D \, \overline{\Delta^2} + (\log p_\theta(\emptyset) - c)^2 \Bigr],
              \qquad \Delta = \log p_\theta(s) + \log p_\phi(v \mid s) - \log p_\theta(s + v)

    The second stage of maximum likelihood: `AnyOrderFit` trains the conditionals on data. Delta is
    the residual of detailed balance, with p_theta(x) itself, and not R, at finished objects.

    Args:
        env: The environment, which fills places in any order.
        alpha: Weight of the whole.
        anchor: c, where the log-marginal of nothing is held; only differences mean anything. By
            default the log of the number of objects, D log K, where networks begin.
        regression: How residuals are punished.

    Reference:
        Liu, Ramadge & Adams, Generative marginalization models, 2024,
        https://arxiv.org/abs/2310.12920
    """

    name = "marginal_consistency"
    needs = Needs(log_flow=True, whole=False, from_source=False, marginals=True)
    learns_from = Source.ANY & ~Source.OTHER

    @checked
    def __init__(
        self,
        env: Environment[Any],
        alpha: Positive = 1.0,
        anchor: float | None = None,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.places, self.alpha = env.horizon, alpha
        actions = env.num_actions if isinstance(env, DiscreteEnvironment) else 1
        symbols = max(1, actions // max(1, self.places))
        self.anchor = self.places * math.log(symbols) if anchor is None else anchor

    @classmethod
    def build(cls, env: Environment[Any], **settings: Any) -> "MarginalConsistency":
        """The objective for an environment."""
        return cls(env, **settings)

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Only places that are filled in any order have marginals."""
        reason = super().refusal(env)
        if reason is not None:
            return reason
        try:
            Sites(env)
        except IncompatibleError as error:
            return f"it trains marginals. {error}"
        return None

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """Flow terms in which finished objects have the flow that is learned."""
        kind: Any = env
        parts = numbered.parts(kind, policy, trajectories, self.needs)
        assert parts.output.log_flow is not None
        empty = self._marginals(policy).log_scale()
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
        """(B,) shares of the anchor."""
        scale = self.scale(terms)
        return self.alpha * (scale - self.anchor).square() / len(scale)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-marginal of nothing."""
        return self.scale(terms)

    def metrics(self, terms: FlowTerms) -> dict[str, Tensor]:
        """How far marginals are from consistent, and the drift of what is anchored."""
        delta = self.residual(terms).detach()
        return {
            "consistency": delta.square().sum() / terms.mask.sum(),
            "drift": (self.scale(terms)[0] - self.anchor).detach(),
        }

    @staticmethod
    def scale(terms: FlowTerms) -> Tensor:
        """(B,) log p(nothing), with gradient."""
        assert terms.learned_log_reward is not None
        return terms.learned_log_reward[:, 0]

    def _marginals(self, policy: Policy) -> MarginalPolicy:
        inner: Any = policy.policy if isinstance(policy, Chunked) else policy
        if not isinstance(inner, MarginalPolicy):
            raise IncompatibleError(
                f"{type(self).__name__} trains marginals, and {type(inner).__name__} has none. "
                f"Train a MarginalPolicy, or use DetailedBalance."
            )
        return inner

"""The amortised predictor: the mixture of flows to outcomes, learned instead of summed."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from gflow.bounds import Natural, Probability
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.errors import IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.objective import Objective, Regression, squared
from gflow.outcomes.conditioned import require_apart
from gflow.outcomes.flows import OutcomeFlows
from gflow.outcomes.posterior import Moves, Posterior
from gflow.policies.base import Policy
from gflow.state import cat, take, where
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

STEEP = 3.0
"""Log of the ratio of a drawn sum to the learned one above which their loss is linear."""

FAR = 2.0
"""Minus the log of that ratio below which the loss becomes a square."""

LEAST = -50.0
"""Smallest log of the part of an outcome's flow that is learned from: what lies below is zero."""


@dataclass(frozen=True)
class OutcomeTerms(FlowTerms):
    """Flow terms, and for each transition D outcomes that it may serve.

    Attributes:
        log_posterior: (B, T, D) log Q(y | s, a); the first outcome is one that was reached, the
            others are drawn.
        log_numerator: (B, T, D) log r(y) + log F(s | y) + log P_F(a | s, y), without gradient.
        log_sum: (B, T) log of an unbiased estimate of the sum of numerators over all outcomes, from
            those that were drawn; without gradient. Zeros if none were.
    """

    log_posterior: Tensor | None = None
    log_numerator: Tensor | None = None
    log_sum: Tensor | None = None


class Amortised(Objective):
    r"""Learns the sums over outcomes of `Converted` together with whom each move serves.

    .. math:: \delta(s, a, y) = \log N(a \mid s) + \log Q(y \mid s, a)
              - \log r(y) - \log F(s \mid y) - \log P_F(a \mid s, y)

    for the transitions of a batch, with outcomes y drawn from Q as it is and one that the
    transition led to. The flows to outcomes are frozen, and log N is log F(s) + log P_F(a | s) of
    the policy. Where all residuals vanish, N is the numerator of the mixture, so that the policy
    samples in proportion to the reward, and Q is the share of each outcome.

    The residuals alone teach N too little as long as Q is wrong: their minimum is the sum less the
    divergence of Q from the shares. So they train Q, and N learns from the outcomes that were drawn
    by importance weights: w, the mean of the numerators over the probabilities of the draws, has
    the sum as its mean whatever Q is, and

    .. math:: \ell(a \mid s) = w / N - 1 - \log(w / N)

    has its minimum over N at the mean of w. It is linear above w = e^`STEEP` N and a square below
    e^-`FAR` N, where few draws are. Where Q is right, w is the sum itself and nothing is random. A
    stop serves the object at hand alone, so that its N is R: it is learned at every state that may
    stop, and not only at the end. Without draws (`draws=0`) the residuals train both, as in the
    paper.

    What a move carries to y, F(s | y) P_F(a | s, y), is read off both its ends, as in conversion
    (`OutcomeFlows.carried`): N comes to what it is taught, and its errors are all of that.

    Rewards are asked for at the outcomes that are drawn, too: `draws` for each move, each object
    once where the reward remembers.

    Args:
        flows: The frozen outcome-conditioned policy.
        posterior: Q.
        draws: Outcomes drawn from Q for each move, beside the one that was reached.
        explore: Probability that one is drawn evenly in place of the one that was reached.
        regression: How residuals are punished.

    Reference:
        Pan et al., Pre-Training and Fine-Tuning Generative Flow Networks, 2023,
        https://arxiv.org/abs/2310.03419
    """

    name = "amortised"
    needs = Needs(log_flow=True, log_pb=False, from_source=False)
    epsilon = 0.05

    @checked
    def __init__(
        self,
        flows: OutcomeFlows,
        posterior: Posterior,
        draws: Natural = 2,
        explore: Probability = 0.1,
        regression: Regression = squared,
    ) -> None:
        super().__init__(regression)
        self.flows, self.posterior = flows.requires_grad_(False), posterior
        self.draws, self.explore = draws, explore
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))

    @classmethod
    @checked
    def build(
        cls,
        env: Environment[Any],
        flows: OutcomeFlows | None = None,
        posterior: Posterior | None = None,
        **settings: Any,
    ) -> "Amortised":
        """With what its task supplies.

        Args:
            env: The environment.
            flows: The frozen outcome-conditioned policy.
            posterior: Q.
            settings: Further arguments of the class.

        Raises:
            IncompatibleError: If there is no pre-trained sampler.
        """
        if flows is None or posterior is None:
            raise IncompatibleError(
                f"Amortised cannot train on {env.name}: it learns sums of the flows of a "
                f"pre-trained sampler, and this task has none. Use gflow finetune, or "
                f"Amortised(flows, posterior) in Python."
            )
        return cls(flows, posterior, **settings)

    @property
    def networks(self) -> list[nn.Module]:
        """Q."""
        return [self.posterior]

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> OutcomeTerms:
        """Terms with outcomes drawn for every transition.

        Without gradients, as in evaluations, the draws that follow in training stay the same.
        """
        found = require_numbered(env, "Amortised", "Flows to single points of a continuum are 0.")
        needs = replace(self.needs, stop=found.stop_action is not None)
        terms = evaluate(env, policy, trajectories, needs)
        generator = self.generator
        if not torch.is_grad_enabled():
            generator = torch.Generator().manual_seed(0)
        mask = trajectories.mask
        posterior, numerator, total = self._outcomes(found, trajectories, mask, generator)
        shape = (*mask.shape, posterior.shape[1])
        place = mask[:, :, None].expand(shape)
        given = {field.name: getattr(terms, field.name) for field in fields(FlowTerms)}
        return OutcomeTerms(
            **given,
            log_posterior=posterior.new_zeros(shape).masked_scatter(place, posterior),
            log_numerator=numerator.new_zeros(shape).masked_scatter(place, numerator),
            log_sum=total.new_zeros(mask.shape).masked_scatter(mask, total),
        )

    def _outcomes(
        self,
        env: DiscreteEnvironment[Any],
        batch: Trajectories[Any],
        mask: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(M, D) log Q and log numerators of outcomes of the M transitions, and (M,) log sums."""
        row, time = mask.nonzero(as_tuple=True)
        moves = Moves(
            take(batch.states, batch.state_index[row, time]),
            batch.actions[row, time],
            take(batch.states, batch.state_index[row, time + 1]),
            time + 1 == batch.length[row],
        )
        objects = [take(batch.final_states, row)]
        if len(row) and self.explore:
            (even,) = self.posterior.sample(env, moves, generator, 1.0)
            coin = torch.rand(len(row), generator=generator).to(row.device) < self.explore
            objects = [where(coin, even, objects[0])]
        if len(row) and self.draws:
            objects += self.posterior.sample(env, moves, generator, number=self.draws)
        log_q = self.posterior.log_prob(env, moves, objects)
        numerator = self._numerators(env, moves, cat(objects), len(objects))
        numerator = numerator.view(len(objects), -1).T
        weight = (numerator - log_q.detach())[:, 1 : 1 + self.draws]
        total = weight.logsumexp(1) - math.log(max(self.draws, 1))
        return log_q, numerator, total

    @torch.no_grad()
    def _numerators(
        self, env: DiscreteEnvironment[Any], moves: Moves, objects: Any, copies: int
    ) -> Tensor:
        """(copies M,) log r(y) + log F(s | y) + log P_F(a | s, y) of all moves, copy after copy."""
        told, rows = self.flows.env, torch.arange(len(moves), device=moves.actions.device)
        rows = rows.repeat(copies)
        outcomes = self.flows.reward.outcomes(objects)
        require_apart(self.flows.reward, outcomes, "Amortised")
        again = moves.take(rows)
        flow = self.flows.carried(again.states, again.actions, again.children, outcomes)
        flow = flow.clamp(min=LEAST)
        log_r = env.target_log_reward(objects) - told.target_log_reward(objects, outcomes)
        numerator: Tensor = log_r.to(flow.dtype) + flow
        return numerator

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T, D) one for each outcome of each transition."""
        found = cast(OutcomeTerms, terms)
        assert found.log_posterior is not None
        assert found.log_numerator is not None
        log_n = self._log_n(terms)
        if self.draws:
            log_n = log_n.detach()
        delta = log_n[:, :, None] + found.log_posterior - found.log_numerator
        return delta.where(found.mask[:, :, None], 0.0)

    def extra(self, terms: FlowTerms) -> Tensor | None:
        """(B,) what the sums are worth that were drawn, of each trajectory; None without draws."""
        if not self.draws:
            return None
        log_sum = cast(OutcomeTerms, terms).log_sum
        assert log_sum is not None
        ratio = log_sum - self._log_n(terms)
        low = ratio.clamp(max=STEEP)
        loss = low.expm1() - low + math.expm1(STEEP) * (ratio - low)
        loss = 2 * loss + (-ratio - FAR).clamp(min=0).square()
        loss = loss.where(terms.mask, 0.0).sum(1) + self._of_stops(terms)
        share: Tensor = loss / terms.length.sum().clamp(min=1)
        return share

    @staticmethod
    def _of_stops(terms: FlowTerms) -> Tensor:
        """(B,) squared errors of log N of the stops at all states, where it is log R."""
        log_flow, log_stop, reward = terms.log_flow, terms.log_stop, terms.state_log_reward
        assert log_flow is not None
        if log_stop is None or reward is None:
            return torch.zeros_like(terms.log_reward)
        may = (log_stop > -torch.inf)[:, :-1] & terms.mask
        log_n = log_flow[:, :-1] + log_stop[:, :-1].where(may, 0.0)
        return (log_n - reward[:, :-1]).where(may, 0.0).square().sum(1)

    @staticmethod
    def _log_n(terms: FlowTerms) -> Tensor:
        """(B, T) log N of each transition."""
        assert terms.log_flow is not None
        return terms.log_flow[:, :-1] + terms.log_pf

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T, D) equal weights."""
        posterior = cast(OutcomeTerms, terms).log_posterior
        assert posterior is not None
        each = terms.mask.to(terms.log_pf.dtype) / terms.length.sum().clamp(min=1)
        share: Tensor = (each / posterior.shape[2])[:, :, None]
        return share.expand_as(posterior)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]

    def get_extra_state(self) -> Tensor:
        """Where the draws of outcomes stand."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Take back what `get_extra_state` gave."""
        self.generator.set_state(state)

"""The amortised predictor: the mixture of flows to outcomes, learned instead of summed."""

from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from gflow.bounds import Natural, Probability
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.environment.discrete import DiscreteEnvironment, require_numbered
from gflow.errors import IncompatibleError
from gflow.objective import Objective, Regression, squared
from gflow.outcomes.conditioned import require_apart
from gflow.outcomes.flows import OutcomeFlows
from gflow.outcomes.posterior import Moves, Posterior
from gflow.policies.base import Policy
from gflow.state import cat, take
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

LEAST = -50.0
"""Smallest log of the part of an outcome's flow that is learned from: what lies below is zero."""


@dataclass(frozen=True)
class OutcomeTerms(FlowTerms):
    """Flow terms, and for each transition D outcomes that it may serve.

    Attributes:
        log_posterior: (B, T, D) log Q(y | s, a).
        log_numerator: (B, T, D) log r(y) + log F(s | y) + log P_F(a | s, y), without gradient.
    """

    log_posterior: Tensor | None = None
    log_numerator: Tensor | None = None


class Amortised(Objective):
    r"""Learns the sums over outcomes of `Converted` together with whom each move serves.

    .. math:: \delta(s, a, y) = \log N(a \mid s) + \log Q(y \mid s, a)
              - \log r(y) - \log F(s \mid y) - \log P_F(a \mid s, y)

    for the transitions of a batch, with outcomes y drawn from Q as it is and the one that the
    trajectory came to. The flows to outcomes are frozen, and log N is log F(s) + log P_F(a | s) of
    the policy. Where all residuals vanish, N is the numerator of the mixture, so that the policy
    samples in proportion to the reward, and Q is the share of each outcome.

    What a move carries to y, F(s | y) P_F(a | s, y), is read off both its ends, as in conversion
    (`OutcomeFlows.carried`): N comes to what it is taught, and its errors are all of that.

    Rewards are asked for at the outcomes that are drawn, too: `draws` for each transition, each
    object once where the reward remembers.

    Args:
        flows: The frozen outcome-conditioned policy.
        posterior: Q.
        draws: Outcomes drawn from Q for each transition, beside the one that was reached.
        explore: Probability that one is drawn evenly.
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
        terms = super().evaluate(env, policy, trajectories)
        generator = self.generator
        if not torch.is_grad_enabled():
            generator = torch.Generator().manual_seed(0)
        mask = trajectories.mask
        posterior, numerator = self._outcomes(found, trajectories, mask, generator)
        shape = (*mask.shape, posterior.shape[1])
        place = mask[:, :, None].expand(shape)
        given = {field.name: getattr(terms, field.name) for field in fields(FlowTerms)}
        return OutcomeTerms(
            **given,
            log_posterior=posterior.new_zeros(shape).masked_scatter(place, posterior),
            log_numerator=numerator.new_zeros(shape).masked_scatter(place, numerator),
        )

    def _outcomes(
        self,
        env: DiscreteEnvironment[Any],
        batch: Trajectories[Any],
        mask: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """(M, D) log Q and log numerators of outcomes of the M transitions of a batch."""
        row, time = mask.nonzero(as_tuple=True)
        moves = Moves(
            take(batch.states, batch.state_index[row, time]),
            batch.actions[row, time],
            take(batch.states, batch.state_index[row, time + 1]),
            time + 1 == batch.length[row],
        )
        reached = take(batch.final_states, row)
        going = (
            (~moves.ends).nonzero().squeeze(1)
        )  # the others serve what they reach, and only that
        several, objects = moves.take(going), [reached]
        every_row = torch.arange(len(row), device=row.device)
        place = every_row.index_copy(0, going, len(row) + every_row[: len(going)])
        if len(going) and self.draws:
            for some in self.posterior.sample(env, several, generator, self.explore, self.draws):
                objects.append(take(cat([reached, some]), place))
        log_q = self.posterior.log_prob(env, moves, objects)
        every = cat(objects)
        numerator = self._numerators(env, moves, every, len(objects))
        return log_q, numerator.view(len(objects), -1).T

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
        assert found.log_flow is not None
        assert found.log_posterior is not None
        assert found.log_numerator is not None
        log_n = found.log_flow[:, :-1] + found.log_pf
        delta = log_n[:, :, None] + found.log_posterior - found.log_numerator
        return delta.where(found.mask[:, :, None], 0.0)

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

"""Order-preserving objectives: the reward is learned, and only its order is given."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from gflow.bounds import NotNegative, Positive
from gflow.checks import checked
from gflow.environment.base import Environment
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.objective import Objective, Regression, Solution, squared
from gflow.objectives.ordered.order import TIE, all_pairs, listwise, pairwise, random_partner
from gflow.policies.base import Policy
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories

Order = Literal["auto", "pairwise", "all_pairs", "listwise"]


@dataclass(frozen=True)
class Ranking:
    """Log-rewards to be ordered like scores, in C columns that are compared apart.

    Attributes:
        rho: (B, C) log-rewards that the flows imply.
        scores: (B, K), or (B, C, K) where each column has its own.
        exists: (B, C) bool.
        weight: (C,) of the columns.
    """

    rho: Tensor
    scores: Tensor
    exists: Tensor
    weight: Tensor


class OrderPreserving(Objective):
    r"""What all order-preserving objectives share.

    The flows imply a log-reward log R^ of each object; the loss asks that it orders the objects of
    a batch as their scores do, and that the flows balance where no reward enters:

    .. math:: \lambda_{flow} L_{flow} + \lambda_{op} L_{order} + \lambda_{kl} L_{KL}

    The sampler finds the best objects and not R / Z: between objects of different rank the gap of
    log R^ grows as long as training goes on, and equal ones stay equal (`order` says how, and what
    the minimum is when log R^ is bounded). With several scores the best are the Pareto front.

    Rewards of a single number are ordered by it; of rewards with several scores the scores are read
    and not the scalar that is made of them. Trajectories with conditions are compared where the
    conditions are equal. Any off-policy trajectories will do.

    L_KL is the mean over visited states of KL(uniform over parents || P_B), zero exactly for the
    uniform backward policy.

    Args:
        order: "all_pairs", "pairwise" (each with one random partner; noisier, linear in the batch)
            or "listwise" (the front of the batch); "auto" is all_pairs for one score and listwise
            for several. "all_pairs" is what "pairwise" is on average.
        lambda_flow: Weight of the balance of flows.
        lambda_op: Weight of the order.
        lambda_kl: Weight of the backward regulariser.
        tolerance: Scores this close are equal.
        limit: Largest loss of one comparison; None for no limit.
        regression: How residuals of the balance are punished.
        generator: Draws the partners of "pairwise"; by default one of its own, seeded with 0. Its
            state is saved with the parameters.

    Raises:
        ConfigError: If a number is out of range, or the order is none.

    Reference:
        Chen & Mauch, Order-Preserving GFlowNets, 2024, https://arxiv.org/abs/2310.00386
    """

    solution = Solution.ORDERED
    compares = True
    needs = Needs(scores=True)

    @checked
    def __init__(
        self,
        order: Order = "auto",
        lambda_flow: NotNegative = 1.0,
        lambda_op: NotNegative = 1.0,
        lambda_kl: NotNegative = 0.0,
        tolerance: NotNegative = TIE,
        limit: Positive | None = None,
        regression: Regression = squared,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(regression)
        self.order, self.tolerance, self.limit = order, tolerance, limit
        self.lambda_flow, self.lambda_op, self.lambda_kl = lambda_flow, lambda_op, lambda_kl
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator

    @abstractmethod
    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        """What is to be ordered."""

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The terms, with the divergence of the backward policy where it is punished."""
        needs = replace(self.needs, backward_divergence=self.lambda_kl > 0)
        return evaluate(env, policy, trajectories, needs)

    def check(
        self, env: Environment[Any], policy: Policy | None = None, conditional: bool = False
    ) -> None:
        """See `Objective.check`; a regulariser of P_B needs one that losses can reach.

        Raises:
            IncompatibleError: With the reason and what would work.
        """
        super().check(env, policy, conditional)
        if self.lambda_kl and getattr(policy, "detached", False):
            raise IncompatibleError(
                f"{type(self).__name__} with lambda_kl = {self.lambda_kl} regularises P_B, and "
                f"this {type(policy).__name__} lets no gradient into it, because something else "
                f"fits it. Leave lambda_kl at 0, or let the objective train P_B (learned, "
                f"separate)."
            )

    def extra(self, terms: FlowTerms) -> Tensor:
        """(B,) what each trajectory adds to the order losses and to the regulariser.

        Raises:
            ConfigError: If no two trajectories can be compared.
        """
        group = self._groups(terms)
        total = torch.zeros_like(terms.log_reward)
        for ranking in self.rankings(terms):
            share = self._order(ranking, group) * ranking.weight
            total = total + self.lambda_op * share.sum(-1)
        if self.lambda_kl:
            total = total + self.lambda_kl * self._divergence(terms)
        return total

    def _order(self, ranking: Ranking, group: Tensor | None) -> Tensor:
        """(B, C) shares in the order loss of each column."""
        rho, scores = ranking.rho, ranking.scores
        order = self.order
        if order == "auto":
            order = "all_pairs" if scores.shape[-1] == 1 else "listwise"
        settings: dict[str, Any] = {
            "exists": ranking.exists, "tolerance": self.tolerance, "limit": self.limit,
        }  # fmt: skip
        if order == "pairwise":
            partner = random_partner(len(rho), self.generator, group).to(rho.device)
            return pairwise(rho, scores, partner, **settings)
        loss = all_pairs if order == "all_pairs" else listwise
        return loss(rho, scores, group=group, **settings)

    def _divergence(self, terms: FlowTerms) -> Tensor:
        """(B,) shares in the mean of KL(uniform || P_B) over all visited states but s0."""
        if terms.backward_divergence is None:
            raise IncompatibleError(
                f"{type(self).__name__} with lambda_kl = {self.lambda_kl} reads the divergence of "
                f"P_B. Fill the terms by `objective.evaluate(env, policy, trajectories)`."
            )
        moves = (terms.length - terms.stopped.long()).sum().clamp(min=1)
        return terms.backward_divergence.where(terms.mask, 0.0).sum(-1) / moves

    def _groups(self, terms: FlowTerms) -> Tensor | None:
        """(B,) number of the condition of each trajectory; None if all are comparable."""
        name = type(self).__name__
        if terms.condition is None:
            if len(terms.length) < 2:
                raise ConfigError(f"{name} needs at least 2 trajectories in a batch.")
            return None
        _values, group, count = torch.unique(
            terms.condition, dim=0, return_inverse=True, return_counts=True
        )
        if not bool((count > 1).any()):
            raise ConfigError(
                f"{name} orders trajectories of equal condition, and no condition occurs twice in "
                f"this batch of {len(group)}. Draw each condition several times "
                f"(UniformCondition(..., repeat=8)), or train without conditions."
            )
        found: Tensor = group
        return found

    def get_extra_state(self) -> Tensor:
        """The state of the generator, so that a resumed run draws the same pairs."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Take back what `get_extra_state` gave."""
        self.generator.set_state(state)

    @staticmethod
    def _one_column(rho: Tensor, terms: FlowTerms) -> list[Ranking]:
        """The ranking of one log-reward per object, (B,)."""
        assert terms.scores is not None
        column = corrected(rho, terms)[:, None]
        exists = torch.ones_like(column, dtype=torch.bool)
        return [Ranking(column, terms.scores, exists, column.new_ones(1))]


def corrected(rho: Tensor, terms: FlowTerms) -> Tensor:
    """(B, ...) log-rewards of objects from those of their labelled representations."""
    if terms.log_symmetry is None:
        return rho
    return rho + terms.log_symmetry.view(-1, *(1,) * (rho.dim() - 1))


def inner(terms: FlowTerms) -> Tensor:
    """(B, T) bool: transitions before the last one of their trajectory."""
    steps = torch.arange(terms.log_pf.shape[1], device=terms.length.device)
    return steps < terms.length[:, None] - 1

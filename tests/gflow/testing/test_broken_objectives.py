"""Objectives that are wrong on purpose, and what `check_objective` says of them.

Run it as a script to read the messages:  python tests/gflow/testing/test_broken_objectives.py
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gflow import Needs, Objective
from gflow.objective import LogZ
from gflow.objectives import (
    DetailedBalance,
    LogPartitionVariance,
    OrderPreservingDetailedBalance,
    OrderPreservingTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.objectives.ordered.order_preserving import Ranking
from gflow.terms import FlowTerms
from gflow.testing import BrokenObjectiveError, check_objective


class FlippedPB(TrajectoryBalance):
    """The sign of log P_B is wrong."""

    def residual(self, terms: FlowTerms) -> Tensor:
        log_z: Tensor = self.log_z(terms)
        return log_z + (terms.log_pf + terms.log_pb).sum(-1) - terms.log_reward


class NoReward(TrajectoryBalance):
    """log R is dropped."""

    def residual(self, terms: FlowTerms) -> Tensor:
        log_z: Tensor = self.log_z(terms)
        return log_z + (terms.log_pf - terms.log_pb).sum(-1)


class FlowOnTheWrongSide(DetailedBalance):
    """log F(s') is added instead of taken away."""

    def residual(self, terms: FlowTerms) -> Tensor:
        flow = terms.log_flow
        assert flow is not None
        delta = flow[:, :-1] + terms.log_pf + flow[:, 1:] - terms.log_pb
        return delta.where(terms.mask, 0.0)


class AlwaysZero(TrajectoryBalance):
    """Nothing is ever wrong."""

    def residual(self, terms: FlowTerms) -> Tensor:
        log_z: Tensor = self.log_z(terms)
        return 0 * (log_z - terms.log_weight)


class SkipsTheEnd(DetailedBalance):
    """The last transition, where the reward enters, is left out."""

    def residual(self, terms: FlowTerms) -> Tensor:
        steps = torch.arange(terms.log_pf.shape[1])
        return super().residual(terms).where(steps < terms.length[:, None] - 1, 0.0)


class AveragesOverPadding(DetailedBalance):
    """Divides by the width of the batch."""

    def weight(self, terms: FlowTerms) -> Tensor:
        return terms.mask / terms.mask.numel()


class LastColumn(DetailedBalance):
    """Takes the last column for the last state."""

    def residual(self, terms: FlowTerms) -> Tensor:
        flow = terms.log_flow
        assert flow is not None
        return flow[:, 0] + (terms.log_pf - terms.log_pb).sum(-1) - flow[:, -1]

    def weight(self, terms: FlowTerms) -> Tensor:
        return torch.full_like(terms.log_reward, 1 / len(terms.log_reward))


class FirstCounts(TrajectoryBalance):
    """The first of the batch weighs more."""

    def weight(self, terms: FlowTerms) -> Tensor:
        weight = super().weight(terms).clone()
        weight[0] *= 2
        return weight


class NegativeWeights(TrajectoryBalance):
    """Some trajectories are to be made worse."""

    def weight(self, terms: FlowTerms) -> Tensor:
        return super().weight(terms) * torch.where(terms.log_reward > 0, 1.0, -1.0)


class LearningWeights(TrajectoryBalance):
    """Weights that carry a gradient."""

    def weight(self, terms: FlowTerms) -> Tensor:
        return terms.log_pf.sum(-1).softmax(0)


class Reduced(TrajectoryBalance):
    """Reduces too early."""

    def residual(self, terms: FlowTerms) -> Tensor:
        return super().residual(terms).mean()


class DetachedPolicy(TrajectoryBalance):
    """Only log Z learns."""

    def residual(self, terms: FlowTerms) -> Tensor:
        log_z: Tensor = self.log_z(terms)
        return log_z - terms.log_weight.detach()


class UnusedParameter(TrajectoryBalance):
    """Two log Z, one of which is read."""

    def __init__(self) -> None:
        super().__init__()
        self.other_log_z = LogZ()


class UnusedFlow(TrajectoryBalance):
    """Asks for a flow and reads none."""

    needs = Needs(log_flow=True)


class WrongEstimate(LogPartitionVariance):
    """Reports the largest log-weight as log Z, plus one."""

    def residual(self, terms: FlowTerms) -> Tensor:
        return terms.log_weight.mean() - terms.log_weight

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        return terms.log_weight.max().expand(len(terms.length)) + 1


class Contrary(TrajectoryBalance):
    """Right residuals, punished with a minimum elsewhere."""

    def __init__(self) -> None:
        super().__init__(regression=lambda t: (t.square() - 1).square())


class WantsConditions(TrajectoryBalance):
    """Fails on a plain batch."""

    def residual(self, terms: FlowTerms) -> Tensor:
        return super().residual(terms) + terms.condition.sum(-1)  # type: ignore[union-attr]


class MixesNeighbours(TrajectoryBalance):
    """Subtracts something that depends on the length of the longest trajectory."""

    def residual(self, terms: FlowTerms) -> Tensor:
        width = int(terms.length.max())
        return super().residual(terms) * (1 + 0.1 * width)


class OrderOfTheWorst(OrderPreservingTrajectoryBalance):
    """The implied reward has the wrong sign of log P_B."""

    def implied_log_reward(self, terms: FlowTerms) -> Tensor:
        return (terms.log_pf + terms.log_pb).where(terms.mask, 0.0).sum(-1)


class ForgetsTheEnd(OrderPreservingTrajectoryBalance):
    """The implied reward is the true one, whatever the flows are."""

    def implied_log_reward(self, terms: FlowTerms) -> Tensor:
        return terms.log_reward + 0 * terms.log_pf[:, 0]


class TurnedRound(OrderPreservingTrajectoryBalance):
    """Prefers what is worse."""

    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        return [replace(one, scores=-one.scores) for one in super().rankings(terms)]


class Speechless(OrderPreservingDetailedBalance):
    """Declares a learned reward and tells none."""

    def implied_log_reward(self, terms: FlowTerms) -> Tensor:
        return None  # type: ignore[return-value]

    def rankings(self, terms: FlowTerms) -> list[Ranking]:
        return self._one_column(super().implied_log_reward(terms), terms)


class NeedsNoSource(TrajectoryBalance):
    """Claims that log Z holds wherever a trajectory begins."""

    needs = Needs(from_source=False)


class NeedsNoEnd(TrajectoryBalance):
    """Claims that the reward of what is not finished is known."""

    needs = Needs(whole=False)


CASES: list[tuple[type[Objective], str]] = [
    (FlippedPB, "residual-at-solution"),
    (NoReward, "residual-at-solution"),
    (FlowOnTheWrongSide, "residual-at-solution"),
    (AlwaysZero, "blind-to-policy"),
    (SkipsTheEnd, "blind-to-policy"),
    (AveragesOverPadding, "padding"),
    (LastColumn, "padding"),
    (FirstCounts, "permutation"),
    (NegativeWeights, "weights"),
    (LearningWeights, "weights"),
    (Reduced, "shape"),
    (DetachedPolicy, "no-gradient"),
    (UnusedParameter, "no-gradient"),
    (UnusedFlow, "no-gradient"),
    (WrongEstimate, "log-z-estimate"),
    (NeedsNoSource, "parts"),
    (NeedsNoEnd, "parts"),
    (Contrary, "fixed-point"),
    (WantsConditions, "raises"),
    (MixesNeighbours, "mixed-lengths"),
    (OrderOfTheWorst, "implied-reward"),
    (ForgetsTheEnd, "blind-to-policy"),
    (TurnedRound, "order"),
    (Speechless, "shape"),
]


@pytest.mark.parametrize(("broken", "rule"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_broken_rule_is_named(broken: Callable[[], Objective], rule: str) -> None:
    with pytest.raises(BrokenObjectiveError) as caught:
        check_objective(broken, solve=broken in (Contrary, TurnedRound))
    assert caught.value.rules[0] == rule, caught.value


@pytest.mark.parametrize(
    ("broken", "guess"),
    [
        (FlippedPB, "equal 2 log P_B: it has the wrong sign"),
        (NoReward, "equal log R: it is missing"),
        (FlowOnTheWrongSide, "equal 2 log F(s'): it has the wrong sign"),
    ],
)
def test_what_went_wrong_is_guessed(broken: Callable[[], Objective], guess: str) -> None:
    with pytest.raises(BrokenObjectiveError) as caught:
        check_objective(broken, solve=False)
    assert guess in caught.value.findings[0].seen


if __name__ == "__main__":
    for cls, _ in CASES:
        try:
            check_objective(cls, solve=cls in (Contrary, TurnedRound))
            print(f"{cls.__name__}: NOTHING FOUND\n", file=sys.stdout)
        except BrokenObjectiveError as error:
            print(f"# {cls.__doc__}\n{error}\n", file=sys.stdout)

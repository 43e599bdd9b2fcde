"""Objectives of games that are wrong on purpose, and what `check_objective` says of them."""

import pytest
import torch
from torch import Tensor

from gflow import Needs, Objective
from gflow.objectives import (
    AdversarialDetailedBalance,
    AdversarialExpectedDetailedBalance,
    AdversarialTrajectoryBalance,
)
from gflow.terms import FlowTerms
from gflow.testing import BrokenObjectiveError, check_objective


class NoBranching(AdversarialTrajectoryBalance):
    """The number of moves is left out: no single log Z satisfies all games."""

    @staticmethod
    def steps(terms: FlowTerms) -> Tensor:
        signed = terms.log_pf
        if terms.mover is not None:
            signed = torch.where(terms.mover == -1, -signed, signed)
        return signed.where(terms.mask, 0.0)


class OnePlayer(AdversarialTrajectoryBalance):
    """Whose move it is does not count."""

    needs = Needs(branching=True, log_pb=False)


class Turned(AdversarialDetailedBalance):
    """Player -1 plays for R."""

    @staticmethod
    def steps(terms: FlowTerms) -> Tensor:
        return -AdversarialDetailedBalance.steps(terms)


class GeometricMean(AdversarialExpectedDetailedBalance):
    """Players expect the mean of log F."""

    @staticmethod
    def _expected(terms: FlowTerms) -> Tensor:
        assert terms.child_log_flow is not None
        assert terms.child_log_prob is not None
        share = terms.child_log_prob.detach().exp()[..., None]
        return (share * terms.child_log_flow.nan_to_num(neginf=0.0)).sum(2)


class ForgetsOne(AdversarialDetailedBalance):
    """Right residuals, of which those of player -1 have no weight."""

    def weight(self, terms: FlowTerms) -> Tensor:
        weight = super().weight(terms)
        return weight if terms.mover is None else weight * (terms.mover != -1)


class Unread(AdversarialExpectedDetailedBalance):
    """The second player's flow is asked for and not balanced."""

    def residual(self, terms: FlowTerms) -> Tensor:
        return super().residual(terms)[..., :1]

    def weight(self, terms: FlowTerms) -> Tensor:
        return super().weight(terms)[..., :1]


CASES: list[tuple[type[Objective], str]] = [
    (NoBranching, "residual-at-solution"),
    (OnePlayer, "residual-at-solution"),
    (Turned, "residual-at-solution"),
    (GeometricMean, "residual-at-solution"),
    (ForgetsOne, "fixed-point"),
    (Unread, "blind-to-policy"),
]


@pytest.mark.parametrize(("broken", "rule"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_broken_rule_is_named(broken: type[Objective], rule: str) -> None:
    with pytest.raises(BrokenObjectiveError) as caught:
        check_objective(broken, solve=broken is ForgetsOne)
    assert caught.value.rules[0] == rule, caught.value


def test_a_missing_branching_is_guessed() -> None:
    with pytest.raises(BrokenObjectiveError, match="equal -the signed log b.s.: it is missing"):
        check_objective(NoBranching, solve=False)

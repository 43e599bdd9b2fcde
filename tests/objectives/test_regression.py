"""Punishments of a residual: shape, closed forms, gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow.objectives import Huber, Linex, Regression, SquaredUpTo
from gflow.objectives.regression import REGRESSIONS

EACH = [kind() for kind in REGRESSIONS.values()] + [Huber(0.3), Linex(-0.5), SquaredUpTo(2.0)]

FORMULA = {
    "Squared": lambda r, t: t * t,
    "HalfSquared": lambda r, t: t * t / 2,
    "Huber": lambda r, t: t * t / 2 if abs(t) <= r.delta else r.delta * (abs(t) - r.delta / 2),
    "ShiftedCosh": lambda r, t: math.exp(t) + math.exp(-t) - 2,
    "Linex": lambda r, t: (math.exp(r.alpha * t) - r.alpha * t - 1) / r.alpha**2,
    "SquaredUpTo": lambda r, t: min(t * t, r.limit),
}


@pytest.mark.parametrize("regression", EACH, ids=repr)
@given(t=st.floats(-4, 4))
def test_formula_zero_and_sign(regression: Regression, t: float) -> None:
    got = regression(torch.tensor([t, 0.0]))
    wanted = FORMULA[type(regression).__name__](regression, t)
    torch.testing.assert_close(got, torch.tensor([wanted, 0.0]), atol=1e-12, rtol=1e-9)
    if abs(t) > 1e-6:
        assert got[0] > 0


@pytest.mark.parametrize("regression", EACH, ids=repr)
def test_small_residuals_keep_their_digits(regression: Regression) -> None:
    """Near zero all are quadratic; a naive e^t + e^-t - 2 would give zero, or noise."""
    t = torch.tensor([1e-5, -1e-5], requires_grad=True)
    half = regression(t) / t**2
    curvature = (
        1.0 if type(regression).__name__ in ("Squared", "SquaredUpTo", "ShiftedCosh") else 0.5
    )
    torch.testing.assert_close(half, torch.full((2,), curvature), atol=0, rtol=1e-4)
    (slope,) = torch.autograd.grad(regression(t).sum(), t)
    torch.testing.assert_close(slope, 2 * curvature * t.detach(), atol=0, rtol=1e-4)


@pytest.mark.parametrize("regression", EACH, ids=repr)
def test_gradients(regression: Regression) -> None:
    t = torch.tensor([-1.3, -0.2, 0.0, 0.1, 1.1], requires_grad=True)
    assert torch.autograd.gradcheck(regression, (t,))


def test_huber_takes_its_own_threshold() -> None:
    """D14: a peer's threshold was written into the code in place of the parameter."""
    t = torch.tensor([0.5, 3.0])
    torch.testing.assert_close(Huber(2.0)(t), torch.tensor([0.125, 4.0]))
    torch.testing.assert_close(Huber(0.25)(t), torch.tensor([0.25 * 0.375, 0.25 * 2.875]))


def test_the_clamp_stops_the_gradient_of_the_worst() -> None:
    t = torch.tensor([1.0, 10.0], requires_grad=True)
    (slope,) = torch.autograd.grad(SquaredUpTo(50.0)(t).sum(), t)
    torch.testing.assert_close(slope, torch.tensor([2.0, 0.0]))


def test_linex_of_the_forward_side_punishes_excess_more() -> None:
    def both(alpha: float) -> Tensor:
        return Linex(alpha)(torch.tensor([2.0, -2.0]))

    assert both(1.0)[0] > both(1.0)[1]
    torch.testing.assert_close(both(-1.0), both(1.0).flip(0))

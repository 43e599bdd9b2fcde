"""Coefficients of the steps of reference processes, by hand."""

import math

import pytest
import torch

from gflow.envs.diffusion.process import Brownian, OrnsteinUhlenbeck

T = torch.tensor([0.25, 0.0], dtype=torch.float64)
U = torch.tensor([0.75, 0.1], dtype=torch.float64)
STEP = U - T


def test_brownian_steps_by_hand() -> None:
    process = Brownian(2.0)
    a, b, v = process.forward(T, U)
    torch.testing.assert_close(a, torch.ones(2))
    torch.testing.assert_close(b, torch.tensor([0.5, 0.1]))
    torch.testing.assert_close(v, torch.tensor([1.0, 0.2]))
    c, w = process.backward(T, U)
    torch.testing.assert_close(c, torch.tensor([1 / 3, 0.0]))
    torch.testing.assert_close(w, torch.tensor([2 * 0.25 * 0.5 / 0.75, 0.0]))
    torch.testing.assert_close(process.marginal_variance(U), 2 * U)


def test_euler_steps_by_hand() -> None:
    """The rate is 0.5 at the data and 3 at the noise, and taken where the step starts."""
    process = OrnsteinUhlenbeck(0.7, beta_0=0.5, beta_1=3.0, scheme="euler")
    rate = torch.tensor([0.25 * 0.5 + 0.75 * 3.0, 3.0])
    a, b, v = process.forward(T, U)
    torch.testing.assert_close(a, 1 + rate * STEP)
    torch.testing.assert_close(b, 0.7 * math.sqrt(2) * rate.sqrt() * STEP)
    torch.testing.assert_close(v, 2 * 0.49 * rate * STEP)
    c, w = process.backward(T, U)
    torch.testing.assert_close(c, 1 - rate * STEP)
    torch.testing.assert_close(w, 2 * 0.49 * rate * STEP)
    torch.testing.assert_close(process.marginal_variance(U), torch.full((2,), 0.49))


def test_exponential_steps_by_hand() -> None:
    process = OrnsteinUhlenbeck(0.7, beta_0=0.5, beta_1=3.0)
    middle = (T + U) / 2  # the rate is linear, its integral that at the middle
    keep = (-(middle * 0.5 + (1 - middle) * 3.0) * STEP).exp()
    a, b, v = process.forward(T, U)
    torch.testing.assert_close(a, keep)
    torch.testing.assert_close(b, 2 * 0.49 * (1 - keep))
    torch.testing.assert_close(v, 0.49 * (1 - keep**2))
    c, w = process.backward(T, U)
    torch.testing.assert_close(c, keep)
    torch.testing.assert_close(w, 0.49 * (1 - keep**2))


@pytest.mark.parametrize("start", [0.0, 0.4])
def test_both_schemes_are_one_process_in_short_steps(start: float) -> None:
    """Backward, and forward with the drift that turns the process round at its stationary law.

    There the score is -x / nu^2. DDS keeps the law with f = 0, and DIS, which moves away from 0 by
    itself, with f = nu sqrt(2 beta) times the score: they agree to first order in the step.
    """
    nu, gap = 0.7, 1e-4
    t, u = torch.tensor(start), torch.tensor(start + gap)
    exact, euler = (OrnsteinUhlenbeck(nu, 0.5, 3.0, s) for s in ("exponential", "euler"))
    rate = float(exact.rate(t))
    for one, two in zip(exact.backward(t, u), euler.backward(t, u), strict=True):
        assert float(one - two) == pytest.approx(0, abs=20 * gap**2)
    a, _, v = (float(x) for x in exact.forward(t, u))
    c, gain, w = (float(x) for x in euler.forward(t, u))
    score = -1 / nu**2
    assert a == pytest.approx(c + gain * nu * math.sqrt(2 * rate) * score, abs=20 * gap**2)
    assert v == pytest.approx(w, abs=20 * gap**2)

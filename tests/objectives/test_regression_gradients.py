"""Which divergence each regression descends on the policy's own trajectories, in closed form.

With r = P_F / (P_B R / Z) the residual of trajectory balance at the true log Z is log r, so that
the expected gradient of a punishment is that of the divergence whose slope in P_F it is (Hu et al.
2024, Theorem 4.1, with the other sign of the residual).
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import FlowTerms, TabularPolicy, enumerate_states, evaluate
from gflow.objectives import (
    HalfSquared,
    Linex,
    Regression,
    ShiftedCosh,
    Squared,
    TrajectoryBalance,
)
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.strategies import random_dags

DIAMOND = TableEnvironment(
    [[1, 2], [3, 2], [3], []], [0.4, -0.7, 1.1, 0.2], stops=[False, True, False, False]
)


def setting(env: TableEnvironment, seed: int) -> tuple[TabularPolicy, FlowTerms, float]:
    """A policy far from the solution, the terms of every trajectory, and log Z."""
    policy = TabularPolicy(enumerate_states(env))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(0, 1, generator=generator)
    terms = evaluate(env, policy, all_trajectories(env))
    log_z = (terms.log_pb.sum(1) + terms.log_reward).detach().logsumexp(0)
    return policy, terms, log_z.item()


def descended(regression: Regression, env: TableEnvironment, seed: int, off: float = 0) -> Tensor:
    """Gradient of the loss with respect to P_F, expected over trajectories of P_F."""
    policy, terms, log_z = setting(env, seed)
    probability = terms.log_pf.sum(1).exp().detach()
    objective = TrajectoryBalance(log_z + off, regression=regression)
    expected = (probability * regression(objective.residual(terms))).sum()
    return torch.autograd.grad(expected, policy.forward_table)[0]


def slope(
    divergence: Callable[[Tensor, Tensor], Tensor], env: TableEnvironment, seed: int
) -> Tensor:
    """Gradient of a divergence of P_F, (n,), and P_B R / Z, (n,), with respect to P_F."""
    policy, terms, log_z = setting(env, seed)
    model = terms.log_pf.sum(1).exp()
    target = (terms.log_pb.sum(1) + terms.log_reward - log_z).exp().detach()
    torch.testing.assert_close(model.sum().item(), 1.0)
    torch.testing.assert_close(target.sum().item(), 1.0)
    return torch.autograd.grad(divergence(model, target), policy.forward_table)[0]


def forward_kl(model: Tensor, target: Tensor) -> Tensor:
    return (target * (target / model).log()).sum()


def reverse_kl(model: Tensor, target: Tensor) -> Tensor:
    return (model * (model / target).log()).sum()


def chi_square(model: Tensor, target: Tensor) -> Tensor:
    return ((model - target).square() / target).sum()


def power(alpha: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The divergence of exponent alpha, whose slope in P_F is (r^alpha - 1) / alpha."""
    return lambda model, target: (
        (model / target).pow(alpha + 1).mul(target).sum() / (alpha * (alpha + 1))
    )


CASES = {
    "linex(-1)": (Linex(-1.0), forward_kl),
    "linex": (Linex(), forward_kl),
    "linex(1)": (Linex(1.0), lambda m, t: chi_square(m, t) / 2),
    "linex(-1/2)": (Linex(-0.5), power(-0.5)),
    "linex(2)": (Linex(2.0), power(2.0)),
    "half_squared": (HalfSquared(), reverse_kl),
    "squared": (Squared(), lambda m, t: 2 * reverse_kl(m, t)),
    "shifted_cosh": (ShiftedCosh(), lambda m, t: forward_kl(m, t) + chi_square(m, t) / 2),
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=10)
@given(env=random_dags(max_states=7), seed=st.integers(0, 99))
def test_each_regression_descends_its_divergence(
    name: str, env: TableEnvironment, seed: int
) -> None:
    regression, divergence = CASES[name]
    wanted = slope(divergence, env, seed)
    scale = 1 + float(wanted.abs().max())
    torch.testing.assert_close(
        descended(regression, env, seed) / scale, wanted / scale, rtol=0, atol=1e-10
    )


def test_the_gradients_that_are_compared_differ() -> None:
    """Else every identity above would hold for every pair."""
    slopes = [slope(divergence, DIAMOND, 0) for _, divergence in CASES.values()]
    slopes = [value for k, value in enumerate(slopes) if k != 1]  # the default once
    for k, one in enumerate(slopes):
        assert float(one.abs().max()) > 0.05
        for other in slopes[:k]:
            assert float((one - other).abs().max()) > 0.01


@pytest.mark.parametrize("off", [-1.5, 2.0])
def test_a_wrong_log_z_scales_the_forward_divergence_and_turns_nothing(off: float) -> None:
    """e^-t is then Z / Z^ times what it should be, and the constant part of the slope is noise."""
    wanted = slope(forward_kl, DIAMOND, 3) * torch.tensor(-off).exp()
    torch.testing.assert_close(
        descended(Linex(-1.0), DIAMOND, 3, off), wanted, rtol=1e-10, atol=1e-12
    )


def test_mass_is_covered_by_minus_one_and_modes_are_sought_by_plus_one() -> None:
    """Of two laws, each wrong by leaving out what the other has, the punishments fall apart."""
    missing = torch.tensor([-3.0])  # the target has e^3 times more than the policy
    extra = torch.tensor([3.0])
    assert float(Linex(-1.0)(missing)) > 5 * float(Linex(-1.0)(extra))
    assert float(Linex(1.0)(extra)) > 5 * float(Linex(1.0)(missing))
    assert Linex() == Linex(-1.0)

"""Sub-trajectory balance: every weighting against its definition, and its limits."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gflow import FlowTerms
from gflow.errors import ConfigError
from gflow.objectives import DetailedBalance, SubTrajectoryBalance, TrajectoryBalance

WEIGHTINGS = (
    "geometric_within", "geometric", "pooled", "equal", "equal_within", "db", "db_within", "tb",
)  # fmt: skip


@st.composite
def flow_terms(draw: st.DrawFn) -> FlowTerms:
    """Random tables of 1 to 4 trajectories of 1 to 5 transitions."""
    length = torch.tensor(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    batch, longest = len(length), int(length.max()) + draw(st.integers(0, 2))
    steps = torch.arange(longest + 1)
    inside = steps[:-1] < length[:, None]
    log_reward = torch.randn(batch, generator=generator)
    flow = torch.randn(batch, longest + 1, generator=generator)
    flow = torch.where(steps == length[:, None], log_reward[:, None], flow)
    return FlowTerms(
        log_pf=torch.where(inside, -torch.rand(batch, longest, generator=generator), 0.0),
        log_pb=torch.where(inside, -torch.rand(batch, longest, generator=generator), 0.0),
        log_reward=log_reward,
        length=length,
        stopped=torch.zeros(batch, dtype=torch.bool),
        log_flow=flow.where(steps <= length[:, None], 0.0),
    )


def weight_of(name: str, lam: float, lengths: list[int], k: int, size: int) -> float:
    """Weight of a pair of length `size` in trajectory `k`, from the table of the specification."""
    n, batch = lengths[k], len(lengths)
    match name:
        case "db":
            return (size == 1) / sum(lengths)
        case "db_within":
            return (size == 1) / (n * batch)
        case "tb":
            return (size == n) / batch
        case "equal":
            return 1 / sum(m * (m + 1) / 2 for m in lengths)
        case "equal_within":
            return 1 / (batch * n * (n + 1) / 2)
        case "geometric_within":
            return lam ** (size - 1) / (
                batch * sum((n - m + 1) * lam ** (m - 1) for m in range(1, n + 1))
            )
        case "geometric":
            pairs = sum(max(m - size + 1, 0) for m in lengths)
            share = lam ** (size - 1) / sum(lam ** (m - 1) for m in range(1, max(lengths) + 1))
            return share / pairs
        case _:  # pooled
            return lam**size / sum((m - q + 1) * lam**q for m in lengths for q in range(1, m + 1))


def pairs(terms: FlowTerms) -> list[tuple[int, int]]:
    states = terms.log_pf.shape[1] + 1
    return [(i, j) for i in range(states) for j in range(i + 1, states)]


@pytest.mark.parametrize("name", WEIGHTINGS)
@given(terms=flow_terms(), lam=st.sampled_from([0.05, 0.9, 1.0, 1.9]))
def test_weights_are_those_of_the_table_and_sum_to_one(
    name: Any, terms: FlowTerms, lam: float
) -> None:
    got = SubTrajectoryBalance(lam, name).weight(terms)
    lengths = terms.length.tolist()
    wanted = torch.tensor(
        [
            [weight_of(name, lam, lengths, k, j - i) if j <= n else 0.0 for i, j in pairs(terms)]
            for k, n in enumerate(lengths)
        ]
    )
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(got.sum().item(), 1.0)


@given(terms=flow_terms())
def test_residuals_are_those_of_the_definition(terms: FlowTerms) -> None:
    got = SubTrajectoryBalance().residual(terms)
    flow = terms.log_flow
    assert flow is not None
    for k, n in enumerate(terms.length.tolist()):
        for column, (i, j) in enumerate(pairs(terms)):
            wanted = torch.zeros(())
            if j <= n:
                wanted = flow[k, i] - flow[k, j]
                wanted = wanted + (terms.log_pf - terms.log_pb)[k, i:j].sum()
            torch.testing.assert_close(got[k, column], wanted)


@pytest.mark.parametrize(
    ("lam", "weighting", "limit"),
    [
        (1e-9, "geometric_within", "db_within"),
        (1e9, "geometric_within", "tb"),
        (1e12, "geometric_within", "tb"),
        (1e-300, "geometric_within", "db_within"),
        (1.0, "geometric_within", "equal_within"),
        (1.0, "pooled", "equal"),
        (1e-9, "pooled", "db"),
        (1e-9, "geometric", "db"),
    ],
)
@given(terms=flow_terms())
def test_limits_of_the_decay(lam: float, weighting: Any, limit: Any, terms: FlowTerms) -> None:
    torch.testing.assert_close(
        SubTrajectoryBalance(lam, weighting)(terms),
        SubTrajectoryBalance(weighting=limit)(terms),
        rtol=1e-6,
        atol=1e-7,
    )


@given(terms=flow_terms())
def test_detailed_and_trajectory_balance_are_special_cases(terms: FlowTerms) -> None:
    assert terms.log_flow is not None
    torch.testing.assert_close(
        SubTrajectoryBalance(weighting="db")(terms), DetailedBalance()(terms)
    )
    expected = torch.stack(
        [
            TrajectoryBalance(terms.log_flow[k, 0].item()).residual(terms)[k].square()
            for k in range(len(terms.length))
        ]
    ).mean()
    torch.testing.assert_close(SubTrajectoryBalance(weighting="tb")(terms), expected.detach())


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_extreme_decays_stay_finite(name: Any) -> None:
    """Trajectories of a hundred transitions, with decays whose powers leave float32."""
    length = torch.tensor([100, 1, 37])
    steps = torch.arange(100) < length[:, None]
    for dtype in (torch.float32, torch.float64):
        zero = torch.zeros(3, 100, dtype=dtype)
        flow = torch.randn(3, 101, dtype=dtype, generator=torch.Generator().manual_seed(0))
        flow = flow * torch.nn.functional.pad(steps, (1, 0), value=True)
        stopped = torch.zeros(3, dtype=torch.bool)
        for lam in (1e-6, 0.5, 1.0, 3.0, 1e6):
            flow.requires_grad_()
            terms = FlowTerms(zero, zero, zero[:, 0], length, stopped, log_flow=flow)
            objective = SubTrajectoryBalance(lam, name)
            weight = objective.weight(terms)
            assert weight.dtype == dtype
            assert bool((weight >= 0).all())
            torch.testing.assert_close(weight.sum().item(), 1.0, rtol=1e-5, atol=0)
            (gradient,) = torch.autograd.grad(objective(terms), flow)
            assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": 0.0}, r"lam must be positive, got 0\.0"),
        ({"lam": -1.0}, "lam must be positive"),
        ({"lam": math.nan}, "lam must be finite, got nan"),
        (
            {"weighting": "geometrical"},
            "weighting must be one of geometric_within, .*, got 'geometrical'",
        ),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SubTrajectoryBalance(**options)


def test_log_z_is_the_flow_of_the_source() -> None:
    flow = Tensor([[1.5, 2.0], [0.5, -1.0]]).double()
    zero = torch.zeros(2, 1)
    terms = FlowTerms(
        zero, zero, flow[:, 1], torch.tensor([1, 1]), torch.tensor([True, True]), log_flow=flow
    )
    torch.testing.assert_close(SubTrajectoryBalance().log_z_estimate(terms), flow[:, 0])

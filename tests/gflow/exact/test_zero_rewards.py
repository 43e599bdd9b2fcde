"""Objects with a reward of zero: no mass in exact answers, refused where log R must balance."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import FunctionReward, TabularPolicy, enumerate_states
from gflow.errors import RewardError
from gflow.metrics import kl, total_variation
from gflow.rewards.wrappers import Clipped
from gflow.sampling.sampler import Sampler
from gflow.testing import BrokenEnvironmentError, TableEnvironment, check_env

CHILDREN = [[1, 2], [3, 4], [4, 5], [], [], []]


def lattice(values: list[float]) -> TableEnvironment:
    return TableEnvironment(CHILDREN, [0.0, 0.0, 0.0, *values])


@given(
    values=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    zeros=st.lists(st.booleans(), min_size=3, max_size=3).filter(lambda z: not all(z)),
)
def test_forbidden_objects_have_no_mass(values: list[float], zeros: list[bool]) -> None:
    given_values = [-math.inf if z else v for v, z in zip(values, zeros, strict=True)]
    graph = enumerate_states(lattice(given_values))
    law = graph.log_target().exp()
    weight = torch.tensor(given_values).exp()
    torch.testing.assert_close(law, weight / weight.sum())
    flows = graph.exact_flows()
    assert flows.log_z == pytest.approx(float(weight.sum().log()))
    assert not bool(flows.log_pf.isnan().any())
    solved = graph.terminal_distribution(TabularPolicy.solved(graph, flows))
    assert float(total_variation(solved, graph.log_target())) < 1e-12
    assert float(kl(graph.log_target(), solved)) == pytest.approx(0.0, abs=1e-9)


def test_stops_at_forbidden_states_have_no_mass() -> None:
    env = TableEnvironment([[1], [2], []], [0.0, -math.inf, 1.0], stops=[False, True, True])
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    assert flows.log_stop[1] == -torch.inf
    torch.testing.assert_close(graph.log_target().exp(), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(
        graph.terminal_distribution(TabularPolicy.solved(graph, flows)).exp(),
        torch.tensor([0.0, 1.0]),
    )


def test_nothing_to_sample() -> None:
    with pytest.raises(RewardError, match="all 3 objects have a reward of zero"):
        enumerate_states(lattice([-math.inf] * 3)).log_target()


def test_where_log_r_must_balance_the_remedy_is_named() -> None:
    env = lattice([0.0, -math.inf, 1.0])
    policy = TabularPolicy(enumerate_states(env))
    with pytest.raises(RewardError, match=r"leave them out by the masks.*Approximately: Clipped"):
        Sampler(env).forward(policy, 64, generator=torch.Generator().manual_seed(0))


def test_infinities_and_nan_are_refused_in_exact_answers_too() -> None:
    for value in (math.inf, math.nan):
        with pytest.raises(RewardError, match="log R = "):
            enumerate_states(lattice([0.0, value, 1.0])).log_target()


def test_the_checker_admits_them_if_asked() -> None:
    env = lattice([0.0, -math.inf, 1.0])
    assert check_env(env, zero=True).exhaustive
    with pytest.raises(BrokenEnvironmentError, match="zero=True") as caught:
        check_env(env)
    assert caught.value.rules == ["reward-not-finite"]


@given(low=st.floats(-20, -2))
def test_clipping_lets_at_most_what_is_documented_through(low: float) -> None:
    values = torch.tensor([0.0, -math.inf, 1.0])
    env = lattice(values.tolist())
    env.reward = Clipped(FunctionReward(lambda s: torch.cat([torch.zeros(3), values])[s]), low=low)
    graph = enumerate_states(env)
    through = float(graph.log_target()[1].exp())
    z = float(values.exp().sum())
    assert 0.9 * math.exp(low) / (z + math.exp(low)) < through <= math.exp(low) / z

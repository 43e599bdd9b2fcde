"""Conversion by draws from what each state leads to, and what suits which environment."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.environment.rewarded import with_reward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend
from gflow.errors import IncompatibleError
from gflow.exact.graph import enumerate_states
from gflow.outcomes import (
    ListedPosterior,
    MonteCarlo,
    OutcomeConditioned,
    OutcomeFlows,
    OutcomeTables,
    PairTable,
    SequencePosterior,
    converted,
    outcomes_of,
)
from gflow.outcomes.monte_carlo import filled_evenly
from gflow.outcomes.pretrained import outcome_posterior, same_states
from gflow.rewards.base import FunctionReward
from gflow.state import take

ANY: FunctionReward[Tensor] = FunctionReward(lambda states: states.sum(-1) * 0.0)


def solved(env: Any) -> tuple[Any, OutcomeFlows, Any]:
    """A reward, exact flows to all outcomes, all states."""
    graph = enumerate_states(env)
    value = torch.randn(len(graph), generator=torch.Generator().manual_seed(0))
    target = with_reward(env, FunctionReward(lambda states: value[graph.rows(states)]))
    told = OutcomeConditioned(env, floor=0.0)
    outcomes = outcomes_of(told, take(graph.states, graph.objects))
    tables = OutcomeTables.solved(replace(graph, env=told), outcomes)
    return target, OutcomeFlows(tables, told), replace(graph, env=target)


@pytest.mark.parametrize("kind", [AnyOrder, Autoregressive])
def test_sums_of_draws_have_the_exact_ones_as_their_mean(kind: Any) -> None:
    target, flows, graph = solved(kind("01", 3, ANY))
    policy = MonteCarlo(flows, target, draws=4000)
    exact = PairTable(graph, flows, take(graph.states, graph.objects)).policy(target)
    legal = target.forward_mask(graph.states)
    found = policy.forward_logits(target, graph.states).exp()
    expected = exact.forward_table.detach().exp()
    torch.testing.assert_close(found[legal], expected[legal], rtol=0.1, atol=0.02)


def test_draws_go_on_where_they_stood() -> None:
    target, flows, graph = solved(AnyOrder("01", 3, ANY))
    policy = MonteCarlo(flows, target, draws=3)
    state = policy.state_dict()
    first = policy.forward_logits(target, graph.states)
    assert not torch.equal(first, policy.forward_logits(target, graph.states))
    policy.load_state_dict(state)
    assert torch.equal(first, policy.forward_logits(target, graph.states))


def test_fillings_are_even_and_keep_what_is_there() -> None:
    allowed = torch.tensor([[True, True, False], [True, True, True]])
    env = AnyOrder("ABC", 2, ANY, allowed)
    states = torch.tensor([[3, 3], [1, 3]]).repeat(3000, 1)
    found, log_q = filled_evenly(env, states, torch.Generator().manual_seed(0))
    assert (found[1::2, 0] == 1).all()
    torch.testing.assert_close(log_q[:2].exp(), torch.tensor([1 / 6, 1 / 3]))
    free = found[::2]
    assert (free[:, 0] < 2).all()
    share = torch.bincount(free[:, 0] * 3 + free[:, 1], minlength=6) / len(free)
    torch.testing.assert_close(share, torch.full((6,), 1 / 6), atol=0.03, rtol=0)


def test_what_suits_which_environment() -> None:
    assert isinstance(outcome_posterior(HyperGrid(2, 4), 8), ListedPosterior)
    assert isinstance(outcome_posterior(AnyOrder("01", 3, ANY), 8), ListedPosterior)
    assert isinstance(outcome_posterior(Autoregressive("ACGU", 14, ANY), 8), SequencePosterior)
    with pytest.raises(IncompatibleError, match="too many to list"):
        outcome_posterior(PrependAppend("ACGU", 14, ANY), 8)


def test_refusals_of_conversion() -> None:
    target, flows, _ = solved(HyperGrid(2, 3))
    with pytest.raises(IncompatibleError, match="fills_places"):
        MonteCarlo(flows, target)
    with pytest.raises(IncompatibleError, match="too many states"):
        converted(flows, HyperGrid(4, 40))
    with pytest.raises(IncompatibleError, match="its kind"):
        same_states(AnyOrder("01", 2, ANY), target)
    with pytest.raises(IncompatibleError, match="reads a condition"):
        same_states(flows.env, target)


def test_conversion_refuses_other_letters_at_a_place() -> None:
    some = torch.tensor([[True, True], [True, False]])
    here, there = (AnyOrder("01", 2, ANY, allowed=allowed) for allowed in (None, some))
    same_states(here, here)
    with pytest.raises(IncompatibleError, match=r"legal actions.*\[0, 1, 2\] there"):
        same_states(here, there)

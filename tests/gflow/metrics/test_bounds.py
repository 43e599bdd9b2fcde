from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import FlowTerms, Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.metrics import (
    draw_objects,
    effective_sample_size,
    elbo,
    eubo,
    importance_log_z,
    log_z_error,
)
from gflow.testing import TableEnvironment, all_trajectories
from gflow.testing.strategies import random_dags


def random_policy(graph: StateGraph[Any], seed: int) -> TabularPolicy:
    policy = TabularPolicy(graph)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def terms_of(log_weight: torch.Tensor) -> FlowTerms:
    none = torch.zeros(len(log_weight), 1)
    return FlowTerms(
        none, none, log_weight, torch.ones(len(log_weight), dtype=torch.int64), none > 0
    )


@given(env=random_dags(), seed=st.integers(0, 99))
def test_exact_bounds_hold(env: TableEnvironment, seed: int) -> None:
    """ELBO <= log Z <= EUBO with expectations taken over all trajectories."""
    graph = enumerate_states(env)
    policy = random_policy(graph, seed)
    walks = all_trajectories(env)
    with torch.no_grad():
        terms = evaluate(env, policy, walks)
    log_z = graph.exact_flows().log_z
    forward = terms.log_pf.sum(-1).exp()
    backward = (terms.log_reward - log_z + terms.log_pb.sum(-1)).exp()
    assert float(forward.sum()) == pytest.approx(1)
    assert float(backward.sum()) == pytest.approx(1)
    weight = terms.log_weight
    assert float(forward @ weight) <= log_z + 1e-9
    assert float(backward @ weight) >= log_z - 1e-9
    # the weights are unbiased for Z
    assert float((forward @ weight.exp()).log()) == pytest.approx(log_z)


@given(env=random_dags(), seed=st.integers(0, 99))
def test_bounds_meet_at_the_solution(env: TableEnvironment, seed: int) -> None:
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    policy = TabularPolicy.solved(graph, flows)
    generator = torch.Generator().manual_seed(seed)
    sampler = Sampler(env)
    there = evaluate(env, policy, sampler.forward(policy, 20, generator=generator))
    objects = draw_objects(graph, 20, generator=generator)
    back = evaluate(env, policy, sampler.backward(policy, objects, generator=generator))
    for value in (elbo(there), eubo(back), importance_log_z(there)):
        assert float(log_z_error(value, flows.log_z)) < 1e-9
        assert not value.requires_grad
    assert float(effective_sample_size(there)) == pytest.approx(20)


@given(env=random_dags(), seed=st.integers(0, 99))
def test_sampled_bounds_estimate_the_exact_ones(env: TableEnvironment, seed: int) -> None:
    graph = enumerate_states(env)
    policy = random_policy(graph, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        everything = evaluate(env, policy, all_trajectories(env))
    log_z = graph.exact_flows().log_z
    weight = everything.log_weight
    there = Sampler(env).forward(policy, 2000, generator=generator)
    back = Sampler(env).backward(
        policy, draw_objects(graph, 2000, generator=generator), generator=generator
    )
    laws = [everything.log_pf.sum(-1), everything.log_reward - log_z + everything.log_pb.sum(-1)]
    for bound, walks, law in zip((elbo, eubo), (there, back), laws, strict=True):
        mean = law.exp() @ weight
        spread = (law.exp() @ (weight - mean).square()).sqrt() / 2000**0.5
        found = bound(evaluate(env, policy, walks))
        assert float((found - mean).abs()) <= 5 * float(spread) + 1e-9


@given(value=st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_order_of_estimates(value: list[float]) -> None:
    terms = terms_of(torch.tensor(value))
    assert float(elbo(terms)) <= float(importance_log_z(terms)) + 1e-9
    assert float(importance_log_z(terms)) <= max(value) + 1e-9
    assert 1 - 1e-9 <= float(effective_sample_size(terms)) <= len(value) + 1e-9


def test_by_hand() -> None:
    terms = terms_of(torch.tensor([1.0, 3.0]).log())
    assert float(importance_log_z(terms).exp()) == pytest.approx(2)
    assert float(effective_sample_size(terms)) == pytest.approx(16 / 10)
    assert float(log_z_error(torch.tensor([1.0, 2.0]), 1.0)) == pytest.approx(0.5)
    assert float(effective_sample_size(terms_of(torch.tensor([1e4, 0.0])))) == pytest.approx(1)


def test_cut_trajectories_are_refused() -> None:
    terms = replace(terms_of(torch.zeros(2)), complete=torch.tensor([True, False]))
    with pytest.raises(IncompatibleError, match="trajectory 1 was cut"):
        elbo(terms)

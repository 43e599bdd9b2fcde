"""The reversed view: the same arrows, turned round."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import DiscreteEnvironment, enumerate_states
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.sampling.reversed import Reversed
from gflow.testing.strategies import random_dags

environments = st.one_of(
    random_dags(),
    st.sampled_from([HyperGrid(2, 4), HyperGrid(2, 4, ending="forced"), HyperGrid(3, 3)]),
)


@settings(max_examples=20)
@given(env=environments)
def test_steps_of_one_are_backsteps_of_the_other(env: DiscreteEnvironment[Any]) -> None:
    view = Reversed(env)
    graph = enumerate_states(env)
    parents, children = graph.states[graph.parent], graph.states[graph.child]
    assert torch.equal(view._step(children, graph.backward_action), parents)
    assert torch.equal(view._backstep(parents, graph.action), children)
    assert torch.equal(view.backward_action(children, graph.backward_action), graph.action)
    assert torch.equal(view.forward_action(parents, graph.action), graph.backward_action)
    assert bool(view.forward_mask(children).gather(1, graph.backward_action[:, None]).all())
    assert bool(view.backward_mask(parents).gather(1, graph.action[:, None]).all())


@settings(max_examples=10)
@given(env=environments)
def test_it_ends_at_the_source_and_has_no_stop(env: DiscreteEnvironment[Any]) -> None:
    view, graph = Reversed(env), enumerate_states(env)
    assert view.is_terminal(graph.states).nonzero().flatten().tolist() == [0]
    assert view.stop_action is None
    assert torch.equal(view.forward_mask(graph.states), env.backward_mask(graph.states))
    if env.stop_action is not None:
        assert not bool(view.backward_mask(graph.states)[:, env.stop_action].any())
    assert view.num_actions == env.num_backward_actions
    assert torch.equal(view.key(graph.states), env.key(graph.states))
    assert view.show(graph.states[:1]) == env.show(graph.states[:1])
    with pytest.raises(TypeError, match="starts from given objects"):
        view.initial(1)

"""The three plans of walking, driven by the same choices, leave the same walk."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward
from gflow.distinct import Distinct
from gflow.environment.categorical import Categorical
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import AnyOrder, Autoregressive
from gflow.errors import IllegalActionError
from gflow.sampling.reversed import Reversed
from gflow.sampling.walk import Walk, walk_listed, walk_ragged, walk_static
from gflow.testing.strategies import random_dags

GRIDS = [HyperGrid(2, 4), HyperGrid(2, 4, ending="forced"), HyperGrid(3, 2), HyperGrid(1, 2)]
ROWS = 40  # enough for equal states to be looked for


def rule(env: DiscreteEnvironment[Any], seed: int) -> tuple[Any, Any]:
    """A choice that depends on the row, the time and what is legal, and on nothing else."""
    priority = torch.rand(64, 64, 16, generator=torch.Generator().manual_seed(seed))

    def ask(states: Any, rows: Tensor) -> Categorical:
        return Categorical(None, env.forward_mask(states))

    def draw(law: Categorical, rows: Tensor, time: int) -> Tensor:
        rank = priority[rows % 64, time % 64][:, torch.arange(law.mask.shape[1]) % 16]
        return rank.masked_fill(~law.mask, -1).argmax(1)

    return ask, draw


def same(a: Walk[Any], b: Walk[Any]) -> None:
    assert torch.equal(a.length, b.length)
    assert torch.equal(a.stopped, b.stopped)
    for k, n in enumerate(a.length.tolist()):
        assert torch.equal(a.actions[k, :n], b.actions[k, :n])
        assert torch.equal(a.inverse[k, :n], b.inverse[k, :n])
        one, two = a.states[a.state_index[k]], b.states[b.state_index[k]]
        assert torch.equal(one[: n + 1], two[: n + 1])
        for each, states in ((a, one), (b, two)):
            assert bool((states[n:] == states[n]).all()), "after the end the last state repeats"
            assert bool((each.actions[k, n:] == 0).all())
            assert bool((each.inverse[k, n - int(each.stopped[k]) :] == 0).all())


@pytest.mark.slow
@settings(max_examples=20)
@given(env=st.one_of(random_dags(), st.sampled_from(GRIDS)), seed=st.integers(0, 99))
def test_all_plans_agree_in_both_directions(env: DiscreteEnvironment[Any], seed: int) -> None:
    start = env.initial(ROWS)
    for view in (env, Reversed(env)):
        apart = walk_ragged(view, start, *rule(view, seed))
        walks = {
            "shared": walk_ragged(view, start, *rule(view, seed), share=Distinct(env.num_keys)),
            "sorted": walk_ragged(view, start, *rule(view, seed), share=Distinct(None)),
            "static": walk_static(view, start, *rule(view, seed)),
        }
        listed = env.all_states()
        if listed is not None:
            walks["listed"] = walk_listed(view, start, listed, *rule(view, seed))
        for walk in walks.values():
            same(apart, walk)
        assert len(walks["shared"].states) <= len(apart.states)
        for walk in (apart, walks["static"]):
            rows = torch.arange(ROWS)[:, None].expand_as(walk.state_index)
            assert torch.equal(walk.owner[walk.state_index], rows), "states know their trajectory"
        # Onwards from where the walk ended: back to the source.
        start = apart.states[apart.state_index.gather(1, apart.length[:, None]).squeeze(1)]
    assert bool(env.is_initial(start).all())


ZERO = FunctionReward[Tensor](lambda states: torch.zeros(len(states)))
EQUALLY_LONG = [Autoregressive("AB", 3, ZERO), AnyOrder("AB", 3, ZERO)]


@settings(max_examples=30)
@given(
    env=st.one_of(random_dags(), st.sampled_from(GRIDS + EQUALLY_LONG)),
    seed=st.integers(0, 99),
    count=st.integers(1, 8),
)
def test_small_batches_compare_their_states_at_the_end(
    env: DiscreteEnvironment[Any], seed: int, count: int
) -> None:
    start = env.initial(count)
    for view in (env, Reversed(env)):
        apart = walk_ragged(view, start, *rule(view, seed))
        shared = walk_ragged(view, start, *rule(view, seed), share=Distinct(env.num_keys))
        same(apart, shared)
        same(apart, walk_static(view, start, *rule(view, seed)))
        assert len(env.key(shared.states).unique()) == len(shared.states)
        start = apart.states[apart.state_index.gather(1, apart.length[:, None]).squeeze(1)]


def test_rows_that_all_stop_at_one_time_have_full_tables() -> None:
    env = HyperGrid(2, 4)
    stop = torch.tensor([0, 1, 2, 0, 0, 0, 0])  # the static plan goes on to the horizon

    def ask(states: Any, rows: Tensor) -> Categorical:
        return Categorical(None, env.forward_mask(states))

    def draw(law: Categorical, rows: Tensor, time: int) -> Tensor:
        return stop[time].expand(len(rows))

    walks = [plan(env, env.initial(3), ask, draw) for plan in (walk_ragged, walk_static)]
    same(*walks)
    assert walks[0].actions.tolist() == [[0, 1, 2]] * 3
    assert walks[0].length.tolist() == [3] * 3
    assert bool(walks[0].stopped.all())


@settings(max_examples=15)
@given(env=st.one_of(random_dags(), st.sampled_from(GRIDS)), seed=st.integers(0, 99))
def test_a_walk_is_made_of_legal_steps_that_can_be_undone(
    env: DiscreteEnvironment[Any], seed: int
) -> None:
    walk = walk_ragged(env, env.initial(8), *rule(env, seed))
    for k, n in enumerate(walk.length.tolist()):
        states = env.initial(1)
        for t in range(n - int(walk.stopped[k])):
            assert torch.equal(states[0], walk.states[walk.state_index[k, t]])
            child = env.step(states, walk.actions[k, t][None])
            assert torch.equal(env.backstep(child, walk.inverse[k, t][None]), states)
            states = child
        assert torch.equal(states[0], walk.states[walk.state_index[k, n]])
        if walk.stopped[k]:
            assert walk.actions[k, n - 1] == env.stop_action
        else:
            assert bool(env.is_terminal(states))


class Endless(HyperGrid):
    """Goes round and round, and never calls itself finished."""

    def is_terminal(self, states: Tensor) -> Tensor:
        return torch.zeros(len(states), dtype=torch.bool)

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return (states + 1) % self.side


@pytest.mark.parametrize("plan", ["ragged", "listed"])
def test_a_walk_that_does_not_end_is_refused(plan: str) -> None:
    env = Endless(1, 3)

    def ask(states: Any, rows: Tensor) -> Categorical:
        return Categorical(None, env.forward_mask(states))

    def draw(law: Categorical, rows: Tensor, time: int) -> Tensor:
        return torch.zeros_like(rows)

    env.stop_action = None

    def go() -> Walk[Tensor]:
        if plan == "ragged":
            return walk_ragged(env, env.initial(2), ask, draw)
        listed = env.all_states()
        assert listed is not None
        return walk_listed(env, env.initial(2), listed, ask, draw)

    with pytest.raises(IllegalActionError, match=r"Endless: .*still going after horizon = 3"):
        go()


def test_rows_that_start_at_the_end_take_no_step() -> None:
    env = HyperGrid(2, 3, ending="forced")
    view = Reversed(env)
    for plan in (walk_ragged, walk_static):
        walk = plan(view, env.initial(3), *rule(view, 0))
        assert walk.length.tolist() == [0, 0, 0]
        assert bool((walk.states[walk.state_index] == 0).all())
    mixed = torch.tensor([[0, 0], [2, 1], [0, 1]])
    lengths = [p(view, mixed, *rule(view, 0)).length.tolist() for p in (walk_ragged, walk_static)]
    assert lengths == [[0, 3, 1]] * 2


def test_a_walk_writes_to_nothing_it_was_given() -> None:
    env = HyperGrid(2, 4)
    start = env.initial(5)
    for plan in (walk_ragged, walk_static):
        plan(env, start, *rule(env, 0))
        assert bool((start == 0).all())

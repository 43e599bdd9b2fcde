"""Selecting, joining and cutting trajectories keeps each of them what it was."""

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import Sampler, TabularPolicy, Trajectories, enumerate_states, evaluate
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.testing.strategies import random_dags

ENV = HyperGrid(2, 4)
GRAPH = enumerate_states(ENV)


def sample(count: int, seed: int = 0, **options: Any) -> Trajectories[Any]:
    flat = TabularPolicy(GRAPH, "uniform")
    return Sampler(ENV, **options).forward(
        flat, count, generator=torch.Generator().manual_seed(seed)
    )


def story(batch: Trajectories[Any], k: int) -> tuple[Any, ...]:
    """Everything that trajectory k says, free of padding and of the store."""
    n = int(batch.length[k])
    return (
        n,
        bool(batch.stopped[k]),
        float(batch.log_reward[k]),
        batch.states[batch.state_index[k, : n + 1]].tolist(),
        batch.actions[k, :n].tolist(),
        batch.backward_actions[k, :n].tolist(),
        True if batch.complete is None else bool(batch.complete[k]),
    )


def stories(batch: Trajectories[Any]) -> list[tuple[Any, ...]]:
    assert batch.actions.shape == batch.backward_actions.shape
    assert batch.state_index.shape[1] == batch.actions.shape[1] + 1
    assert bool((batch.state_index < batch.num_states).all())
    assert bool((batch.actions[~batch.mask] == 0).all())
    return [story(batch, k) for k in range(len(batch))]


@given(index=st.lists(st.integers(0, 9), min_size=1, max_size=12), share=st.booleans())
def test_selected_ones_are_the_same_in_any_order_and_number(index: list[int], share: bool) -> None:
    batch = sample(10, share=share)
    known = stories(batch)
    part = batch.select(torch.tensor(index))
    assert stories(part) == [known[k] for k in index]
    assert part.actions.shape[1] == max(known[k][0] for k in index)
    assert part.num_states <= len({tuple(s) for k in index for s in known[k][3]}) * len(index)


@given(chosen=st.lists(st.booleans(), min_size=10, max_size=10).filter(any))
def test_a_mask_selects_as_well(chosen: list[bool]) -> None:
    batch = sample(10)
    known = stories(batch)
    part = batch.select(torch.tensor(chosen))
    assert stories(part) == [s for s, yes in zip(known, chosen, strict=True) if yes]


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), cut=st.booleans())
def test_joined_ones_are_the_same(sizes: list[int], cut: bool) -> None:
    parts = [sample(size, seed, share=seed % 2 == 0) for seed, size in enumerate(sizes)]
    if cut:
        parts[0] = parts[0].truncate(parts[0].length - 1)
    joined = Trajectories.join(parts)
    assert stories(joined) == [s for part in parts for s in stories(part)]
    assert (joined.complete is None) == (not cut)


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 7), min_size=6, max_size=6))
def test_cut_ones_are_prefixes(cuts: list[int]) -> None:
    batch = sample(6)
    known = stories(batch)
    for k, (got, whole) in enumerate(
        zip(stories(batch.truncate(torch.tensor(cuts))), known, strict=True)
    ):
        n = min(cuts[k], whole[0])
        assert got[0] == n
        assert got[3] == whole[3][: n + 1]
        assert got[4] == whole[4][:n]
        assert got[5] == whole[5][:n]
        complete = cuts[k] >= whole[0]
        assert got[6] == complete
        assert got[1] == (whole[1] and complete)
    twice = batch.truncate(torch.tensor(cuts)).truncate(torch.tensor(cuts).flip(0))
    once = batch.truncate(torch.tensor(cuts).minimum(torch.tensor(cuts).flip(0)))
    assert stories(twice) == stories(once)
    assert stories(batch) == known, "the original is left alone"


@settings(max_examples=10)
@given(env=random_dags(), seed=st.integers(0, 99))
def test_terms_follow_their_trajectories(env: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    policy = TabularPolicy(enumerate_states(env))
    with torch.no_grad():
        policy.forward_table.normal_(generator=generator)
        policy.backward_table.normal_(generator=generator)
    batch = Sampler(env).forward(policy, 8, generator=generator)
    weight = evaluate(env, policy, batch).log_weight
    order = torch.randperm(8, generator=generator)
    torch.testing.assert_close(evaluate(env, policy, batch.select(order)).log_weight, weight[order])
    joined = Trajectories.join([batch.select(order), batch])
    torch.testing.assert_close(
        evaluate(env, policy, joined).log_weight, torch.cat([weight[order], weight])
    )


def test_times_and_ends() -> None:
    batch = sample(10)
    final: Tensor = batch.final_states
    for k, n in enumerate(batch.length.tolist()):
        assert torch.equal(batch.states_at(n)[k], final[k])
        assert torch.equal(batch.states_at(n - 1)[k], final[k]), "a stop changes no state"
    assert bool((batch.states_at(0) == 0).all())
    assert batch.mask.sum() == batch.length.sum()


def test_moving_keeps_everything() -> None:
    batch = sample(4)
    assert stories(batch.to("cpu")) == stories(batch)
    conditional = Trajectories(**{**vars(batch), "condition": torch.ones(4, 1)})
    assert conditional.to("cpu").condition is not None
    moved = batch.to("meta")
    assert {t.device.type for t in vars(moved).values() if isinstance(t, Tensor)} == {"meta"}


@settings(max_examples=30, deadline=None)
@given(random_dags(), st.integers(0, 1000))
def test_told_other_conditions_they_are_the_same(table: Any, seed: int) -> None:
    """The states of each are its own then, so that evaluation is that of each alone."""
    graph = enumerate_states(table)
    policy = TabularPolicy(graph, "uniform")
    batch = Sampler(table).forward(policy, 7, generator=torch.Generator().manual_seed(seed))
    condition = torch.arange(7.0)[:, None]
    told = batch.told(condition, log_reward=batch.log_reward + 1)
    assert [s[:2] + s[3:] for s in stories(told)] == [s[:2] + s[3:] for s in stories(batch)]
    assert torch.equal(told.log_reward, batch.log_reward + 1)
    rows = torch.arange(7)[:, None].expand_as(told.state_index)
    assert told.owner is not None
    assert torch.equal(told.owner[told.state_index], rows)
    given = told.condition_of_states
    assert given is not None
    assert torch.equal(given[told.state_index], condition[rows])
    assert told.num_states == int((batch.length - batch.stopped.long() + 1).sum())

import importlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gflow import DiscreteEnvironment, enumerate_states
from gflow.environment.movers import CHANCE
from gflow.envs import HyperGrid
from gflow.errors import ConfigError
from gflow.objectives import ExpectedDetailedBalance
from gflow.testing import TableEnvironment, all_trajectories, check_env, check_objective
from gflow.testing.strategies import hypergrids, one_trajectory, random_dags, trajectories


@pytest.mark.slow
@given(env=hypergrids())
def test_hypergrids_pass(env: DiscreteEnvironment[Any]) -> None:
    checked = check_env(env)
    assert checked.exhaustive
    assert checked.longest == env.horizon


@pytest.mark.slow
@given(env=random_dags())
def test_random_graphs_pass(env: TableEnvironment) -> None:
    checked = check_env(env)
    assert checked.exhaustive
    assert checked.num_states == env.num_states
    assert checked.longest == env.horizon


@given(env=random_dags())
def test_random_graphs_hold_their_promises(env: TableEnvironment) -> None:
    graph = enumerate_states(env)
    assert 3 <= len(graph) <= 12
    assert len(graph) == env.num_states
    assert graph.log_reward()[graph.objects].abs().max() <= 3
    assert env.has_forced_terminals == bool(env.is_terminal(graph.states).any())


@pytest.mark.parametrize("dim", [4, 9])
def test_large_environments_are_walked(dim: int) -> None:
    checked = check_env(HyperGrid(dim, 8), examples=16, limit=500)
    assert not checked.exhaustive
    assert checked.num_states > 50


@pytest.mark.slow
@pytest.mark.parametrize(("length", "limit"), [(2001, 2000), (300, 40), (350, 40), (400, 40)])
def test_long_chains_are_right(length: int, limit: int) -> None:
    """More states than the limit: the ends are among those that are looked at all the same."""
    chain = TableEnvironment([*([i + 1] for i in range(length)), []], [0.0] * (length + 1))
    checked = check_env(chain, examples=8, limit=limit)
    assert not checked.exhaustive
    assert checked.longest == length
    assert checked.num_states == limit


def test_no_keys_are_needed() -> None:
    env = HyperGrid(3, 4, ending="forced")
    env.has_keys = False  # type: ignore[misc]
    assert not check_env(env).exhaustive


def test_same_seed_same_walks() -> None:
    env = HyperGrid(5, 8)
    assert check_env(env, seed=3, limit=300) == check_env(env, seed=3, limit=300)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="examples and limit"):
        check_env(HyperGrid(), examples=0)


@given(env=random_dags(max_states=8))
def test_all_trajectories_are_all(env: TableEnvironment) -> None:
    """Under any policy their probabilities sum to 1; in number they are the paths to objects."""
    graph = enumerate_states(env)
    paths = graph.log_num_trajectories()[graph.objects].exp().sum()
    found = all_trajectories(env)
    ends = torch.bincount(graph.rows(found.final_states), minlength=len(graph))
    assert len(found) == round(float(paths))
    assert torch.equal(ends[graph.objects] > 0, torch.ones(len(graph.objects), dtype=torch.bool))
    rows = [
        tuple(i[: n + 1].tolist())
        for i, n in zip(
            graph.rows(found.states)[found.state_index], found.length.tolist(), strict=True
        )
    ]
    assert len(set(rows)) == len(rows)


@given(data=st.data(), env=random_dags())
def test_trajectories_are_whole_and_legal(data: st.DataObject, env: TableEnvironment) -> None:
    one = data.draw(one_trajectory(env))
    assert len(one) == 1
    batch = data.draw(trajectories(env, min_size=2, max_size=4))
    assert 2 <= len(batch) <= 4
    assert bool(env.can_end(batch.final_states).all())
    assert bool((batch.length <= env.horizon).all())


@pytest.mark.parametrize(
    ("children", "message"),
    [
        ([[1], [2], [1]], "cycle"),
        ([[1], [0]], "state 0 has one"),
        ([[1], [], []], r"so are \[2\]"),
        ([[1], [5]], "a child 5 of 2"),
    ],
)
def test_tables_that_are_no_pointed_graph(children: list[list[int]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TableEnvironment(children, [0.0] * len(children))


def test_tables_of_wrong_length() -> None:
    with pytest.raises(ConfigError, match="2 states need 2 log-rewards"):
        TableEnvironment([[1], []], [0.0])


@pytest.mark.slow
def test_hypothesis_is_needed_for_strategies_only() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import gflow.testing\n"
        "from gflow.errors import MissingExtraError\n"
        "try:\n    import gflow.testing.strategies\n"
        "except MissingExtraError as e:\n    print(e)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'hypothesis>=" in out.stdout
    assert importlib.import_module("gflow.testing.strategies")


@pytest.mark.parametrize("merge", [True, False])
def test_chance_may_have_actions_that_it_never_takes(merge: bool) -> None:
    """The first of two equal actions, and one to a state that others reach, have probability 0."""
    env = TableEnvironment(
        [[1, 2], [3, 3, 4], [4, 5], [], [], []],
        [0.0, 0.0, 0.0, 1.0, -0.5, 0.3],
        merge_parents=merge,
        movers=[0, CHANCE, CHANCE, 0, 0, 0],
        chance=[[], [0.0, 0.4, 0.6], [0.0, 1.0], [], [], []],
    )
    check_env(env)
    check_objective(ExpectedDetailedBalance, env, solve=False)
    assert env.forward_mask(torch.tensor([1, 2])).tolist() == [
        [False, True, True],
        [False, True, False],
    ]
    with pytest.raises(ConfigError, match=r"state 2 is chance's, and \[0.0, 0.0\]"):
        TableEnvironment(
            [[1, 2], [], [3], []], [0.0] * 4, movers=[0, 0, CHANCE, 0], chance=[[], [], [0.0], []]
        )

from functools import partial
from typing import get_args

import pytest
import torch
from hypothesis import given, settings

from gflow import Objective, TabularPolicy, enumerate_states, evaluate
from gflow.envs import HyperGrid
from gflow.errors import ConfigError
from gflow.objectives import (
    GAMES,
    OBJECTIVES,
    OFF_POLICY,
    DetailedBalance,
    OrderPreservingDetailedBalance,
    Solution,
    SubTrajectoryBalance,
    TrajectoryBalance,
)
from gflow.objectives.subtb import Weighting
from gflow.testing import (
    BrokenObjectiveError,
    TableEnvironment,
    all_trajectories,
    check_objective,
    sample_environments,
)
from gflow.testing.case import pad, spoil
from gflow.testing.strategies import random_dags

DAG = TableEnvironment([[1, 2], [2, 3], [3, 4], [4], []], [0.2, -0.5, 0.9, 0.1, 1.2])
EXACT = [name for name, cls in OFF_POLICY.items() if cls.self_contained]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        # Pairs of all trajectories take their time: one of this kind is enough in a hurry.
        pytest.param(n, marks=pytest.mark.slow) if n.startswith("op") and n != "optb" else n
        for n in EXACT
    ],
)
def test_our_objectives_pass(name: str) -> None:
    checked = check_objective(OBJECTIVES[name])
    assert checked.environments == {"mdb": 1, "msubtb": 3, "edb": 8}.get(name, 5)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", get_args(Weighting))
def test_sub_trajectory_weightings_pass(weighting: Weighting) -> None:
    check_objective(partial(SubTrajectoryBalance, lam=1.3, weighting=weighting))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=10)
@given(env=random_dags(max_states=8, duplicates=False))
def test_our_objectives_pass_on_random_graphs(name: str, env: TableEnvironment) -> None:
    cls: type[Objective] = OBJECTIVES[name]
    if len(all_trajectories(env)) > 1 and cls.refusal(env) is None:
        check_objective(cls, env, solve=False)


def test_objectives_pass_where_short_trajectories_end_without_action_zero() -> None:
    """Padding repeats the last state and action 0, which is illegal in state 2."""
    env = TableEnvironment([[1, 2, 2], [3], [], []], [0.0] * 4, [False, False, True, True])
    check_objective(TrajectoryBalance, env, solve=False)


def test_other_environments_can_be_given() -> None:
    grids = [HyperGrid(2, 3), HyperGrid(2, 3, ending="forced")]
    assert check_objective(TrajectoryBalance, grids).environments == 2


def test_environments_that_are_all_refused() -> None:
    with pytest.raises(ConfigError, match="refuses all 1 environments"):
        check_objective(OBJECTIVES["mdb"], HyperGrid(2, 3, ending="forced"))


@pytest.mark.parametrize("name", sorted({*OBJECTIVES} - {*OFF_POLICY, *GAMES}))
def test_what_has_no_residuals_or_no_place_here_is_said(name: str) -> None:
    with pytest.raises(ConfigError, match=r"has no residuals|refuses all 5 environments"):
        check_objective(OBJECTIVES[name])


def test_objectives_are_judged_by_the_solution_that_they_name() -> None:
    """Detailed balance does not learn a reward, and an order is no proportion."""

    class Ordered(DetailedBalance):
        solution = Solution.ORDERED

    class Proportional(OrderPreservingDetailedBalance):
        solution = Solution.PROPORTIONAL

    class Expected(DetailedBalance):
        solution = Solution.EXPECTED

    with pytest.raises(BrokenObjectiveError, match="`implied_log_reward` returned None"):
        check_objective(Ordered, DAG)
    with pytest.raises(BrokenObjectiveError, match=r"(?s)residuals of .* are still zero"):
        check_objective(Proportional, DAG)
    assert check_objective(Expected, DAG).environments == 1  # nothing is left to chance there


def test_a_solution_that_is_none_is_refused() -> None:
    class Words(DetailedBalance):
        solution = "proportional"  # type: ignore[assignment]

    with pytest.raises(ConfigError, match=r"Words.solution must be .*PROPORTIONAL"):
        check_objective(Words, DAG)


def test_the_default_precision_is_restored() -> None:
    torch.set_default_dtype(torch.float32)
    check_objective(TrajectoryBalance, sample_environments()[0], solve=False)
    assert torch.get_default_dtype() == torch.float32


def test_padding_helpers_touch_padding_only() -> None:
    env = sample_environments()[2]
    graph = enumerate_states(env)
    walks = all_trajectories(env)
    terms = evaluate(env, TabularPolicy(graph), walks)
    longer = pad(terms, 2)
    assert longer.log_pf.shape[1] == terms.log_pf.shape[1] + 2
    assert torch.equal(longer.log_weight, terms.log_weight)
    spoilt = spoil(longer, torch.nan)
    assert torch.equal(spoilt.log_pf[spoilt.mask], terms.log_pf[terms.mask])
    assert spoilt.log_pf[~spoilt.mask].isnan().all()

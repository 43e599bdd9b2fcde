"""The multi-objective grid: golden fronts and ranges, conditions, and the contract."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import MLPPolicy, Sampler, TabularPolicy, enumerate_states, evaluate
from gflow.conditions.preferences import UniformDirections
from gflow.envs.grids.landscapes import LandscapeScores, landscape_grid
from gflow.envs.grids.rewards import LANDSCAPES
from gflow.errors import ConfigError, ShapeError, UnknownNameError
from gflow.memory.pareto import exact_front
from gflow.rewards.scalarizations import Goals, LogSum, Preferences
from gflow.terms import Needs
from gflow.testing import check_env

ALL = ("branin", "currin", "shubert", "beale")
SIZES = {
    ("branin", "currin", "shubert"): 104,
    ("branin", "currin", "beale"): 229,
    ("branin", "shubert", "beale"): 147,
    ("currin", "shubert", "beale"): 127,
    ALL: 372,
}


@pytest.mark.parametrize("names", SIZES)
def test_golden_fronts_of_three_and_four(names: tuple[str, ...]) -> None:
    graph = enumerate_states(landscape_grid(names))
    _, front = exact_front(graph)
    assert len(graph.objects) == 1023
    assert len(front) == len(front.unique(dim=0)) == SIZES[names]


def test_golden_ranges_over_all_cells() -> None:
    env = landscape_grid(ALL)
    graph = enumerate_states(env)
    scores = env.scores(graph.states[graph.objects])
    low = torch.tensor([2.934e-6, 0.085723, 0.005753, 0.112627])
    high = torch.tensor([0.998616, 1.001525, 0.994499, 0.997503])
    torch.testing.assert_close(scores.min(0).values, low, atol=5e-7, rtol=0)
    torch.testing.assert_close(scores.max(0).values, high, atol=5e-7, rtol=0)


names = st.lists(st.sampled_from(sorted(LANDSCAPES)), min_size=1, max_size=3, unique=True)
rules = st.sampled_from([None, LogSum(beta=3.0), Preferences(2.0), Preferences(None), Goals()])


@settings(max_examples=12)
@given(names=names, side=st.integers(2, 6), rule=rules, ending=st.sampled_from(["free", "forced"]))
def test_the_contract(names: list[str], side: int, rule: object, ending: str) -> None:
    env = landscape_grid(names, side, rule, ending)  # type: ignore[arg-type]
    assert env.num_scores == len(names)
    assert env.condition_dim == env.reward.condition_dim  # type: ignore[attr-defined]
    check_env(env)


def test_scores_reach_the_objectives() -> None:
    env = landscape_grid(("shubert", "beale"), 5)
    policy = TabularPolicy(enumerate_states(env))
    batch = Sampler(env).forward(policy, 9, generator=torch.Generator().manual_seed(0))
    terms = evaluate(env, policy, batch, Needs(scores=True))
    cells = batch.final_states
    x, y = (2 * cells / 4 - 1).unbind(1)
    wanted = torch.stack([LANDSCAPES["shubert"](x, y), LANDSCAPES["beale"](x, y)], 1)
    torch.testing.assert_close(terms.scores, wanted)
    torch.testing.assert_close(terms.log_reward, wanted.mean(1).log())
    torch.testing.assert_close(env.partial_log_reward(cells), wanted.mean(1).log())


@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_both_plans_carry_scores_and_conditions(plan: str) -> None:
    env = landscape_grid(("branin", "beale"), 6, Goals(cosine=0.9))
    policy = MLPPolicy(env, 8, 1, generator=torch.Generator().manual_seed(0))
    condition = UniformDirections(2)(12, torch.Generator().manual_seed(1))
    batch = Sampler(env, plan).forward(  # type: ignore[arg-type]
        policy, 12, condition=condition, generator=torch.Generator().manual_seed(2)
    )
    torch.testing.assert_close(batch.scores, env.scores(batch.final_states))
    wanted = env.target_log_reward(batch.final_states, condition)
    torch.testing.assert_close(batch.log_reward, wanted)
    assert len(wanted.unique()) > 3


def test_nonsense_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'branin'"):
        LandscapeScores(["brannin"])
    for wrong in ([], ["beale", "beale"]):
        with pytest.raises(ConfigError, match="at least one function and none twice"):
            LandscapeScores(wrong)
    with pytest.raises(ConfigError, match="side must be at least 2"):
        LandscapeScores(["beale"], 1)
    with pytest.raises(ShapeError, match=r"cells must be \(B, 2\)"):
        LandscapeScores(["beale"]).scores(torch.zeros(4, 3))
    assert repr(LandscapeScores(["beale", "currin"])) == "LandscapeScores(beale, currin)"

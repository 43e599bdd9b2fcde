"""Exact conditional laws: what R^beta, preferences and codes must be, and objectives at them."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gflow import (
    DiscreteEnvironment,
    Environment,
    Objective,
    TabularPolicy,
    Trajectories,
    enumerate_states,
)
from gflow.conditions.several import GoalConditions, PreferenceConditions
from gflow.conditions.temperature import Temperature
from gflow.conditions.temperatures import GammaBeta
from gflow.conditions.thermometer import MarksBeside, Thermometer
from gflow.envs.games.nim import Nim
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.grids.landscapes import landscape_grid
from gflow.envs.grids.rewards import Corners
from gflow.envs.noise.grid import StochasticGrid
from gflow.errors import IncompatibleError
from gflow.exact.family import TabularFamily
from gflow.exact.graph import StateGraph
from gflow.objective import LogZ, Solution
from gflow.objectives import GAMES, OBJECTIVES, PROPORTIONAL
from gflow.policies.base import Policy, PolicyOutput
from gflow.rewards.scalarizations import AtTemperature, LogSum, Preferences
from gflow.testing import all_trajectories
from gflow.testing.strategies import random_dags

BETAS = torch.tensor([[0.5], [1.0], [2.5]])


def tempered(env: DiscreteEnvironment[Any]) -> DiscreteEnvironment[Any]:
    made = Temperature(low=0.5, high=2.5).applied(env)
    assert isinstance(made, DiscreteEnvironment)
    return made


# ---------------------------------------------------------------------- T5.1


@settings(max_examples=25)
@given(env=random_dags(max_states=9), beta=st.floats(0.05, 4.0))
def test_log_z_rises_with_beta_by_the_mean_log_reward(
    env: DiscreteEnvironment[Any], beta: float
) -> None:
    """T5.1: P(x | beta) = R^beta / sum R^beta, and d log Z / d beta = E_beta[log R]."""
    plain, told = enumerate_states(env), enumerate_states(tempered(env))
    log_reward = plain.log_reward()[plain.objects]

    def at(beta: float) -> StateGraph[Any]:
        return told.told(torch.tensor([beta]))

    law = at(beta).log_target()
    torch.testing.assert_close(law, (beta * log_reward).log_softmax(0))
    step = 1e-4
    slope = (at(beta + step).exact_flows().log_z - at(beta - step).exact_flows().log_z) / (2 * step)
    assert slope == pytest.approx(float((law.exp() * log_reward).sum()), abs=1e-5)
    flows = at(beta).exact_flows()
    reached = at(beta).terminal_log_prob(flows.log_pf, flows.log_stop)
    torch.testing.assert_close(reached, law)


@given(
    low=st.floats(0.1, 2.0),
    width=st.floats(0.5, 40.0),
    size=st.integers(2, 40),
    pair=st.tuples(st.floats(-1, 60), st.floats(-1, 60)),
    ratios=st.booleans(),
)
def test_thermometers_rise_have_their_length_and_saturate(
    low: float, width: float, size: int, pair: tuple[float, float], ratios: bool
) -> None:
    """T5.1: thermometers are monotone, of the length they say, and saturate at both ends."""
    high = low + width
    code = Thermometer(low, high, size, ratios)
    marks = code(torch.tensor(sorted(pair))[:, None])
    assert marks.shape == (2, size) == (2, code.out_features)
    assert bool((marks[1] >= marks[0]).all()), "higher numbers have no mark less"
    assert bool((marks.diff(dim=1) <= 1e-12).all()), "marks fill from the first on"
    ends = code(torch.tensor([[0.0], [low], [high], [3 * high + 10 * width]]))
    assert ends[:2].sum(1).tolist() == [0.0, 0.0]
    assert float(ends[2].sum()) == pytest.approx(size - 1)
    assert float(ends[3].sum()) == pytest.approx(size)
    middle = math.sqrt(low * high) if ratios else (low + high) / 2
    assert float(code(torch.tensor([[middle]])).sum()) == pytest.approx((size - 1) / 2)


@given(
    scores=st.lists(st.tuples(*[st.floats(0.01, 1)] * 3), min_size=1, max_size=4),
    share=st.floats(0, 1),
    beta=st.floats(0.1, 8),
)
def test_preferences_mix_rewards_linearly(
    scores: list[tuple[float, ...]], share: float, beta: float
) -> None:
    """T5.1: the transform of preferences is linear in them, before the temperature."""
    u, one, other = torch.tensor(scores), torch.tensor([0.2, 0.3, 0.5]), torch.tensor([1.0, 0, 0])
    rule, many = Preferences(beta), len(scores)
    first, second, mixed = (
        (rule(u, w.expand(many, -1)) / beta).exp()
        for w in (one, other, share * one + (1 - share) * other)
    )
    torch.testing.assert_close(mixed, share * first + (1 - share) * second)
    corner = torch.eye(3)[1].expand(many, -1)
    torch.testing.assert_close(rule(u, corner), beta * u[:, 1].log())


def test_marks_stand_beside_what_is_read_as_it_is() -> None:
    code = MarksBeside(2, Thermometer(0, 4, 5), Thermometer(0, 1, 3))
    got = code(torch.tensor([[0.25, 1.0, 3.0]]))
    assert got.tolist() == [[0.5, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]]
    assert code.out_features == 11
    plain = MarksBeside(2, Thermometer(0, 4, 5))(torch.tensor([[0.25, 1.0, 3.0]]))
    assert plain.tolist() == [[0.25, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]]


# ---------------------------------------------------------------------- laws told from outside


def test_preferences_and_goals_say_the_law_of_landscapes() -> None:
    plain = landscape_grid(("branin", "currin"), 4, LogSum(beta=3.0))
    told = PreferenceConditions().applied(plain)
    graph = enumerate_states(told)
    rows = graph.objects
    scores = plain.scores(graph.states[rows])
    for w in (0.0, 0.3, 1.0):
        weights = torch.tensor([[w, 1 - w]])
        wanted = 3 * (scores @ weights[0]).clamp(min=1e-300).log().clamp(min=-25)
        torch.testing.assert_close(graph.log_target(weights), wanted.double().log_softmax(0))
    drawn = PreferenceConditions(beta_shape=4.0).applied(plain)
    one, more = (
        enumerate_states(drawn).log_target(torch.tensor([[0.3, 0.7, beta]])) for beta in (1.0, 2.0)
    )
    torch.testing.assert_close((2 * one).log_softmax(0), more)
    aimed = enumerate_states(GoalConditions(cosine=0.9).applied(plain))
    law = aimed.log_target(torch.tensor([[1.0, 0.0]])).exp()
    inside = scores[:, 0] / scores.norm(dim=1) >= 0.9
    assert 0 < int(inside.sum()) < len(rows)
    assert float(law[~inside].sum()) < 1e-20


def test_scores_keep_their_temperature() -> None:
    plain = landscape_grid(("branin", "currin"), 4, LogSum(beta=3.0))
    told = tempered(plain)
    assert told.num_scores == 2
    beta = torch.tensor([[0.5]])
    wanted = (0.5 * enumerate_states(plain).log_target()).log_softmax(0)
    torch.testing.assert_close(enumerate_states(told).log_target(beta), wanted)
    both = AtTemperature(Preferences())
    assert both.condition_dim(2) == 3
    scores = torch.tensor([[0.2, 0.4]])
    value = both(scores, torch.tensor([[0.5, 0.5, 4.0]]))
    torch.testing.assert_close(value, torch.tensor([4 * math.log(0.3)]))


@given(shape=st.floats(0.3, 30.0), scale=st.floats(0.1, 3.0))
def test_gamma_quantiles(shape: float, scale: float) -> None:
    law = torch.distributions.Gamma(shape, 1 / scale)
    for share in (0.05, 0.5, 0.95):
        value = torch.tensor(GammaBeta(shape, scale).quantile(share))
        assert float(law.cdf(value)) == pytest.approx(share, abs=1e-6)


# ---------------------------------------------------------------------- objectives at the solution


class LogZTable(nn.Module):
    """The exact log Z of each condition, in the place of a network of it."""

    def __init__(self, conditions: Tensor, values: list[float]) -> None:
        super().__init__()
        self.conditions, self.values = conditions, torch.tensor(values)

    def forward(self, condition: Tensor) -> Tensor:
        same = (condition[:, None] == self.conditions).all(-1)
        return (same * self.values).sum(-1, keepdim=True)


UNSOLVED = ("sgfn", "naive_intended")
"""With chance these need have no solution at all, with conditions or without."""


def environment_for(name: str) -> DiscreteEnvironment[Any]:
    """A small one that an objective is for: a game, one with chance, a grid."""
    kind = OBJECTIVES[name]
    if kind.solution in (Solution.ADVERSARIAL, Solution.EQUILIBRIUM):
        return Nim((1, 2), scale=1.0)
    if kind.solution is Solution.EXPECTED or name == "naive_realised":
        return StochasticGrid(2, 2, 0.25)
    return HyperGrid(2, 3, Corners(3, 0.1))


ABLE = [
    name
    for name, kind in OBJECTIVES.items()
    if name in PROPORTIONAL or name in GAMES or kind.solution is Solution.EXPECTED
    if name not in UNSOLVED
    if kind.refusal(environment_for(name)) is None
]


def solved(objective: Objective, graph: StateGraph[Any]) -> TabularFamily:
    family = TabularFamily.solved(graph, BETAS, objective.exact_flows, objective.needs)
    log_z = getattr(objective, "log_z", None)
    if isinstance(log_z, LogZ):
        values = [objective.exact_flows(graph.told(c)).log_z for c in BETAS]
        log_z.encoder, log_z.network = None, LogZTable(BETAS, values)  # type: ignore[assignment]
        nn.init.zeros_(log_z.value)
    return family


class Misheard(Policy):
    """A policy that hears the next condition in the place of each."""

    def __init__(self, policy: TabularFamily) -> None:
        super().__init__()
        self.policy, self.backward, self.has_log_flow = policy, policy.backward, True

    def forward(
        self, env: Environment[Any], states: Any, condition: Tensor | None = None
    ) -> PolicyOutput:
        assert condition is not None
        number = (condition == BETAS.flatten()).long().argmax(1)
        output: PolicyOutput = self.policy(env, states, BETAS[(number + 1) % len(BETAS)])
        return output


@pytest.mark.parametrize("name", ABLE)
def test_objectives_vanish_at_the_solution_of_each_condition_alone(name: str) -> None:
    """All trajectories told three temperatures: no residual; misheard, there is one."""
    env = tempered(environment_for(name))
    settings: dict[str, Any] = {"condition_dim": 1} if name in ("tb", "atb") else {}
    try:
        objective = OBJECTIVES[name].build(env, **settings)
        objective.check(env)
        graph = enumerate_states(env)
        family = solved(objective, graph)
    except IncompatibleError as error:
        pytest.fail(f"{name} has no conditional solution here: {error}")
    batch = Trajectories.join([all_trajectories(env, condition=told[None]) for told in BETAS])
    residual = objective.residual(objective.evaluate(env, family, batch)).detach()
    assert float(residual.abs().max()) < 1e-9
    wrong = objective.residual(objective.evaluate(env, Misheard(family), batch)).detach()
    assert float(wrong.abs().max()) > 0.05, "conditions were shuffled, and nothing noticed"


def test_tables_answer_for_their_own_conditions_alone() -> None:
    env = tempered(HyperGrid(2, 2, Corners(2, 0.1)))
    graph = enumerate_states(env)
    family = TabularFamily.solved(graph, BETAS)
    states = env.initial(4)
    order = torch.tensor([2, 0, 1, 2])
    said = family(env, states, BETAS[order]).log_flow
    assert said is not None
    wanted = [graph.told(BETAS[k]).exact_flows().log_z for k in order.tolist()]
    torch.testing.assert_close(said, torch.tensor(wanted))
    with pytest.raises(IncompatibleError, match=r"tables for the conditions \[\[0.5\]"):
        family(env, states, torch.full((4, 1), 0.7))
    with pytest.raises(IncompatibleError, match="others were asked for"):
        TabularPolicy(graph)(env, states, BETAS[order])
    with pytest.raises(IncompatibleError, match="without a condition"):
        TabularFamily([TabularPolicy(graph)])

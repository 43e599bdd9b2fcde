"""What works with chance and with players, and what refuses them: by the mathematics of each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    Exploration,
    MLPPolicy,
    Needs,
    Sampler,
    TabularPolicy,
    enumerate_states,
    evaluate,
)
from gflow.backward.choice import with_backward
from gflow.backward.count import CountRegression, TrajectoryCount
from gflow.backward.fits import PessimisticBackward
from gflow.behaviours.base import Behaviour, Sampling
from gflow.behaviours.branching import Branching
from gflow.behaviours.data import BackwardReplay
from gflow.behaviours.exact_samples import ExactSamples, draws_of
from gflow.behaviours.front import FrontReplay
from gflow.behaviours.local_search import LocalSearch
from gflow.behaviours.refreshed import Refreshed
from gflow.behaviours.replay import Replay
from gflow.environment.movers import CHANCE
from gflow.envs.grids.landscapes import landscape_grid
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.memory.pareto import ParetoArchive
from gflow.memory.replay import ReplayBuffer
from gflow.metrics import elbo, eubo, importance_log_z
from gflow.metrics.likelihood import log_likelihood
from gflow.objective import Objective, Solution
from gflow.objectives import OBJECTIVES, ExpectedDetailedBalance, MaximumLikelihood
from gflow.rewards.base import FunctionReward
from gflow.terms import FlowTerms
from gflow.testing import TableEnvironment
from gflow.testing.slipping import SlippingGrid
from gflow.trajectories import Trajectories

ICE = SlippingGrid(2, 3, slip=0.2)
GRAPH = enumerate_states(ICE)
LOG_Z = float(GRAPH.log_reward().logsumexp(0))
FRONTS = landscape_grid(("branin", "currin"), side=4)

GAME = TableEnvironment(
    [[1, 2], [3, 4], [5, 6], [7, 8], [], [], [], [], []],
    [0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.5, 1.0, -1.0],
    movers=[1, -1, CHANCE, 1, 1, 1, 1, 1, 1],
    chance=[[], [], [0.9, 0.1], [], [], [], [], [], []],
)
"""The first player chooses; then the second does, who may give the turn back, or chance."""


class Heap(DiscreteEnvironment[Tensor]):
    """Five stones of which two players take one or two in turn: the last wins; no moves back."""

    num_actions, num_players, horizon = 2, 2, 5
    feature_sizes, num_keys = (6, 2), 12

    def __init__(self) -> None:
        self.reward = FunctionReward(lambda s: torch.where(s[:, 1] == 1, 1.0, -1.0))

    def initial(self, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.tensor([5, 0], device=device).repeat(batch_size, 1)

    def forward_mask(self, states: Tensor) -> Tensor:
        return states[:, :1] >= torch.tensor([1, 2])

    def _step(self, states: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([states[:, 0] - actions - 1, 1 - states[:, 1]], 1)

    def mover(self, states: Tensor) -> Tensor:
        return 1 - 2 * states[:, 1]

    def key(self, states: Tensor) -> Tensor:
        return states[:, 0] * 2 + states[:, 1]


class Walk(Heap):
    """The same stones taken by one: no moves back, and no players."""

    num_players = 1
    mover = DiscreteEnvironment.mover  # type: ignore[assignment]


class Any1(Objective):
    """Reads nothing: for what depends on the behaviour alone."""

    name = "any"
    needs = Needs(log_pb=False)
    solution = Solution.EQUILIBRIUM

    def residual(self, terms: FlowTerms) -> Tensor:
        return terms.log_pf

    def weight(self, terms: FlowTerms) -> Tensor:
        return torch.ones_like(terms.log_pf)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        return terms.log_pf[:, 0]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(graph: StateGraph[Any] = GRAPH, seed: int = 0) -> TabularPolicy:
    policy = TabularPolicy(graph)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=seeded(seed))
    return policy


def sampling_of(env: Any, graph: StateGraph[Any], seed: int = 1, **options: Any) -> Sampling:
    return Sampling(scattered(graph), Sampler(env), generator=seeded(seed), **options)


def slips(batch: Trajectories[Any]) -> float:
    """Share of slips among the moves of chance that could go elsewhere."""
    states = batch.states[batch.state_index[:, :-1]]
    free = batch.mask & (states[..., -1] > 0) & (states[..., :-1] < 2).all(-1)
    return float((batch.actions[free] != states[..., -1][free] - 1).double().mean())


# ---------------------------------------------------------------------- chance


@pytest.mark.parametrize(
    "behaviour", [Branching(8, whole=0.2), LocalSearch(3, "random", "none")], ids=lambda b: b.name
)
def test_ends_built_anew_slip_by_the_law_of_chance(behaviour: Behaviour) -> None:
    """From states of chance too, and whatever is explored."""
    sampling = sampling_of(ICE, GRAPH, exploration=Exploration(epsilon=1.0))
    batch = behaviour.collect(sampling, 24_000)
    assert slips(batch) == pytest.approx(0.2, abs=0.015)


def test_an_exact_filter_keeps_the_target_with_chance() -> None:
    """Chains that begin in R(x) P_B(t | x) / Z stay there: objects within five deviations."""
    count, policy = 20_000, scattered()
    objects = draws_of(GRAPH)(count, seeded(2))
    sampler = Sampler(ICE)
    current = sampler.backward(policy, objects, generator=seeded(3))
    search = LocalSearch(1, "random", "metropolis")
    sampling = Sampling(policy, sampler, generator=seeded(4))
    moved = 0.0
    for _ in range(3):
        revision = search.revise(sampling, current)
        moved += float(revision.accepted.double().mean())
        current = revision.following
    assert moved > 0.3
    target = GRAPH.log_target().exp()
    found = torch.bincount(GRAPH.rows(current.final_states), minlength=len(GRAPH))[GRAPH.objects]
    noise = (target * (1 - target) / count).sqrt()
    assert float(((found / count - target).abs() / noise).max()) < 5


def test_bounds_and_importance_weights_hold_the_moves_of_chance() -> None:
    policy, sampler = scattered(), Sampler(ICE)
    own = evaluate(ICE, policy, sampler.forward(policy, 40_000, generator=seeded(5)))
    assert float(elbo(own)) < LOG_Z - 0.3
    assert float(importance_log_z(own)) == pytest.approx(LOG_Z, abs=0.15)
    exact = sampler.backward(policy, draws_of(GRAPH)(4000, seeded(6)), generator=seeded(7))
    assert float(eubo(evaluate(ICE, policy, exact))) > LOG_Z + 0.3


def test_likelihoods_of_objects_are_those_with_chance() -> None:
    policy = scattered()
    objects = GRAPH.states[GRAPH.objects]
    found = log_likelihood(ICE, policy, objects, 4000, generator=seeded(8))
    wanted = GRAPH.terminal_distribution(policy)
    assert float(((found.log_prob - wanted).abs() / found.standard_error.clamp(min=1e-9)).max()) < 5


def test_trajectories_are_counted_with_the_moves_of_chance() -> None:
    table = TabularPolicy(GRAPH, "uniform")
    count = TrajectoryCount(table)
    fit = CountRegression(count)
    with torch.no_grad():
        table.flow_table.copy_(GRAPH.log_num_trajectories())
    batch = Sampler(ICE).forward(scattered(), 200, generator=seeded(9))
    assert float(fit.residual(ICE, batch.states).abs().max().detach()) < 1e-12
    with torch.no_grad():
        table.flow_table[GRAPH.rows(torch.tensor([[0, 0, 1]]))] += 1.0
    assert float(fit.residual(ICE, batch.states).abs().max().detach()) > 0.5


@pytest.mark.slow
def test_a_backward_policy_is_fitted_to_what_was_done_and_what_chance_did() -> None:
    """Its best fit is P(parent | state) under the forward process, chance included."""
    policy, back = scattered(), TabularPolicy(GRAPH)
    fit = PessimisticBackward(ICE, back, lr=0.05, decay=0.99, batches=1000, steps=1)
    sampler, generator = Sampler(ICE), seeded(10)
    for _ in range(250):
        batch = sampler.forward(policy, 256, generator=generator)
        fit.learn(ICE, policy, batch, generator)
    log_pf, _ = GRAPH.log_pf(policy)
    reach = torch.full((len(GRAPH),), -torch.inf, dtype=torch.float64)
    reach[0] = 0.0
    reach = GRAPH.summed_over_paths(reach, log_pf)
    wanted = (reach[GRAPH.parent] + log_pf - reach[GRAPH.child]).exp()
    found = GRAPH.log_pb(back).exp()
    assert float((found - wanted).abs().max()) < 0.05
    assert float((GRAPH.uniform_log_pb().exp() - wanted).abs().max()) > 0.2


@pytest.mark.parametrize("rebuild", ["actions", "backward"])
def test_what_learns_chance_takes_memories_of_what_chance_did(rebuild: Any) -> None:
    """Trajectories drawn backward have the moves of chance by P_B: a model of them would be off."""
    learned = ExpectedDetailedBalance.build(ICE, kernel="learned")
    known = ExpectedDetailedBalance()
    made: list[Behaviour] = [
        Replay(None, ReplayBuffer(ICE, 50, rebuild=rebuild)),
        Refreshed(20, 10, 2, 50, rebuild),
    ]
    for behaviour in made:
        behaviour.check(ICE, known)
        if rebuild == "actions":
            behaviour.check(ICE, learned)
            continue
        with pytest.raises(IncompatibleError, match="learns from what chance did.*'actions'"):
            behaviour.check(ICE, learned)
    with pytest.raises(IncompatibleError, match="Use on_policy"):
        LocalSearch(3).check(ICE, learned)


# ---------------------------------------------------------------------- players


def test_players_are_explored_and_chance_is_not() -> None:
    graph = enumerate_states(GAME)
    policy = scattered(graph)
    explored = Exploration(epsilon=1.0)
    sampler = Sampler(GAME)
    batch = sampler.forward(policy, 20_000, exploration=explored, generator=seeded(11))
    first = batch.states[batch.state_index[:, :-1]]
    for state, wanted in ((0, 0.5), (1, 0.5), (2, 0.1), (3, 0.5)):
        at = (first == state) & batch.mask
        assert float(batch.actions[at].double().mean()) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize("env", [GAME, Heap()], ids=lambda e: e.name)
def test_games_are_remembered_branched_and_begun_anew(env: Any) -> None:
    graph = enumerate_states(env)
    made: list[Behaviour] = [
        Refreshed(64, 32, 2, 100),
        Replay(None, ReplayBuffer(env, 100), 0.5),
        Branching(4),
        LocalSearch(3, "random", "none"),
    ]
    for behaviour in made:
        behaviour.check(env, Any1())
        sampling = sampling_of(env, graph)
        for _ in range(4):
            batch = behaviour.collect(sampling, 32)
            again = sampling.sampler.along(batch.actions, batch.length)
            assert torch.equal(again.log_reward, batch.log_reward)
            assert torch.equal(again.final_states, batch.final_states)


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if n in ("tb", "db", "subtb", "vargrad")])
def test_objectives_of_one_agent_refuse_games(name: str) -> None:
    reason = OBJECTIVES[name].refusal(GAME)
    assert reason is not None
    assert "2 players have rewards of their own. Use aedb, or atb" in reason
    assert OBJECTIVES[name].refusal(ICE) is None


REFUSED: dict[str, tuple[Any, Callable[[], Behaviour], str]] = {
    "better for whom": (GAME, lambda: LocalSearch(3), "prefers ends by one reward.*accept='none'"),
    "no target": (GAME, ExactSamples, "no target to sample"),
    "search back": (
        Walk(),
        lambda: LocalSearch(3, prefix="resampled"),
        "walks back.*prefix='kept'",
    ),
    "ratio": (Walk(), lambda: LocalSearch(3, accept="barker"), "looks back with P_B.*'greedy'"),
    "exact": (Walk(), lambda: ExactSamples(lambda n, g: None), "walks back.*Use on_policy"),
    "front": (Walk(), lambda: FrontReplay(ParetoArchive(FRONTS, 9)), "archive.*Use replay"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_behaviours_refuse_what_means_nothing(case: str) -> None:
    env, make, reason = REFUSED[case]
    with pytest.raises(IncompatibleError, match=reason):
        make().check(env, Any1())


def test_what_looks_back_refuses_environments_without_moves_back() -> None:
    env = Walk()
    graph = enumerate_states(env)
    policy = TabularPolicy(graph)
    batch = Sampler(env).forward(policy, 8, generator=seeded())
    match = "no moves back"
    with pytest.raises(IncompatibleError, match=f"{match}.*replay_rebuild='actions'"):
        ReplayBuffer(env, 10, rebuild="backward")
    with pytest.raises(IncompatibleError, match="no moves back.*rebuild='actions'"):
        Refreshed(8, 8, 2, 10, "backward").check(env, Any1())
    with pytest.raises(IncompatibleError, match=f"{match}.*Sampler.along"):
        BackwardReplay(env, batch.final_states)
    for kind in ("separate", "pessimistic", "tlm", "learned_maxent"):
        with pytest.raises(IncompatibleError, match=f"with_backward: {kind}.*{match}"):
            with_backward(kind, env, MLPPolicy(env, 8, backward="uniform"))
    with pytest.raises(IncompatibleError, match=match):
        PessimisticBackward(env, scattered()).learn(env, policy, batch, seeded())
    with pytest.raises(IncompatibleError, match=match):
        TrajectoryCount(TabularPolicy(graph)).backward_logits(env, batch.states)
    with pytest.raises(IncompatibleError, match=match):
        log_likelihood(env, policy, batch.final_states, 2)
    terms = evaluate(env, policy, batch)
    assert not terms.has_log_pb
    for measure in (elbo, eubo, importance_log_z):
        with pytest.raises(IncompatibleError, match="no log P_B.*moves back"):
            measure(terms)
    search, sampling = LocalSearch(1), Sampling(policy, Sampler(env), generator=seeded())
    revision = search.revise(sampling, batch)
    with pytest.raises(IncompatibleError, match=match):
        search.log_ratio(sampling, revision.current, revision.candidate, revision.keep)


def test_local_search_climbs_without_moves_back_where_one_agent_plays() -> None:
    """Accepted candidates are better, and all that is read walks forward."""
    env = Walk()
    policy = TabularPolicy(enumerate_states(env))
    sampling = Sampling(policy, Sampler(env), generator=seeded(12))
    search = LocalSearch(3, "random", "greedy")
    search.check(env, Any1())
    start = sampling.fresh(200)
    revision = search.revise(sampling, start)
    gain = revision.candidate.log_reward - start.log_reward
    assert torch.equal(revision.accepted, gain > 0)
    assert bool(revision.accepted.any())


def test_terms_say_whether_log_pb_was_looked_at() -> None:
    policy = scattered()
    batch = Sampler(ICE).forward(policy, 8, generator=seeded())
    assert evaluate(ICE, policy, batch).has_log_pb
    assert not evaluate(ICE, policy, batch, Needs(log_pb=False)).has_log_pb


def test_maximum_likelihood_trains_against_chance_on_exact_samples() -> None:
    """The mean of log P_F rises: exact samples and moves back are the agent's and chance's."""
    behaviour = ExactSamples(draws_of(GRAPH))
    objective = MaximumLikelihood()
    behaviour.check(ICE, objective)
    policy = TabularPolicy(GRAPH)
    sampling = Sampling(policy, Sampler(ICE), generator=seeded(13))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        batch = behaviour.collect(sampling, 64)
        loss = objective(objective.evaluate(ICE, policy, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 0.1

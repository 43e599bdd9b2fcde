"""Objectives of games: zero at the exact solutions, known numbers elsewhere, refused elsewhere."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    FlowTerms,
    MLPPolicy,
    Objective,
    Sampler,
    TabularPolicy,
    enumerate_states,
)
from gflow.environment.movers import CHANCE
from gflow.envs.cubes.box import Box
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import IncompatibleError
from gflow.exact import StateGraph, adversarial_flows, player_flows
from gflow.exact.graph import ExactFlows
from gflow.objectives import (
    GAMES,
    AdversarialDetailedBalance,
    AdversarialExpectedDetailedBalance,
    AdversarialSubTrajectoryBalance,
    AdversarialTrajectoryBalance,
)
from gflow.testing import TableEnvironment, all_trajectories, check_objective, sample_games
from gflow.testing.strategies import random_games, random_trees
from gflow.trajectories import Trajectories

WEIGHTINGS: tuple[Any, ...] = (
    "geometric_within", "geometric", "pooled", "equal", "equal_within", "db", "db_within", "tb",
)  # fmt: skip
GAME = TableEnvironment(
    [[1, 2], [3, 4, 5], [5], [], [], []],
    [0.0, 0.0, 0.4, 1.0, -0.5, 0.3],
    stops=[False, False, True, False, False, False],
    movers=[1, -1, -1, 1, 1, 1],
)
"""Player 1 moves first; player -1 has three moves on one side, one move and a stop on the other."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def terms_of(objective: Objective, policy: TabularPolicy, batch: Trajectories[Any]) -> FlowTerms:
    return objective.evaluate(policy.graph.env, policy, batch)


def objectives_at(flows: ExactFlows) -> dict[str, Objective]:
    """Every form of one flow for both players, with log Z as it is in the solution."""
    found: dict[str, Objective] = {
        "atb": AdversarialTrajectoryBalance(flows.log_z),
        "adb": AdversarialDetailedBalance(),
    }
    for weighting in WEIGHTINGS:
        found[f"asubtb-{weighting}"] = AdversarialSubTrajectoryBalance(0.8, weighting)
    return found


def scattered(graph: StateGraph[Any], flows: int = 1, seed: int = 3) -> TabularPolicy:
    policy = TabularPolicy(graph, "uniform", flows)
    with torch.no_grad():
        for table in policy.parameters():
            table.normal_(generator=seeded(seed))
    return policy


# ---------------------------------------------------------------------- zero at the solution


@pytest.mark.slow
@settings(max_examples=40)
@given(env=st.one_of(random_games(), random_trees((1, -1))), seed=st.integers(0, 99))
def test_every_form_vanishes_on_every_play_at_the_exact_solution(
    env: TableEnvironment, seed: int
) -> None:
    """T2.1: the recursion of means, balance of every move and balance of every play are one."""
    graph = enumerate_states(env)
    flows = adversarial_flows(graph)
    policy = TabularPolicy.solved(graph, flows)
    drawn = Sampler(env).forward(scattered(graph), 8, generator=seeded(seed))
    for batch in (all_trajectories(env), drawn):
        for name, objective in objectives_at(flows).items():
            terms = terms_of(objective, policy, batch)
            worst = float(objective.residual(terms).detach().abs().max())
            assert worst < 9e-15 * max(1, int(graph.depth.max())), (name, worst)
            estimate = objective.log_z_estimate(terms).detach()
            assert float((estimate - flows.log_z).abs().max()) < 1e-14


@pytest.mark.slow
@settings(max_examples=40)
@given(data=st.data(), players=st.integers(2, 4), chance=st.booleans())
def test_the_flows_of_all_players_balance_at_the_exact_solution(
    data: st.DataObject, players: int, chance: bool
) -> None:
    """T2.3: residuals of every agent are zero at every state, whoever moves there."""
    env = data.draw(random_games(players, chance))
    graph = enumerate_states(env)
    flows = player_flows(graph)
    objective = AdversarialExpectedDetailedBalance()
    batch = all_trajectories(env)
    terms = terms_of(objective, TabularPolicy.solved(graph, flows), batch)
    residual = objective.residual(terms).detach()
    assert residual.shape == (len(batch), batch.actions.shape[1], players)
    assert float(residual.abs().max()) < 1e-13
    torch.testing.assert_close(objective.log_z_estimate(terms)[0].item(), flows.log_z)
    for player, value in enumerate(flows.log_flow[0, 1:].tolist(), start=2):
        assert objective.metrics(terms)[f"log_z_{player}"].item() == pytest.approx(value)


@pytest.mark.parametrize("name", sorted(GAMES))
def test_objectives_of_games_keep_the_contract(name: str) -> None:
    """Zero at the solution, not off it, and trained to it from any policy (T2.7 without noise)."""
    checked = check_objective(GAMES[name], garbage=True)
    assert checked.environments == (6 if name == "aedb" else 4)
    assert checked.refused == 0


@pytest.mark.parametrize("name", sorted(GAMES))
@settings(max_examples=6)
@given(env=random_games(max_states=8, duplicates=False))
def test_objectives_of_games_keep_it_on_random_games(name: str, env: TableEnvironment) -> None:
    if len(all_trajectories(env)) > 1:
        check_objective(GAMES[name], env, solve=False)


# ---------------------------------------------------------------------- numbers off it


def test_each_residual_is_the_formula_with_its_signs() -> None:
    """Player 1 goes left of two, player -1 takes the second of three; or right, and stop of two."""
    graph = enumerate_states(GAME)
    policy = scattered(graph)
    stop = GAME.stop_action
    batch = Sampler(GAME).along(torch.tensor([[0, 1], [1, stop]]), torch.tensor([2, 2]))
    logits, flow = policy.forward_table.detach(), policy.flow_table.detach()
    first = logits[0, :2].log_softmax(0)
    left = logits[1, :3].log_softmax(0)
    right = logits[2, [0, int(stop or 0)]].log_softmax(0)
    steps = torch.stack([
        torch.stack([first[0] + math.log(2), -(left[1] + math.log(3))]),
        torch.stack([first[1] + math.log(2), -(right[1] + math.log(2))]),
    ])  # fmt: skip
    reward = torch.tensor([-0.5, 0.4])
    known = torch.tensor([[flow[0], flow[1], -0.5], [flow[0], flow[2], 0.4]])

    def same(objective: Objective, wanted: Tensor) -> None:
        got = objective.residual(terms_of(objective, policy, batch))
        torch.testing.assert_close(got.detach(), wanted)

    same(AdversarialTrajectoryBalance(0.7), 0.7 + steps.sum(1) - reward)
    same(AdversarialDetailedBalance(), known[:, :-1] + steps - known[:, 1:])
    pairs = torch.stack([
        known[:, 0] + steps[:, 0] - known[:, 1],
        known[:, 0] + steps.sum(1) - known[:, 2],
        known[:, 1] + steps[:, 1] - known[:, 2],
    ], 1)  # fmt: skip
    same(AdversarialSubTrajectoryBalance(), pairs)


def test_the_expectation_goes_over_all_children_of_the_other_player() -> None:
    """At the root player 1 balances the move taken, player -1 the mean over both."""
    graph = enumerate_states(GAME)
    policy = scattered(graph, 2)
    batch = Sampler(GAME).along(torch.tensor([[0, 1], [0, 0]]), torch.tensor([2, 2]))
    objective = AdversarialExpectedDetailedBalance()
    got = objective.residual(terms_of(objective, policy, batch)).detach()
    flow = policy.flow_table.detach()
    first = policy.forward_table.detach()[0, :2].log_softmax(0)
    left = policy.forward_table.detach()[1, :3].log_softmax(0)
    leaves = torch.tensor([[1.0, -1.0], [-0.5, 0.5], [0.3, -0.3]])
    mean = (first.exp() * flow[[1, 2], 1].exp()).sum().log()
    torch.testing.assert_close(got[:, 0, 0], (flow[0, 0] + first[0] - flow[1, 0]).expand(2))
    torch.testing.assert_close(got[:, 0, 1], (flow[0, 1] - mean).expand(2))
    other = (left.exp() * leaves[:, 0].exp()).sum().log()
    torch.testing.assert_close(got[:, 1, 0], (flow[1, 0] - other).expand(2))
    own = flow[1, 1] + left[[1, 0]] - leaves[[1, 0], 1]
    torch.testing.assert_close(got[:, 1, 1], own)


def test_a_policy_is_taught_by_its_own_player_alone() -> None:
    """The mean that the other player expects sends its gradient into flows, not into the policy."""
    graph = enumerate_states(GAME)
    batch = all_trajectories(GAME)
    objective = AdversarialExpectedDetailedBalance()
    found = []
    for player in (0, 1):
        policy = scattered(graph, 2)
        residual = objective.residual(terms_of(objective, policy, batch))
        residual[..., player].square().sum().backward()
        found.append((policy.forward_table.grad, policy.flow_table.grad))
    (first, first_flow), (second, second_flow) = found
    assert first is not None
    assert second is not None
    assert bool((first[0, :2] != 0).all())
    assert not bool(first[1:3].any())
    assert not bool(second[0].any())
    assert bool((second[1, :3] != 0).all())
    assert second_flow is not None
    assert bool((second_flow[[1, 2], 1] != 0).all())
    assert first_flow is not None
    assert not bool(first_flow[:, 1].any())


@pytest.mark.parametrize("name", ["atb", "adb", "asubtb", "aedb"])
def test_one_wrong_logit_of_either_player_shows(name: str) -> None:
    for env in sample_games():
        graph = enumerate_states(env)
        flows = player_flows(graph) if name == "aedb" else adversarial_flows(graph)
        for row in (0, 1):
            policy = TabularPolicy.solved(graph, flows)
            with torch.no_grad():
                policy.forward_table[row, 0] += 0.7
            objective = GAMES[name].build(env, **({"log_z": flows.log_z} if name == "atb" else {}))
            terms = terms_of(objective, policy, all_trajectories(env))
            assert float(objective.residual(terms).detach().abs().max()) > 0.05


# ---------------------------------------------------------------------- learning


def random_tree(seed: int, depth: int = 4) -> TableEnvironment:
    """A tree of two players by turns with one to three moves at each state."""
    generator = seeded(seed)
    children: list[list[int]] = [[]]
    movers, layer = [1], [0]
    for level in range(depth):
        following = []
        for s in layer:
            count = int(torch.randint(1, 4, (), generator=generator))
            children[s] = list(range(len(children), len(children) + count))
            following += children[s]
            children += [[] for _ in range(count)]
            movers += [1 if level % 2 else -1] * count
        layer = following
    value = 2 * torch.randn(len(children), generator=generator)
    return TableEnvironment(children, value, movers=movers)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_games_of_an_exploring_player_teach_the_exact_log_z(seed: int) -> None:
    """T2.7: a table trained on drawn games, played evenly, finds log Z to 1e-3."""
    env = random_tree(seed)
    graph = enumerate_states(env)
    exact = adversarial_flows(graph)
    policy, objective = TabularPolicy(graph, "uniform"), AdversarialTrajectoryBalance()
    player, sampler, generator = TabularPolicy(graph, "uniform"), Sampler(env), seeded(seed)
    steps = 600
    optimizer = torch.optim.Adam([*policy.parameters(), *objective.parameters()], lr=0.2)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.01 ** (t / steps))
    assert abs(objective.log_z.value.item() - exact.log_z) > 0.1
    for _ in range(steps):
        batch = sampler.forward(player, 128, generator=generator)
        loss = objective(terms_of(objective, policy, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    assert objective.log_z.value.item() == pytest.approx(exact.log_z, abs=1e-3)
    found = graph.log_pf(policy)[0].exp()
    torch.testing.assert_close(found, exact.log_pf.exp(), atol=1e-2, rtol=0)


# ---------------------------------------------------------------------- refusals


class Duel(Box):
    """A game whose moves have densities."""

    num_players = 2


@pytest.mark.parametrize("name", ["atb", "adb", "asubtb"])
def test_one_flow_for_two_is_refused_where_it_cannot_be(name: str) -> None:
    cls = GAMES[name]
    ice = TableEnvironment([[1, 2], [3, 4], [], [], []], [0.0] * 5, movers=[1, CHANCE, -1, 1, 1])
    three = TableEnvironment([[1, 2], [], []], torch.zeros(3, 3), movers=[1, 2, 3])
    for env, reason in (
        (ice, r"some moves here are chance's.*E\[F\] and 1 / E\[1/F\] differ. Use aedb"),
        (three, "two players whose rewards are R and 1/R, and here are 3. Use aedb"),
        (HyperGrid(2, 3), "here is one agent.*Use tb, db or subtb"),
        (Duel(), "they form a continuum"),
    ):
        with pytest.raises(IncompatibleError, match=rf"cannot train on {env.name}: .*{reason}"):
            cls.build(env).check(env)
    assert cls.refusal(GAME) is None


def test_a_flow_for_each_is_refused_where_one_plays_alone() -> None:
    cls = AdversarialExpectedDetailedBalance
    with pytest.raises(IncompatibleError, match="here is one agent. Use edb for an agent and ch"):
        cls().check(HyperGrid(2, 3))
    ice = TableEnvironment([[1, 2], [3, 4], [], [], []], [0.0] * 5, movers=[1, CHANCE, -1, 1, 1])
    assert cls.refusal(ice) is None


def test_parts_of_games_are_for_the_forms_with_flows() -> None:
    policy = MLPPolicy(GAME, 8, log_flow=True)
    batch = Sampler(GAME).forward(policy, 6, generator=seeded())
    late = batch.part(batch.length - 1, batch.length)
    objective = AdversarialTrajectoryBalance()
    with pytest.raises(IncompatibleError, match="begin elsewhere. Use AdversarialDetailedBalance"):
        objective(objective.evaluate(GAME, policy, late))
    early = batch.truncate(torch.ones_like(batch.length))
    with pytest.raises(IncompatibleError, match="whole .*Use AdversarialDetailedBalance or Adv"):
        objective(objective.evaluate(GAME, policy, early))
    for cls in (AdversarialDetailedBalance, AdversarialSubTrajectoryBalance):
        assert float(cls()(cls().evaluate(GAME, policy, late)).detach()) > 0

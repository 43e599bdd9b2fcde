"""Modified sub-trajectory balance on texts that can be listed: LM-1, 2, 3, 11 and rules 1 to 3."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    FlowTerms,
    FunctionReward,
    TabularPolicy,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import Autoregressive
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph
from gflow.language import LookupTool, Text, TokenEnvironment
from gflow.objectives import ModifiedDetailedBalance, ModifiedSubTrajectoryBalance
from gflow.objectives.regression import Huber
from gflow.testing import all_trajectories


def texts(
    vocabulary: int, length: int, least: int = 0, seed: int = 0, tool: LookupTool | None = None
) -> TokenEnvironment:
    """Texts with a random table of log-rewards, the stop being token 1."""
    table = torch.randn(4096, generator=torch.Generator().manual_seed(seed)) * 2

    def reward(states: Text) -> Tensor:
        width = states.tokens.shape[1]
        code = ((states.tokens + 1) * 5 ** torch.arange(width)).sum(1)
        return table[code % len(table)]

    return TokenEnvironment(vocabulary, 1, FunctionReward(reward), length, least, tool=tool)


def solved(env: TokenEnvironment) -> tuple[StateGraph[Text], TabularPolicy, float]:
    graph = enumerate_states(env)
    flows = graph.exact_flows()
    return graph, TabularPolicy.solved(graph, flows), flows.log_z


@settings(max_examples=20)
@given(
    vocabulary=st.sampled_from([2, 3]),
    length=st.sampled_from([1, 2, 3]),
    least=st.sampled_from([0, 1]),
    seed=st.integers(0, 99),
    lam=st.sampled_from([0.5, 1.0]),
)
def test_the_optimum_has_no_residual(
    vocabulary: int, length: int, least: int, seed: int, lam: float
) -> None:
    """LM-1: all pairs and all estimates of log Z, on every text; probabilities sum to one."""
    env = texts(vocabulary, length, least, seed)
    _, policy, log_z = solved(env)
    batch = all_trajectories(env)
    objective = ModifiedSubTrajectoryBalance(lam)
    terms = objective.evaluate(env, policy, batch)
    assert float(objective.residual(terms).detach().abs().max()) < 1e-10
    torch.testing.assert_close(
        objective.log_z_estimate(terms).detach(), torch.full((len(batch),), float(log_z))
    )
    assert float(terms.log_pf.detach().sum(1).exp().sum()) == pytest.approx(1)


@pytest.mark.parametrize("least", [0, 1, 2])
@pytest.mark.parametrize("place", ["stop", "token"])
def test_one_wrong_logit_is_punished(least: int, place: str) -> None:
    """LM-2, also where the source may not stop and nothing but the root term connects texts."""
    env = texts(3, 3, least)
    graph, policy, _ = solved(env)
    batch = all_trajectories(env)
    objective = ModifiedSubTrajectoryBalance()
    assert float(objective(objective.evaluate(env, policy, batch)).detach()) < 1e-20
    action = env.stop_action if place == "stop" else 0
    choices = env.forward_mask(graph.states).sum(1) > 1
    rows = (choices & env.forward_mask(graph.states)[:, action]).nonzero().squeeze(1)
    for row in rows.tolist():
        with torch.no_grad():
            policy.forward_table[row, action] += 0.5
        assert float(objective(objective.evaluate(env, policy, batch)).detach()) > 1e-4
        with torch.no_grad():
            policy.forward_table[row, action] -= 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least", "pairs"),
    [(0, "all"), pytest.param(2, "all", marks=pytest.mark.slow), (1, "consecutive")],
)
def test_it_is_learned(least: int, pairs: Any) -> None:
    """LM-3, with rules 1 to 3: forced stops in the loss, masked ones left out, a root term."""
    env = texts(3, 3, least)
    graph = enumerate_states(env)
    policy = TabularPolicy(graph, "uniform")
    objective = ModifiedSubTrajectoryBalance(pairs=pairs)
    batch = all_trajectories(env)
    optimizer = torch.optim.Adam(policy.parameters(), 0.1)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.992)
    for _ in range(700):
        optimizer.zero_grad()
        objective(objective.evaluate(env, policy, batch)).backward()
        optimizer.step()
        decay.step()
    with torch.no_grad():
        found = evaluate(env, policy, batch).log_pf.sum(1).exp()
    target = batch.log_reward.softmax(0)
    assert float((found - target).abs().sum() / 2) < 1e-3


def test_the_stop_is_certain_where_nothing_else_is_left() -> None:
    """Rule 1: at the largest length the probability of the stop is 1 in what the loss reads."""
    env = texts(3, 2)
    policy = TabularPolicy(enumerate_states(env), "uniform")
    terms = evaluate(env, policy, all_trajectories(env), ModifiedSubTrajectoryBalance.needs)
    assert terms.log_stop is not None
    longest = terms.length == 3
    assert bool((terms.log_stop[longest, 2] == 0).all())
    assert bool((terms.log_stop[:, 0] < 0).all())


def test_consecutive_pairs_are_modified_detailed_balance() -> None:
    """LM-11."""
    env = texts(3, 3)
    graph = enumerate_states(env)
    policy = TabularPolicy(graph, "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=torch.Generator().manual_seed(3))
    batch = all_trajectories(env)
    mine, other = ModifiedSubTrajectoryBalance(pairs="consecutive"), ModifiedDetailedBalance()
    terms = evaluate(env, policy, batch, other.needs)
    torch.testing.assert_close(mine(terms), other(terms))


Pairs = dict[tuple[int, int], tuple[float, float]]


def by_hand(terms: FlowTerms, lam: float, row: int) -> tuple[Pairs, Tensor]:
    """Residuals and weights of the pairs of one trajectory, from the definition."""
    assert terms.state_log_reward is not None
    assert terms.log_stop is not None
    phi = terms.state_log_reward[row] - terms.log_stop[row]
    stops = [
        t
        for t in range(int(terms.length[row]))
        if bool(terms.log_stop[row, t] > -torch.inf)
    ]  # fmt: skip
    found: Pairs = {}
    for a, i in enumerate(stops):
        for b, j in enumerate(stops[a + 1 :], a + 1):
            gain = (terms.log_pf - terms.log_pb)[row, i:j].sum()
            found[i, j] = (float((phi[i] + gain - phi[j]).detach()), lam ** (b - a - 1))
    zeta = torch.stack([phi[t] - (terms.log_pf - terms.log_pb)[row, :t].sum() for t in stops])
    return found, zeta


@pytest.mark.parametrize(("lam", "pairs"), [(1.0, "all"), (0.5, "all"), (0.5, "consecutive")])
def test_the_loss_is_that_of_the_definition(lam: float, pairs: Any) -> None:
    """With a tool in the midst of texts, whose words are no states to stop in."""
    env = texts(4, 3, 1, tool=LookupTool({0: 2}))
    graph = enumerate_states(env)
    policy = TabularPolicy(graph, "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=torch.Generator().manual_seed(1))
    batch = all_trajectories(env)
    objective = ModifiedSubTrajectoryBalance(lam, pairs)
    terms = objective.evaluate(env, policy, batch)
    loss, total, zetas = 0.0, 0.0, []
    apart = 0
    for row in range(len(batch)):
        found, zeta = by_hand(terms, lam, row)
        zetas.append(zeta)
        for (i, j), (residual, weight) in found.items():
            if pairs == "consecutive" and weight != 1:
                continue
            apart += weight == 1 and j > i + 1
            loss, total = loss + weight * residual**2, total + weight
    assert apart  # states with the tool's words between them are next to each other
    every = torch.cat(zetas)
    root = (every - every.mean()).square().mean()
    torch.testing.assert_close(objective(terms), root + loss / total)


def test_estimates_are_compared_among_texts_of_one_prompt() -> None:
    env = texts(3, 2, 1)
    policy = TabularPolicy(enumerate_states(env), "uniform")
    terms = evaluate(env, policy, all_trajectories(env), ModifiedSubTrajectoryBalance.needs)
    objective = ModifiedSubTrajectoryBalance()
    which = torch.arange(len(terms.length)) % 2
    told = replace(terms, condition=which[:, None].double())
    estimate = objective.log_z_estimate(told).detach()
    for group in (0, 1):
        alone = objective.log_z_estimate(terms.select((which == group).nonzero().squeeze(1)))
        torch.testing.assert_close(estimate[which == group], alone.detach())
    assert float((estimate[0] - estimate[1]).abs()) > 1e-3
    known = replace(told, known_log_z=torch.full((len(which),), 7.0))
    torch.testing.assert_close(objective.log_z_estimate(known), torch.full((len(which),), 7.0))


def test_no_gradient_flows_through_the_mean() -> None:
    """The mean is no part of the network: stopping it changes no gradient of squares of one group,
    and keeps those of a robust loss the ones of its residuals."""
    env = texts(6, 1, 1)  # five texts: two and three on the sides of the mean
    policy = TabularPolicy(enumerate_states(env), "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=torch.Generator().manual_seed(4))
    objective = ModifiedSubTrajectoryBalance(regression=Huber(0.1))
    batch = all_trajectories(env)
    objective(objective.evaluate(env, policy, batch)).backward()
    assert policy.forward_table.grad is not None
    terms = objective.evaluate(env, policy, batch)
    assert terms.state_log_reward is not None
    assert terms.log_stop is not None
    zeta = terms.state_log_reward[:, 1] - terms.log_stop[:, 1] - terms.log_pf[:, 0]
    slope = (zeta - zeta.mean()).clamp(-0.1, 0.1).detach()
    (wanted,) = torch.autograd.grad((slope * zeta).mean(), policy.forward_table)
    ratio = policy.forward_table.grad[wanted != 0] / wanted[wanted != 0]
    torch.testing.assert_close(ratio, ratio[0].expand_as(ratio))


def test_cut_texts_keep_the_pairs_before_the_cut() -> None:
    env = texts(3, 3)
    policy = TabularPolicy(enumerate_states(env), "uniform")
    with torch.no_grad():
        policy.forward_table.normal_(generator=torch.Generator().manual_seed(2))
    batch = all_trajectories(env)
    objective = ModifiedSubTrajectoryBalance()
    whole = objective.evaluate(env, policy, batch)
    short = objective.evaluate(env, policy, batch.truncate(torch.full((len(batch),), 2)))
    got, full = objective.residual(short), objective.residual(whole)
    j = torch.triu_indices(whole.log_pf.shape[1] + 1, whole.log_pf.shape[1] + 1, 1)[1]
    kept = (j <= 2).nonzero().squeeze(1)
    mine = torch.triu_indices(short.log_pf.shape[1] + 1, short.log_pf.shape[1] + 1, 1)
    same = (mine[1] <= 2).nonzero().squeeze(1)
    torch.testing.assert_close(got[:, same], full[:, kept])
    assert int((full[:, kept] != 0).sum()) > 30


def test_grids_with_free_ends_and_refusals() -> None:
    objective = ModifiedSubTrajectoryBalance(0.7)
    endings: tuple[Literal["free", "forced"], ...] = ("free", "forced")
    for ending in endings:
        env = HyperGrid(2, 3, ending=ending)
        graph = enumerate_states(env)
        policy = TabularPolicy.solved(graph, graph.exact_flows())
        terms = objective.evaluate(env, policy, all_trajectories(env))
        assert float(objective.residual(terms).detach().abs().max()) < 1e-10
        # Where objects are finished by force, their own reward is what flows there.
        changed = objective(replace(terms, log_reward=terms.log_reward + 1)).detach()
        assert (float(changed) > 1e-3) == (ending == "forced")
    fixed = Autoregressive("ab", 2, FunctionReward(lambda s: s.double().sum(1)))
    with pytest.raises(IncompatibleError, match="stop_action"):
        objective.check(fixed)

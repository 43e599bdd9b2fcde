"""Exact outcome-conditioned flows (T3.1), their scale (T3.3), and what tables learn (T3.5)."""

import math

import pytest
import torch
from torch import Tensor

from gflow import DiscreteEnvironment, FunctionReward, enumerate_states
from gflow.envs import HyperGrid
from gflow.envs.sequences.env import PrependAppend
from gflow.exact.graph import StateGraph, group_logsumexp
from gflow.objectives import DetailedBalance
from gflow.outcomes import OutcomeConditioned, OutcomeTables, outcomes_of
from gflow.outcomes.tables import solved_flows
from gflow.state import take
from gflow.testing.enumeration import all_trajectories
from gflow.trajectories import Trajectories

WORDS = PrependAppend("AB", 3, FunctionReward(lambda s: (s == 0).sum(-1).double()))
ENVS = {"grid": HyperGrid(2, 3), "forced": HyperGrid(2, 4, ending="forced"), "words": WORDS}


class Told:
    """An environment told its objects, all its states, and a random P_B for each outcome."""

    def __init__(self, env: DiscreteEnvironment[Tensor], floor: float = 0.0) -> None:
        self.plain, self.env = env, OutcomeConditioned(env, floor=floor)
        self.graph: StateGraph[Tensor] = enumerate_states(self.env)
        self.objects = take(self.graph.states, self.graph.objects)
        self.outcomes = outcomes_of(self.env, self.objects)
        edges, generator = len(self.graph.parent), torch.Generator().manual_seed(0)
        weight = torch.randn(len(self.outcomes), edges, generator=generator)
        total = torch.zeros(len(self.outcomes), len(self.graph))
        total = total.index_add(1, self.graph.child, weight.exp()).log()
        self.log_pb = weight - total[:, self.graph.child]

    def reachable(self) -> Tensor:
        """(N, X) bool by powers of the matrix of moves."""
        moves = torch.eye(len(self.graph))
        moves[self.graph.parent, self.graph.child] = 1
        paths: Tensor = torch.linalg.matrix_power(moves, self.env.horizon)
        return paths[:, self.graph.objects] > 0

    def converted(self, log_flow: Tensor, log_pf: Tensor, log_stop: Tensor, r: Tensor) -> Tensor:
        """(X,) law of P(s'|s) = sum_y r F(s|y) P_F(s'|s, y) / sum_y r F(s|y), from flows (X, .)."""
        weight = r.log()[:, None] + log_flow
        total = weight.logsumexp(0)
        edge = (weight[:, self.graph.parent] + log_pf).logsumexp(0) - total[self.graph.parent]
        stop = (weight + log_stop).logsumexp(0) - total
        return self.graph.terminal_log_prob(edge, stop).exp()


@pytest.mark.parametrize("name", ENVS)
def test_flows_of_an_outcome_are_chances_of_the_walk_back_from_it(name: str) -> None:
    """T3.1: F(s0|y) = 1, y is reached with probability one, F(s|y) = 0 iff unreachable."""
    told = Told(ENVS[name])
    reachable = told.reachable()
    for row, flows in enumerate(solved_flows(told.graph, told.outcomes, told.log_pb)):
        assert flows.log_z == pytest.approx(0.0, abs=1e-12)
        reached = told.graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
        assert torch.allclose(reached, torch.eye(len(reached))[row], atol=1e-12)
        assert torch.equal(flows.log_flow > -torch.inf, reachable[:, row])
        # The same from the other side: a walk back from y, told P_B, comes through s.
        through = torch.full((len(told.graph),), -torch.inf)
        through[told.graph.objects[row]] = 0
        for edges in reversed(told.graph.levels_by_child):
            value = through[told.graph.child[edges]] + told.log_pb[row][edges]
            parents, group = torch.unique(told.graph.parent[edges], return_inverse=True)
            more = group_logsumexp(value, group, len(parents))
            through[parents] = torch.logaddexp(through[parents], more)
        assert torch.allclose(through.exp(), flows.log_flow.exp(), atol=1e-12)


@pytest.mark.parametrize("name", ENVS)
def test_flows_on_other_scales_convert_to_other_laws(name: str) -> None:
    """T3.3: with Z(y) = c_y in place of 1 the law is r c / sum(r c), and not r / Z."""
    told = Told(ENVS[name])
    solved = solved_flows(told.graph, told.outcomes, told.log_pb)
    parts = [
        torch.stack([getattr(f, k) for f in solved]) for k in ("log_flow", "log_pf", "log_stop")
    ]
    log_flow, log_pf, log_stop = parts
    generator = torch.Generator().manual_seed(1)
    r = torch.rand(len(solved), generator=generator)
    c = 0.2 + torch.rand(len(solved), generator=generator)
    law = told.converted(log_flow, log_pf, log_stop, r)
    assert torch.allclose(law, r / r.sum(), atol=1e-12)
    scaled = told.converted(log_flow + c.log()[:, None], log_pf, log_stop, r)
    assert torch.allclose(scaled, r * c / (r * c).sum(), atol=1e-12)
    assert float((scaled - law).abs().sum()) > 0.1


def successes(told: Told) -> Trajectories[Tensor]:
    """Every trajectory of the environment, told what it achieves."""
    every = all_trajectories(told.plain, 1000)
    outcomes = outcomes_of(told.env, every.final_states)
    return every.told(outcomes, told.env.target_log_reward(every.final_states, outcomes))


def minimise(policy: OutcomeTables, env: DiscreteEnvironment[Tensor], batch: Trajectories[Tensor],
             rounds: int = 100) -> float:  # fmt: skip
    """The smallest detailed-balance loss, by L-BFGS; logits of sure moves grow without end."""
    objective = DetailedBalance()
    solver = torch.optim.LBFGS(
        policy.parameters(),
        max_iter=rounds,
        tolerance_grad=1e-14,
        tolerance_change=0,
        history_size=50,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        solver.zero_grad()
        loss = objective(objective.evaluate(env, policy, batch))
        loss.backward()
        return float(loss.detach())

    for _ in range(5):
        loss = float(solver.step(closure))
    return loss


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grid", "words"])
def test_successes_alone_make_success_certain_where_the_source_is_anchored(name: str) -> None:
    """T3.5, T3.3: zero loss on all successes, so y is reached surely and conversion is exact."""
    told = Told(ENVS[name], floor=1e-6)
    policy = OutcomeTables(told.graph, told.outcomes)
    generator = torch.Generator().manual_seed(2)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    assert minimise(policy, told.env, successes(told)) < 1e-7
    reachable, parts = told.reachable(), []
    for row, outcome in enumerate(told.outcomes):
        asked = outcome[None]
        log_pf, log_stop = told.graph.log_pf(policy, asked)
        reached = told.graph.terminal_log_prob(log_pf, log_stop).exp()
        assert float(reached[row]) == pytest.approx(1.0, abs=2e-3)
        exact = told.graph.exact_flows(told.graph.log_pb(policy, asked), asked)
        log_flow = policy.flow_table[row].detach().clone()
        log_flow[0] = 0  # anchored, and not in the table
        ends = told.env.is_terminal(told.graph.states)  # likewise
        log_flow = log_flow.where(~ends, 0.0).where(reachable[:, row], -torch.inf)
        assert torch.allclose(log_flow.exp(), exact.log_flow.exp(), atol=1e-3)
        parts.append((log_flow, log_pf, log_stop))
    r = 0.1 + torch.rand(len(told.outcomes), generator=generator)
    log_flow, log_pf, log_stop = (torch.stack(p) for p in zip(*parts, strict=True))
    law = told.converted(log_flow, log_pf, log_stop, r)
    assert float((law - r / r.sum()).abs().sum()) / 2 < 1e-3


def test_without_the_anchor_successes_leave_the_scale_open() -> None:
    """What T3.3 guards: F(s0|y) = 2 balances all successes too, and y is reached half the time."""
    told = Told(HyperGrid(2, 3))
    policy = OutcomeTables.solved(told.graph, told.outcomes, told.log_pb)
    stop = told.env.num_actions - 1
    with torch.no_grad():  # all outcomes but the source itself: half of the moves there stop
        policy.flow_table[1:, 0] = math.log(2)
        policy.forward_table[1:, 0] -= math.log(2)
        policy.forward_table[1:, 0, stop] = -math.log(2)
    free = OutcomeConditioned(told.plain, floor=0.0, anchored=False)
    batch, objective = successes(told), DetailedBalance()
    policy.requires_grad_(False)
    assert float(objective(objective.evaluate(free, policy, batch))) < 1e-12
    rate = told.graph.terminal_distribution(policy, told.outcomes[4:5]).exp()[4]
    assert float(rate) == pytest.approx(0.5)
    assert float(objective(objective.evaluate(told.env, policy, batch))) > 0.05

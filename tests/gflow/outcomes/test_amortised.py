"""T3.4: the amortised predictor has the exact sums over outcomes as its only solution."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gflow import Sampler, TabularPolicy, TrainConfig, Trainer
from gflow.environment.discrete import DiscreteEnvironment
from gflow.environment.rewarded import with_reward
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import AnyOrder, Autoregressive, PrependAppend, VariableLength
from gflow.errors import IncompatibleError
from gflow.exact.graph import StateGraph, enumerate_states
from gflow.metrics import total_variation
from gflow.outcomes.amortised import Amortised
from gflow.outcomes.conditioned import OutcomeConditioned, outcomes_of
from gflow.outcomes.conversion import Converted, Outcomes
from gflow.outcomes.flows import OutcomeFlows
from gflow.outcomes.posterior import ListedPosterior, Moves, Posterior, SequencePosterior, drawn
from gflow.outcomes.tables import OutcomeTables
from gflow.rewards.base import FunctionReward
from gflow.state import take

ANY: FunctionReward[Tensor] = FunctionReward(lambda states: states.sum(-1) * 0.0)


class Solved:
    """Exact flows to outcomes, a reward, and the sums that conversion makes of them."""

    def __init__(self, env: DiscreteEnvironment[Any], seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        graph = enumerate_states(env)
        value = torch.randn(len(graph), generator=generator)
        self.target = with_reward(env, FunctionReward(lambda s: value[graph.rows(s)]))
        told = OutcomeConditioned(env, floor=0.0)
        self.graph = replace(graph, env=self.target)
        self.objects = take(graph.states, graph.objects)
        outcomes = outcomes_of(told, self.objects)
        log_pb = []
        for _ in outcomes:
            logits = 2 * torch.randn(len(graph), env.num_backward_actions, generator=generator)
            law = env.backward_law(graph.states, logits).table()
            log_pb.append(law[graph.child, graph.backward_action])
        tables = OutcomeTables.solved(replace(graph, env=told), outcomes, torch.stack(log_pb))
        self.flows = OutcomeFlows(tables, told)
        self.outcomes = Outcomes.of(self.target, told, self.objects)
        self.converted = Converted(self.flows, self.outcomes)

    def predictor(self) -> TabularPolicy:
        """N as tables, exact."""
        policy = TabularPolicy(self.graph, backward="uniform")
        said = self.converted(self.target, self.graph.states)
        policy.forward_table.data.copy_(said.forward_logits)
        assert said.log_flow is not None
        policy.flow_table.data.copy_(said.log_flow)
        return policy

    def shares(self) -> Tensor:
        """(N, A, K) exact log Q."""
        count, rows = len(self.outcomes), torch.arange(len(self.graph))
        found = self.flows(
            take(self.graph.states, rows.repeat_interleave(count)),
            self.outcomes.conditions.repeat(len(rows), 1),
        )
        weight = self.outcomes.log_weight.repeat(len(rows)) + found.log_flow
        table = (weight[:, None] + found.log_pf).view(len(rows), count, -1).transpose(1, 2)
        shares: Tensor = table.log_softmax(-1)
        return shares


class TablePosterior(Posterior):
    """Q as a table (N, A, K) of logits."""

    def __init__(self, solved: Solved, table: Tensor) -> None:
        super().__init__()
        self.graph, self.objects = solved.graph, solved.objects
        self.table = nn.Parameter(table.clone())

    def _law(self, moves: Moves) -> Tensor:
        logits: Tensor = self.table[self.graph.rows(moves.states), moves.actions]
        return logits.log_softmax(-1)

    def _sample(
        self, env: Any, moves: Moves, generator: Any, explore: float, number: int
    ) -> list[Any]:
        legal = torch.ones(len(moves), self.table.shape[2], dtype=torch.bool)
        law = self._law(moves)
        return [take(self.objects, drawn(law, legal, generator)) for _ in range(number)]

    def _log_prob(self, env: Any, moves: Moves, objects: Any) -> Tensor:
        place = torch.full((len(self.graph),), -1)
        place[self.graph.objects] = torch.arange(len(self.graph.objects))
        rows = torch.stack([place[self.graph.rows(some)] for some in objects], 1)
        return self._law(moves).gather(1, rows)


ENVIRONMENTS = [HyperGrid(2, 3), HyperGrid(2, 4, ending="forced"), AnyOrder("01", 2, ANY)]


@pytest.mark.parametrize("env", ENVIRONMENTS, ids=["stops", "forced", "any order"])
def test_exact_sums_and_shares_have_no_loss(env: DiscreteEnvironment[Any]) -> None:
    """T3.4: N the numerators of the conversion, Q the share of each outcome."""
    solved = Solved(env)
    posterior, policy = TablePosterior(solved, solved.shares()), solved.predictor()
    objective = Amortised(solved.flows, posterior, draws=3)
    batch = Sampler(solved.target).forward(policy, 200, generator=torch.Generator().manual_seed(0))
    terms = objective.evaluate(solved.target, policy, batch)
    assert objective.residual(terms).abs().max() < 1e-9
    assert objective(terms) < 1e-18
    for table in (policy.forward_table, policy.flow_table, posterior.table):
        before = table.detach().clone()
        table.data += torch.randn(table.shape, generator=torch.Generator().manual_seed(1)) * 0.1
        assert objective(objective.evaluate(solved.target, policy, batch)) > 1e-5
        table.data.copy_(before)


def wrong(solved: Solved) -> TablePosterior:
    """Q far from the shares, of the same outcomes."""
    shares = solved.shares()
    noise = torch.randn(shares.shape, generator=torch.Generator().manual_seed(5))
    return TablePosterior(solved, noise.where(shares > -100, -torch.inf))


@pytest.mark.parametrize("env", ENVIRONMENTS, ids=["stops", "forced", "any order"])
def test_draws_have_the_sum_as_their_mean_whatever_q_is(env: DiscreteEnvironment[Any]) -> None:
    """So N has its minimum at the sum while Q is wrong; residuals alone have it below."""
    solved = Solved(env)
    policy = solved.predictor()
    objective = Amortised(solved.flows, wrong(solved), draws=20_000)
    batch = Sampler(solved.target).forward(policy, 8, generator=torch.Generator().manual_seed(0))
    terms: Any = objective.evaluate(solved.target, policy, batch)
    log_n = (terms.log_flow[:, :-1] + terms.log_pf).detach()
    error = (terms.log_sum - log_n).where(terms.mask, 0.0)
    assert error.abs().max() < 0.1
    divergence = (terms.log_numerator - terms.log_posterior.detach() - log_n[..., None])[:, :, 1:]
    assert divergence.mean(-1).where(terms.mask, 0.0).min() < -0.3

    def slope() -> float:
        policy.zero_grad()
        extra = objective.extra(objective.evaluate(solved.target, policy, batch))
        assert extra is not None
        (found,) = torch.autograd.grad(extra.sum(), [policy.flow_table])
        return float(found.sum())

    assert abs(slope()) < 0.05
    delta = objective.residual(objective.evaluate(solved.target, policy, batch))
    assert delta.abs().max() > 0.3
    (none,) = torch.autograd.grad(delta.sum(), [policy.flow_table], allow_unused=True)
    assert none is None or not none.any()
    policy.flow_table.data += 0.2
    assert slope() > 0.2
    policy.flow_table.data -= 0.4
    assert slope() < -0.2


def test_how_errors_of_sums_are_punished() -> None:
    """w / N - 1 - log(w / N), linear where it is steep and a square where it is flat."""
    solved = Solved(HyperGrid(2, 3))
    policy = solved.predictor()
    objective = Amortised(solved.flows, TablePosterior(solved, solved.shares()))
    batch = Sampler(solved.target).forward(policy, 8, generator=torch.Generator().manual_seed(0))
    terms: Any = objective.evaluate(solved.target, policy, batch)

    def loss(error: float) -> float:
        found = objective.extra(replace(terms, log_sum=terms.log_sum + error))
        assert found is not None
        return float(found.detach().sum())

    assert abs(loss(0.0)) < 1e-12
    for error in (-1.5, -0.3, 0.4, 2.5):
        assert abs(loss(error) - 2 * (math.expm1(error) - error)) < 1e-9
    steps = [loss(3.0 + k) - loss(2.0 + k) for k in range(1, 4)]
    torch.testing.assert_close(steps, [2 * math.expm1(3.0)] * 3)
    bend = loss(-6.0) - 2 * loss(-5.0) + loss(-4.0)
    assert 2.0 < bend < 2.1


class Recording(ListedPosterior):
    """Keeps the first outcomes that it was asked about."""

    asked: Tensor

    def log_prob(self, env: Any, moves: Moves, objects: Any) -> Tensor:
        self.asked = objects[0]
        return super().log_prob(env, moves, objects)


@pytest.mark.parametrize("explore", [0.0, 1.0])
def test_outcomes_that_were_reached_give_way_to_even_ones(explore: float) -> None:
    solved = Solved(HyperGrid(2, 3))
    posterior, policy = Recording(solved.target, solved.objects, width=8), solved.predictor()
    batch = Sampler(solved.target).forward(policy, 900, generator=torch.Generator().manual_seed(0))
    objective = Amortised(solved.flows, posterior, explore=explore, draws=0)
    mask = objective.evaluate(solved.target, policy, batch).mask
    row, time = mask.nonzero(as_tuple=True)
    same = (posterior.asked == take(batch.final_states, row)).all(-1)
    child = take(batch.states, batch.state_index[row, time + 1])
    assert bool(same[time + 1 == batch.length[row]].all())
    assert bool((child <= posterior.asked).all())
    here = (time + 1 < batch.length[row]) & (child == torch.tensor([1, 0])).all(-1)
    if explore:
        count = posterior.asked[here].unique(dim=0, return_counts=True)[1]
        assert len(count) == 6  # all that the child leads to
        assert count.min() > 0.5 * count.max()
    else:
        assert bool(same.all())


def test_stops_are_learned_where_the_trajectory_went_on() -> None:
    solved = Solved(HyperGrid(2, 3))
    policy = solved.predictor()
    objective = Amortised(solved.flows, TablePosterior(solved, solved.shares()))
    batch = Sampler(solved.target).forward(policy, 60, generator=torch.Generator().manual_seed(0))
    batch = batch.select((batch.length == 4).nonzero().squeeze(1)[:1])
    terms = objective.evaluate(solved.target, policy, batch)
    assert objective(terms) < 1e-18
    rows = solved.graph.rows(take(batch.states, batch.state_index[0, :1]))
    with torch.no_grad():  # log N of the moves stays
        row, stop = int(rows[0]), solved.target.stop_action
        before = policy.forward_table[row].logsumexp(0)
        policy.forward_table[row, stop] += 1.0
        policy.flow_table[row] += policy.forward_table[row].logsumexp(0) - before
    terms = objective.evaluate(solved.target, policy, batch)
    assert float(objective.residual(terms).detach().abs().max()) < 1e-9
    torch.testing.assert_close(objective(terms) * terms.length.sum(), torch.tensor(1.0))


def test_the_sum_of_numerators_is_the_converted_flow() -> None:
    """T3.4: sum over a of N(a | s) is F_r(s), and the policy its share."""
    solved = Solved(HyperGrid(2, 4))
    said = solved.converted(solved.target, solved.graph.states)
    mask = solved.target.forward_mask(solved.graph.states)
    total = said.forward_logits.masked_fill(~mask, -torch.inf).logsumexp(-1)
    torch.testing.assert_close(total, said.log_flow)


@pytest.mark.slow
def test_trained_by_the_ordinary_trainer() -> None:
    """From nothing: N comes to the numerators, so that the policy samples the reward."""
    solved = Solved(HyperGrid(2, 3), seed=1)
    policy = TabularPolicy(solved.graph, backward="uniform")
    even = torch.zeros(()).where(solved.shares() > -100, -torch.inf)
    objective = Amortised(solved.flows, TablePosterior(solved, even), draws=1)
    config = TrainConfig(steps=250, batch_size=8, lr=0.1, lr_half_life=60, epsilon=0.2)
    Trainer(solved.target, policy, objective, config).train()
    learned = solved.graph.terminal_distribution(policy)
    assert total_variation(learned, solved.graph.log_target()) < 0.01
    exact = solved.predictor()
    torch.testing.assert_close(policy.flow_table, exact.flow_table, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "env",
    [Autoregressive("012", 3, ANY), AnyOrder("012", 3, ANY)],
    ids=["left to right", "any order"],
)
def test_sequences_are_completed_with_what_log_prob_says(env: AnyOrder) -> None:
    """Draws fill the blanks of the child, as often as log Q says; it sums to 1 over fillings."""
    torch.manual_seed(0)
    posterior = SequencePosterior(env, width=8)
    posterior.head.weight.data *= 6
    state = env.initial(1)
    child = env.step(state, torch.tensor([2]))
    every = enumerate_states(env)
    objects = take(every.states, every.objects)
    fits = ((child == env.blank) | (child == objects)).all(-1)
    reached = objects[fits]

    def moves(count: int) -> Moves:
        return Moves(
            state.expand(count, -1),
            torch.full((count,), 2),
            child.expand(count, -1),
            torch.zeros(count, dtype=torch.bool),
        )

    prob = posterior.log_prob(env, moves(len(reached)), [reached])[:, 0].exp()
    torch.testing.assert_close(prob.sum(), torch.tensor(1.0))
    assert prob.max() > 3 * prob.min()
    sample = torch.cat(
        posterior.sample(env, moves(5_000), torch.Generator().manual_seed(0), number=4)
    )
    share = (sample[:, None] == reached).all(-1).double().mean(0)
    torch.testing.assert_close(share, prob.detach(), atol=0.012, rtol=0)


def test_listed_outcomes_are_drawn_as_log_prob_says(monkeypatch: pytest.MonkeyPatch) -> None:
    env = HyperGrid(2, 3)
    monkeypatch.setattr(HyperGrid, "reaches", lambda env, states, y: (states <= y).all(-1))
    graph = enumerate_states(env)
    posterior = ListedPosterior(env, graph.states, width=8)
    posterior.head.weight.data *= 6
    child = torch.tensor([[1, 1]])
    reached = graph.states[(child <= graph.states).all(-1)]

    def moves(count: int) -> Moves:
        return Moves(
            torch.tensor([[0, 1]]).expand(count, -1),
            torch.zeros(count, dtype=torch.int64),
            child.expand(count, -1),
            torch.zeros(count, dtype=torch.bool),
        )

    prob = posterior.log_prob(env, moves(4), [reached])[:, 0].exp()
    torch.testing.assert_close(prob.sum(), torch.tensor(1.0))
    sample = torch.cat(
        posterior.sample(env, moves(5_000), torch.Generator().manual_seed(0), number=4)
    )
    share = (sample[:, None] == reached).all(-1).double().mean(0)
    torch.testing.assert_close(share, prob.detach(), atol=0.012, rtol=0)
    ended = replace(moves(1), ends=torch.ones(1, dtype=torch.bool))
    for seed in range(5):
        drawn_now = posterior.sample(env, ended, torch.Generator().manual_seed(seed))
        assert torch.equal(drawn_now[0], child)
    with pytest.raises(IncompatibleError, match="not among the 8 outcomes"):
        ListedPosterior(env, graph.states[1:]).index(env, graph.states[:1])


def test_moves_that_end_serve_what_they_reach() -> None:
    env = AnyOrder("01", 2, ANY)
    posterior = SequencePosterior(env, width=4)
    child = torch.tensor([[0, 1]])
    moves = Moves(torch.tensor([[0, 2]]), torch.tensor([3]), child, torch.tensor([True]))
    assert torch.equal(posterior.sample(env, moves, torch.Generator())[0], child)
    assert posterior.log_prob(env, moves, [child]).item() == 0.0


@pytest.mark.parametrize("kind", [PrependAppend, VariableLength])
def test_sequences_that_grow_otherwise_are_refused(kind: Any) -> None:
    with pytest.raises(IncompatibleError, match="fills_places"):
        SequencePosterior(kind("01", 3, ANY))


def test_evaluating_changes_no_draw_of_training() -> None:
    solved = Solved(HyperGrid(2, 3))
    objective = Amortised(solved.flows, TablePosterior(solved, solved.shares()))
    policy = solved.predictor()
    batch = Sampler(solved.target).forward(policy, 8, generator=torch.Generator().manual_seed(0))
    before = objective.state_dict()["_extra_state"].clone()
    with torch.no_grad():
        objective.evaluate(solved.target, policy, batch)
    assert torch.equal(before, objective.state_dict()["_extra_state"])
    objective.evaluate(solved.target, policy, batch)
    after = objective.state_dict()["_extra_state"]
    assert not torch.equal(before, after)
    objective.load_state_dict(objective.state_dict() | {"_extra_state": before})
    assert torch.equal(objective.get_extra_state(), before)


def test_the_frozen_flows_stay() -> None:
    solved = Solved(HyperGrid(2, 3))
    objective = Amortised(solved.flows, TablePosterior(solved, torch.zeros_like(solved.shares())))
    assert isinstance(solved.flows.policy, OutcomeTables)
    before = solved.flows.policy.flow_table.detach().clone()
    policy = TabularPolicy(StateGraph(**vars(solved.graph)), backward="uniform")
    Trainer(solved.target, policy, objective, TrainConfig(steps=3, batch_size=4)).train()
    assert torch.equal(before, solved.flows.policy.flow_table)

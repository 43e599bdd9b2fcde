"""Flow terms: what is in the table, what is not, and what the padding cannot do to it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gflow import (
    DiscreteEnvironment,
    MLPPolicy,
    Needs,
    Policy,
    PolicyOutput,
    Sampler,
    TabularPolicy,
    Trajectories,
    enumerate_states,
    evaluate,
)
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import IncompatibleError
from gflow.testing.strategies import random_dags

GRID = HyperGrid(2, 4)
ALL = Needs(log_flow=True, edge_flow=True, stop=True)


def scattered(env: DiscreteEnvironment[Any], seed: int = 0) -> TabularPolicy:
    policy = TabularPolicy(enumerate_states(env))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def sample(
    env: DiscreteEnvironment[Any], count: int, seed: int = 0, **options: Any
) -> Trajectories[Any]:
    flat = TabularPolicy(enumerate_states(env), "uniform")
    generator = torch.Generator().manual_seed(seed)
    return Sampler(env, **options).forward(flat, count, generator=generator)


@settings(max_examples=20)
@given(
    env=random_dags(),
    seed=st.integers(0, 99),
    backward=st.sampled_from(["learned", "uniform", "maxent"]),
)
def test_probabilities_are_those_of_the_tables_added_over_equal_moves(
    env: Any, seed: int, backward: Any
) -> None:
    """By hand: the share of exp(logit) over the legal actions that lead to the same state."""
    policy = scattered(env, seed)
    if backward != "learned":
        policy = TabularPolicy(policy.graph, backward)
        with torch.no_grad():
            policy.forward_table.normal_(generator=torch.Generator().manual_seed(seed))
    batch = sample(env, 6, seed)
    terms = evaluate(env, policy, batch)
    graph = policy.graph
    row = dict(zip(graph.states.tolist(), range(len(graph)), strict=True))  # of each state
    paths = graph.log_num_trajectories().exp()
    for k, n in enumerate(batch.length.tolist()):
        path = batch.states[batch.state_index[k, : n + 1]].tolist()
        for t in range(n):
            s, c = path[t], path[t + 1]
            stop = batch.actions[k, t] == env.stop_action
            legal = env.forward_mask(torch.tensor([s]))[0].nonzero().flatten().tolist()

            def leads(a: int, s: int = s) -> int | None:
                return None if a == env.stop_action else int(env._children[s, a])

            weight = policy.forward_table[row[s]].exp()
            target = None if stop else c
            there = sum((weight[a] for a in legal if leads(a) == target), torch.zeros(()))
            share = there / sum(weight[a] for a in legal)
            torch.testing.assert_close(terms.log_pf[k, t], share.log())
            wanted = torch.zeros(())
            if not stop:
                slots = env.backward_mask(torch.tensor([c]))[0].nonzero().flatten().tolist()
                parents = [int(env._parents[c, b]) for b in slots]
                if backward == "learned":
                    weight = policy.backward_table[row[c]].exp()
                    whole = sum(weight[b] for b in slots)
                    pairs = zip(slots, parents, strict=True)
                    part = sum((weight[b] for b, p in pairs if p == s), torch.zeros(()))
                    wanted = (part / whole).log()
                elif backward == "uniform":
                    wanted = -torch.tensor(float(len(set(parents)))).log()
                else:
                    wanted = (paths[row[s]] / paths[row[c]]).log()
            torch.testing.assert_close(terms.log_pb[k, t], wanted)
        assert bool((terms.log_pf[k, n:] == 0).all())
        assert bool((terms.log_pb[k, n:] == 0).all())


def test_a_state_with_one_parent_has_a_certain_move_back() -> None:
    env = HyperGrid(1, 6)
    for backward in ("learned", "uniform", "maxent"):
        policy = TabularPolicy(enumerate_states(env), backward)
        assert bool((evaluate(env, policy, sample(env, 8)).log_pb == 0).all())


@pytest.mark.parametrize("plan", ["ragged", "static"])
def test_garbage_after_the_end_reaches_neither_values_nor_gradients(plan: str) -> None:
    """Padding of a batch may point to any stored state and name any action, legal or not."""
    batch = sample(GRID, 12, plan=plan, share=False)
    generator = torch.Generator().manual_seed(1)
    outside = ~batch.mask

    def noise(table: Tensor, top: int) -> Tensor:
        return torch.randint(0, top, table.shape, generator=generator)

    after = torch.arange(batch.state_index.shape[1]) > batch.length[:, None]
    dirty = replace(
        batch,
        actions=batch.actions.where(~outside, noise(batch.actions, GRID.num_actions)),
        backward_actions=batch.backward_actions.where(
            ~outside, noise(batch.actions, GRID.num_backward_actions)
        ),
        state_index=batch.state_index.where(~after, noise(batch.state_index, batch.num_states)),
    )
    policy = scattered(GRID)
    clean_terms, dirty_terms = (
        evaluate(GRID, policy, batch, ALL),
        evaluate(GRID, policy, dirty, ALL),
    )
    loss = []
    for terms in (clean_terms, dirty_terms):
        assert terms.log_flow is not None
        assert terms.log_inflow is not None
        assert terms.log_outflow is not None
        total = torch.zeros(())
        for v in (
            terms.log_pf,
            terms.log_pb,
            terms.log_flow,
            terms.log_inflow,
            terms.log_outflow,
        ):
            total = total + (v**2).sum()
        loss.append(total)
    torch.testing.assert_close(loss[0], loss[1])
    for one, two in zip(
        *(torch.autograd.grad(x, list(policy.parameters())) for x in loss), strict=True
    ):
        torch.testing.assert_close(one, two)
        assert bool(one.isfinite().all())


class Garbage(Policy):
    """Absurd outputs wherever nothing may be read: after an object is finished by force."""

    has_log_flow = True

    def __init__(self, inner: Policy, env: DiscreteEnvironment[Any], fill: float) -> None:
        super().__init__()
        self.inner, self.env, self.fill = inner, env, fill

    def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
        out = self.inner(self.env, states)
        done, first = self.env.is_terminal(states), self.env.is_initial(states)
        return PolicyOutput(
            out.forward_logits.masked_fill(done[:, None], self.fill),
            out.backward_logits.masked_fill(first[:, None], self.fill),
            out.log_flow.masked_fill(done, self.fill),
        )


@pytest.mark.parametrize("fill", [1e30, -1e30, 12.0])
def test_outputs_for_finished_objects_are_not_read(fill: float) -> None:
    """FL-3: log R stands in place of the head; what the network says there changes nothing."""
    env = HyperGrid(2, 4, ending="forced")
    policy = scattered(env)
    batch = sample(env, 20)
    needs = Needs(log_flow=True, edge_flow=True)
    plain, odd = (evaluate(env, p, batch, needs) for p in (policy, Garbage(policy, env, fill)))
    for name in ("log_pf", "log_pb", "log_flow", "log_inflow", "log_outflow"):
        torch.testing.assert_close(getattr(plain, name), getattr(odd, name))
    total = sum(getattr(odd, name).sum() for name in ("log_pf", "log_pb", "log_flow", "log_inflow"))
    for gradient in torch.autograd.grad(total, list(policy.parameters())):
        assert bool(gradient.isfinite().all())


def test_the_end_is_anchored_at_the_reward_and_only_there() -> None:
    batch = sample(GRID, 10)
    policy = scattered(GRID)
    terms = evaluate(GRID, policy, batch, Needs(log_flow=True, edge_flow=True))
    assert terms.log_flow is not None
    assert terms.log_outflow is not None
    head = policy.flow_table[policy.graph.rows(batch.states)][batch.state_index]
    for k, n in enumerate(batch.length.tolist()):
        assert terms.log_flow[k, n] == batch.log_reward[k]
        assert terms.log_outflow[k, n] == batch.log_reward[k]
        torch.testing.assert_close(terms.log_flow[k, :n], head[k, :n])
        assert bool((terms.log_flow[k, n + 1 :] == 0).all())
    cut = evaluate(GRID, policy, batch.truncate(batch.length - 1), Needs(log_flow=True))
    assert cut.log_flow is not None
    last = (batch.length - 1)[:, None]
    torch.testing.assert_close(cut.log_flow.gather(1, last), head.gather(1, last))


def test_only_what_is_needed_is_computed() -> None:
    terms = evaluate(GRID, scattered(GRID), sample(GRID, 4))
    for name in ("log_flow", "log_inflow", "log_outflow", "state_log_reward", "log_stop"):
        assert getattr(terms, name) is None
    with_all = evaluate(GRID, scattered(GRID), sample(GRID, 4), ALL)
    for name in ("log_flow", "log_inflow", "log_outflow", "state_log_reward", "log_stop"):
        assert getattr(with_all, name).shape == (4, with_all.log_pf.shape[1] + 1)
    torch.testing.assert_close(with_all.log_pf, terms.log_pf)
    torch.testing.assert_close(with_all.log_pb, terms.log_pb)


def test_stores_with_and_without_repetitions_give_the_same_terms() -> None:
    actions = sample(GRID, 40)
    policy = scattered(GRID)
    found = [
        evaluate(
            GRID, policy, Sampler(GRID, share=share).along(actions.actions, actions.length), ALL
        )
        for share in (True, False)
    ]
    for name, value in vars(found[0]).items():
        if isinstance(value, Tensor):
            torch.testing.assert_close(value, getattr(found[1], name))


def test_the_log_weight_is_reward_and_back_less_forth() -> None:
    terms = evaluate(GRID, scattered(GRID), sample(GRID, 5))
    wanted = terms.log_reward + terms.log_pb.sum(1) - terms.log_pf.sum(1)
    torch.testing.assert_close(terms.log_weight, wanted)


def test_a_missing_head_is_named() -> None:
    policy = MLPPolicy(GRID, 8)
    with pytest.raises(IncompatibleError, match=r"MLPPolicy was built without.*log_flow=True"):
        evaluate(GRID, policy, sample(GRID, 3), Needs(log_flow=True))

    class Silent(Policy):
        def forward(self, env: Any, states: Any, condition: Tensor | None = None) -> PolicyOutput:
            return PolicyOutput(torch.zeros(len(states), 3))

    with pytest.raises(IncompatibleError, match="Silent declares a learned backward policy"):
        evaluate(GRID, Silent(), sample(GRID, 3))

"""The network that compares states with outcomes, and what is known in place of what it says."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow.envs.grids.hypergrid import HyperGrid
from gflow.envs.sequences.env import AnyOrder
from gflow.exact.graph import enumerate_states
from gflow.outcomes.conditioned import OutcomeConditioned
from gflow.outcomes.flows import NEAR, OutcomeFlows
from gflow.outcomes.policy import OutcomePolicy
from gflow.outcomes.tabulated import PairTable
from gflow.rewards.base import FunctionReward
from gflow.state import take

ANY: FunctionReward[Tensor] = FunctionReward(lambda states: states.sum(-1) * 0.0)


def network(env: Any, backward: Any = "uniform") -> OutcomePolicy:
    torch.manual_seed(0)
    policy = OutcomePolicy(env, 16, 2, backward, log_flow=1)
    with torch.no_grad():
        policy.head.weight.mul_(5)
    return policy


def read(policy: OutcomePolicy, env: Any, state: list[int], outcome: list[int]) -> set[int]:
    """Rows of the table that a pair reads."""
    told = torch.tensor([outcome], dtype=torch.get_default_dtype())
    said = policy.trunk(env, torch.tensor([state]), told)
    pull = torch.autograd.grad(said.square().sum(), policy.table)[0]
    return set(pull.abs().sum(1).nonzero().flatten().tolist())


def test_pairs_as_far_apart_share_a_row_and_have_one_of_their_own() -> None:
    """Of two features: pair, difference, state and outcome each have rows; no two mean the same."""
    env = OutcomeConditioned(HyperGrid(2, 4))
    policy = network(env)
    assert len(policy.table) == 2 * (16 + 7 + 4 + 4)
    first = read(policy, env, [0, 1], [1, 3])
    assert len(first) == 8
    # The first feature as far apart elsewhere, the second all different: one row in common.
    assert len(first & read(policy, env, [1, 3], [2, 0])) == 1
    assert len(first & read(policy, env, [0, 1], [1, 2])) == 4 + 1  # the first, and s of the second
    assert len(first & read(policy, env, [3, 1], [1, 0])) == 2  # y of the first, s of the second
    assert not read(policy, env, [0, 0], [2, 3]) & read(policy, env, [2, 3], [0, 0])  # back
    assert not first & read(policy, env, [1, 0], [3, 1])  # the features the other way round
    rows = [read(policy, env, s, s) for s in ([0, 0], [3, 3])]
    extremes = [read(policy, env, [0, 0], [3, 3]), read(policy, env, [3, 3], [0, 0])]
    assert {0, len(policy.table) - 1} <= set().union(*rows, *extremes)


def flows_of(env: Any, backward: Any = "uniform") -> OutcomeFlows:
    return OutcomeFlows(network(env, backward), env)


def test_at_the_only_object_of_an_outcome_nothing_is_left_but_the_stop() -> None:
    """F(y | y) = R = 1 whatever the network says; not where other objects have the outcome too."""
    env = OutcomeConditioned(HyperGrid(2, 3))
    states = enumerate_states(env).states
    found = flows_of(env)(states, states.to(torch.get_default_dtype()))
    torch.testing.assert_close(found.log_flow, torch.zeros(9))
    assert torch.equal(found.log_pf, torch.tensor([-torch.inf, -torch.inf, 0.0]).expand(9, 3))
    other = flows_of(env)(states[:1].expand(8, -1), states[1:].to(torch.get_default_dtype()))
    assert (other.log_pf[:, :2] > -torch.inf).all()
    shared = OutcomeConditioned(
        HyperGrid(2, 3),
        outcome=lambda s: s.sum(-1, keepdim=True).double(),
        log_count=lambda y: torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0])[y[:, 0].long()].log(),
    )

    class Even(torch.nn.Module):
        has_log_flow, backward = True, "uniform"

        def forward(self, env: Any, states: Tensor, condition: Tensor) -> Any:
            from gflow.policies.base import PolicyOutput

            return PolicyOutput(torch.zeros(len(states), 3), None, torch.full((len(states),), 2.0))

    flows = OutcomeFlows(Even(), shared)  # type: ignore[arg-type]
    mine = flows(states, states.sum(-1, keepdim=True).double())
    alone = (states.sum(-1) == 0) | (states.sum(-1) == 4)
    torch.testing.assert_close(mine.log_flow, torch.where(alone, 0.0, 2.0))
    assert bool((mine.log_pf[~alone][:, 2] > -torch.inf).all())


@pytest.mark.parametrize("backward", ["uniform", "learned"])
@pytest.mark.parametrize(
    "env", [HyperGrid(2, 4), HyperGrid(2, 4, ending="forced"), AnyOrder("012", 3, ANY)],
    ids=["stops", "forced", "any order"],
)  # fmt: skip
def test_moves_carry_the_mean_of_what_both_ends_say(env: Any, backward: Any) -> None:
    """For a network that agrees with itself nowhere: as the table of all pairs has it."""
    told = OutcomeConditioned(env)
    flows = flows_of(told, backward)
    graph = enumerate_states(told)
    table = PairTable(graph, flows, take(graph.states, graph.objects))
    one = PairTable(graph, flows, take(graph.states, graph.objects), both_ends=False)
    pair = torch.arange(len(table.rows)).repeat_interleave(env.num_actions)
    actions = torch.arange(env.num_actions).repeat(len(table.rows))
    means = table.found.log_pf.flatten()
    kept = means > -torch.inf
    pair, actions, means = pair[kept], actions[kept], means[kept]
    states, outcomes = take(graph.states, table.rows[pair]), table.conditions[table.which[pair]]
    stops = actions == (-1 if env.stop_action is None else env.stop_action)
    goes, children = (~stops).nonzero().squeeze(1), states.clone()
    children[goes] = told.step(states[goes], actions[goes])
    carried = flows.carried(states, actions, children, outcomes)
    torch.testing.assert_close(carried, means + table.found.log_flow[pair])
    here = one.found.log_pf.flatten()[kept] + one.found.log_flow[pair]
    torch.testing.assert_close(carried[stops], here[stops])
    there = (carried - (1 - NEAR) * here) / NEAR
    assert (there - here)[~stops].abs().max() > 0.5
    ended = goes[told.is_terminal(children[goes])]
    if len(ended) and backward == "uniform":  # R is 1, and all that is left to say is P_B
        parents = told.backward_mask(children[ended]).sum(-1)
        torch.testing.assert_close(there[ended], -parents.double().log())

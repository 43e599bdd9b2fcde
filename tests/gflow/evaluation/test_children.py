"""Flows of all children: what objectives with expectations read."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gflow import MLPPolicy
from gflow.environment.movers import AGENT, CHANCE, player_index
from gflow.envs.sequences.env import VariableLength
from gflow.errors import ConfigError, IncompatibleError
from gflow.evaluation.evaluate import evaluate
from gflow.exact.graph import enumerate_states
from gflow.exact.tabular import TabularPolicy
from gflow.rewards.base import FunctionReward
from gflow.rewards.wrappers import TemperatureConditional
from gflow.sampling.sampler import Sampler
from gflow.terms import FlowTerms, Needs
from gflow.testing import TableEnvironment
from gflow.testing.slipping import SlippingGrid
from gflow.trajectories import Trajectories

LOG_REWARD = [0, 0, 0, 0.7, 1.1, 0.2, 1.4]
CHILDREN = [[1, 2], [3, 4, -1], [5, 6], [], [], [], []]
LAWS = [[], [0.5, 0.5], [0.9, 0.1], [], [], [], []]


def random_policy(env: TableEnvironment | SlippingGrid, flows: int = 1) -> TabularPolicy:
    policy = TabularPolicy(enumerate_states(env), flows=flows)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=generator)
    return policy


def visited(env: TableEnvironment | SlippingGrid, policy: TabularPolicy) -> Trajectories[Tensor]:
    return Sampler(env).forward(policy, 40, generator=torch.Generator().manual_seed(1))


def by_hand(
    env: TableEnvironment | SlippingGrid,
    policy: TabularPolicy,
    trajectories: Trajectories[Tensor],
    terms: FlowTerms,
    chance_alone: bool,
) -> int:
    """Compare each entry with one computed for that state and that action alone."""
    flow, prob = terms.child_log_flow, terms.child_log_prob
    assert flow is not None
    assert prob is not None
    compared = 0
    for row in range(len(trajectories)):
        for t in range(int(trajectories.length[row])):
            state = trajectories.states_at(t)[row : row + 1]
            mover = env.mover(state)
            legal = env.forward_mask(state)[0]
            law = env.law(state, policy.forward_logits(env, state)).table()[0]
            for action in range(env.num_actions):
                asked = not chance_alone or (mover is not None and int(mover) == CHANCE)
                if not (bool(legal[action]) and asked):
                    assert float(flow[row, t, action].detach().max()) == -torch.inf
                    assert float(prob[row, t, action].detach()) == -torch.inf
                    continue
                expected = state_flow(env, policy, state, action)
                assert torch.allclose(flow[row, t, action], expected, atol=1e-12)
                assert torch.allclose(prob[row, t, action], law[action], atol=1e-12)
                compared += 1
    return compared


def state_flow(
    env: TableEnvironment | SlippingGrid, policy: TabularPolicy, state: Tensor, action: int
) -> Tensor:
    several = policy.flow_table.dim() > 1
    worth: Any = env.player_log_reward if several else env.target_log_reward
    if action == env.stop_action:
        flow: Tensor = worth(state)
    else:
        child = env.step(state, torch.tensor([action]))
        flow = worth(child) if bool(env.is_terminal(child)) else policy(env, child).log_flow
    return flow[0]


@pytest.mark.parametrize("which", ["chance", "all"])
def test_children_of_a_table(which: str) -> None:
    env = TableEnvironment(
        CHILDREN, LOG_REWARD, movers=[AGENT, CHANCE, CHANCE] + [AGENT] * 4, chance=LAWS
    )
    policy = random_policy(env)
    trajectories = visited(env, policy)
    needs = Needs(log_flow=True, children="all" if which == "all" else "chance")
    terms = evaluate(env, policy, trajectories, needs)
    assert by_hand(env, policy, trajectories, terms, which == "chance") >= 80


def test_children_where_objects_end_by_stopping() -> None:
    env = SlippingGrid(slip=0.3)
    policy = random_policy(env)
    trajectories = visited(env, policy)
    terms = evaluate(env, policy, trajectories, Needs(log_flow=True, children="all"))
    assert by_hand(env, policy, trajectories, terms, False) >= 80


def test_children_of_players_have_a_flow_for_each() -> None:
    three = torch.tensor(LOG_REWARD)[:, None] * torch.tensor([1.0, 0.5, -2.0])
    for movers, log_reward, players in (
        ([1, -1, -1], LOG_REWARD, 2),
        ([1, 3, CHANCE], three, 3),
    ):
        env = TableEnvironment(CHILDREN, log_reward, movers=[*movers, 0, 0, 0, 0])
        assert env.num_players == players
        policy = random_policy(env, players)
        trajectories = visited(env, policy)
        needs = Needs(log_flow=True, player_flow=True, children="all", log_pb=False)
        assert needs.flows(env) == players
        terms = evaluate(env, policy, trajectories, needs)
        assert by_hand(env, policy, trajectories, terms, False) >= 80
        assert terms.log_flow is not None
        assert terms.log_flow.shape[2] == players
        ends = terms.log_flow[torch.arange(len(terms.length)), terms.length]
        assert torch.equal(ends, env.player_log_reward(trajectories.final_states))


def test_two_players_have_opposite_rewards() -> None:
    env = TableEnvironment(CHILDREN, LOG_REWARD, movers=[1, -1, -1, 0, 0, 0, 0])
    found = env.player_log_reward(torch.tensor([3, 6]))
    assert found.tolist() == [[0.7, -0.7], [1.4, -1.4]]


def test_children_look_forward_as_visited_states_do() -> None:
    """The head is log F + E: at a child it stands for the same flow as where the child is left."""
    env = TableEnvironment(
        [[1, 2], [3, 4], [5], [], [], []],
        [0.3, -0.8, 1.7, 0.7, 1.1, 0.2],
        movers=[CHANCE] + [0] * 5,
    )
    policy = random_policy(env)
    trajectories = visited(env, policy)
    needs = Needs(log_flow=True, energy=True, children="all")
    terms = evaluate(env, policy, trajectories, needs)
    assert terms.child_log_flow is not None
    assert terms.log_flow is not None
    taken = terms.child_log_flow.gather(2, trajectories.actions[:, :, None]).squeeze(2)
    assert torch.allclose(taken, terms.log_flow[:, 1:])
    first = trajectories.states_at(1)
    assert torch.allclose(taken[:, 0], policy.flow_table[first] + env.partial_log_reward(first))


def test_children_have_the_condition_of_their_trajectory() -> None:
    """Of stops too: with a temperature of its own each trajectory is paid by that."""
    ones: FunctionReward[Tensor] = FunctionReward(lambda s: (s == 1).sum(-1).double())
    env = VariableLength("ab", 3, TemperatureConditional(ones), min_length=2)
    generator = torch.Generator().manual_seed(0)
    policy = MLPPolicy(env, 8, 1, log_flow=True, generator=generator)
    condition = torch.rand(20, 1, generator=generator) + 0.5
    trajectories = Sampler(env).forward(policy, 20, condition=condition, generator=generator)
    terms = evaluate(env, policy, trajectories, Needs(log_flow=True, children="all"))
    assert terms.child_log_flow is not None
    assert terms.log_flow is not None
    assert len(set(trajectories.length.tolist())) > 1
    for t in range(int(trajectories.length.max())):
        rows = (t < trajectories.length).nonzero().squeeze(1)
        states, given = trajectories.states_at(t)[rows], condition[rows]
        stops = env.target_log_reward(states, given) + (0.0 if t > 1 else -torch.inf)
        assert torch.allclose(terms.child_log_flow[rows, t, env.stop_action], stops)
    taken = terms.child_log_flow.gather(2, trajectories.actions[:, :, None]).squeeze(2)
    assert torch.allclose(taken[terms.mask], terms.log_flow[:, 1:][terms.mask])


def test_gradients_reach_children_that_were_not_visited() -> None:
    env = TableEnvironment(
        [[1, 2], [3, 4], [5], [6], [6], [6], []],
        [0.0] * 7,
        movers=[CHANCE] + [AGENT] * 6,
        chance=[[1.0, 1e-9]] + [[]] * 6,
    )
    policy = random_policy(env)
    trajectories = visited(env, policy)
    assert int(trajectories.states_at(1).max()) == 1  # state 2 is never visited
    terms = evaluate(env, policy, trajectories, Needs(log_flow=True, children="chance"))
    assert terms.child_log_flow is not None
    terms.child_log_flow[:, 0].sum().backward()
    assert policy.flow_table.grad is not None
    assert policy.flow_table.grad[[1, 2]].tolist() == [40.0, 40.0]


def test_branching_counts_moves_that_differ() -> None:
    env = TableEnvironment(
        [[1, 1, 2], [3, 2], [3, 3], []],
        [0, 0, -0.6, 1.1],
        [False, False, True, False],
        movers=[1, -1, 1, 1],
    )
    policy = random_policy(env)
    trajectories = visited(env, policy)
    terms = evaluate(env, policy, trajectories, Needs(branching=True))
    assert terms.log_branching is not None
    number = torch.tensor([2.0, 2.0, 2.0, 1.0])  # of states; of the third: its one child, or a stop
    for t in range(terms.log_branching.shape[1]):
        there = t < terms.length
        expected = number[trajectories.states_at(t)].log().where(there, 0.0)
        assert torch.allclose(terms.log_branching[:, t], expected)


def test_one_flow_where_players_need_each_their_own_is_refused() -> None:
    env = TableEnvironment(CHILDREN, LOG_REWARD, movers=[1, -1, -1, 0, 0, 0, 0])
    policy = random_policy(env)
    with pytest.raises(IncompatibleError, match=r"needs 2 log-flow\(s\)"):
        evaluate(env, policy, visited(env, policy), Needs(log_flow=True, player_flow=True))


def test_players_are_counted_from_zero() -> None:
    assert player_index(torch.tensor([AGENT, 1, -1, 2, 5])).tolist() == [0, 0, 1, 1, 4]


@pytest.mark.parametrize(
    "chance", [[[], [0.5, -0.5]], [[], [0.0, 0.0]], [[], [0.2, 0.3, 0.5]]], ids=str
)
def test_tables_refuse_what_is_no_probability(chance: list[list[float]]) -> None:
    with pytest.raises(ConfigError, match="state 1 is chance's"):
        TableEnvironment(
            CHILDREN, LOG_REWARD, movers=[0, CHANCE] + [0] * 5, chance=[*chance, *[[]] * 5]
        )

"""Exact solutions of games, against recursions written out in plain numbers."""

import math
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gflow import enumerate_states
from gflow.environment.movers import AGENT, CHANCE
from gflow.envs.grids.hypergrid import HyperGrid
from gflow.errors import IncompatibleError, RewardError, ShapeError
from gflow.exact import (
    adversarial_flows,
    minimax,
    optimal_actions,
    optimal_moves,
    player_flows,
)
from gflow.testing import TableEnvironment
from gflow.testing.strategies import random_games, random_trees

LEAVES = torch.tensor([1, 1, 1, 4, 1, 2, 2.0], dtype=torch.float64).log()
MICRO = TableEnvironment(
    [[1, 2], [3, 4], [5, 6], [], [], [], []], LEAVES, movers=[1, -1, -1, 1, 1, 1, 1]
)
"""Player 1 picks L or R, player -1 a leaf of it: 4 or 1, 2 or 2."""
UNEVEN = TableEnvironment(
    [[1, 2], [3, 4, 5], [6], [], [], [], []],
    [0, 0, 0, 1.0, -1.0, 0.5, 0.2],
    movers=[1, 1, -1, 1, 1, 1, 1],
)
"""Player 1 may keep the move and choose among three, or leave player -1 a single one."""
STOPPING = TableEnvironment(
    [[1, 1, 2], [3], [3], []],
    [0.5, -1.0, 2.0, 0.25],
    stops=[True, True, False, False],
    movers=[1, -1, 1, 1],
)
"""Two actions to one child, stops beside moves, an end by force."""


class ByHand:
    """Solutions by recursion over children, in probabilities and flows instead of their logs."""

    def __init__(self, env: TableEnvironment) -> None:
        self.env = env
        self.graph = enumerate_states(env)
        self.mover = env._movers.tolist()  # type: ignore[union-attr]
        self.children: list[list[int]] = [sorted({c for c in row if c >= 0}) for row in
                                          env._children.tolist()]  # fmt: skip
        reward = env.player_log_reward(torch.arange(len(self.mover))).exp()
        self.reward = [tuple(row) for row in reward.tolist()]
        self.stops = env._stops.tolist()
        self.flow = cache(self._flow)
        self.flows = cache(self._flows)

    def ends(self, s: int) -> list[Any]:
        """What can be reached from s: children, and -1 - s for the end by a stop."""
        return [*self.children[s], *([-1 - s] if self.stops[s] else [])]

    def over(self, s: int) -> bool:
        return s < 0 or not self.ends(s)

    def _flow(self, s: int) -> float:
        """Arithmetic or harmonic mean of the children."""
        if self.over(s):
            return float(self.reward[s if s >= 0 else -1 - s][0])
        values = [self.flow(c) for c in self.ends(s)]
        if self.mover[s] == -1:
            return len(values) / sum(1 / v for v in values)
        return sum(values) / len(values)

    def policy(self, s: int) -> list[float]:
        """In proportion to the flow of the children, or to one over it."""
        values = [self.flow(c) for c in self.ends(s)]
        if self.mover[s] == -1:
            values = [1 / v for v in values]
        return [v / sum(values) for v in values]

    def chance(self, s: int) -> list[float]:
        row = self.env._chance[s].exp().tolist()
        moves = self.env._children[s].tolist()
        return [sum(p for p, m in zip(row, moves, strict=True) if m == c) for c in self.ends(s)]

    def turn(self, s: int) -> int | None:
        mover = self.mover[s]
        return None if mover == CHANCE else 1 if mover == -1 else mover - 1

    def _flows(self, s: int) -> tuple[float, ...]:
        """The flow of each player: the sum where they move, else the mean by who does."""
        if self.over(s):
            return self.reward[s if s >= 0 else -1 - s]
        ahead = [self.flows(c) for c in self.ends(s)]
        turn, share = self.turn(s), self.shares(s)
        return tuple(
            sum(row[i] for row in ahead)
            if i == turn
            else sum(p * row[i] for p, row in zip(share, ahead, strict=True))
            for i in range(len(ahead[0]))
        )

    def shares(self, s: int) -> list[float]:
        turn = self.turn(s)
        if turn is None:
            return self.chance(s)
        own = [self.flows(c)[turn] for c in self.ends(s)]
        return [v / sum(own) for v in own]

    def states(self) -> list[int]:
        return self.graph.states.tolist()

    def inner(self) -> list[int]:
        return [s for s in self.states() if self.ends(s)]

    def table(self, flows: Any) -> dict[tuple[int, int], float]:
        """Probability of each move of exact flows: (state, child), or (s, -1 - s) for a stop."""
        graph, found = self.graph, {}
        names = graph.states.tolist()
        edges = zip(graph.parent.tolist(), graph.child.tolist(), flows.log_pf.tolist(), strict=True)
        for parent, child, log_prob in edges:
            found[names[parent], names[child]] = math.exp(log_prob)
        for row, log_stop in enumerate(flows.log_stop.tolist()):
            if self.stops[names[row]]:
                found[names[row], -1 - names[row]] = math.exp(log_stop)
        return found


def same(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=torch.float64),
        torch.as_tensor(wanted, dtype=torch.float64),
        atol=1e-12,
        rtol=1e-12,
    )


# ---------------------------------------------------------------------- one flow for both


def test_the_small_example_has_the_flows_of_the_text() -> None:
    """T2.1: the micro-example of spec 2.2."""
    graph = enumerate_states(MICRO)
    found = adversarial_flows(graph)
    same(found.log_flow[:3].exp(), [1.8, 1.6, 2.0])
    same(found.log_pf.exp(), [4 / 9, 5 / 9, 0.2, 0.8, 0.5, 0.5])
    same(math.exp(found.log_z), 1.8)
    both = player_flows(graph)
    same(both.log_flow[:3].exp(), [[3.6, 10 / 9], [1.6, 1.25], [2.0, 1.0]])
    same(both.log_pf, found.log_pf)
    same(both.log_z, math.log(3.6))


def test_stops_count_as_moves_and_equal_children_once() -> None:
    """By hand: F(1) is the harmonic mean of e^-1 and e^0.25, F(0) the mean of three."""
    graph = enumerate_states(STOPPING)
    found = adversarial_flows(graph)
    last, stop, two = math.exp(0.25), math.exp(-1), math.exp(0.25)
    one = 2 / (1 / stop + 1 / last)
    zero = (math.exp(0.5) + one + two) / 3
    same(found.log_flow.exp(), [zero, one, two, last])
    same(found.log_stop.exp(), [math.exp(0.5) / 3 / zero, one / stop / 2, 0, 1])


@pytest.mark.slow
@settings(max_examples=60)
@given(env=st.one_of(random_games(), random_trees((1, -1))))
def test_one_flow_is_the_mean_or_the_harmonic_mean_of_the_children(env: TableEnvironment) -> None:
    """T2.1 and T2.2: the recursion, and policies in proportion to F or 1 / F of the children."""
    hand = ByHand(env)
    found = adversarial_flows(hand.graph)
    same(found.log_flow.exp(), [hand.flow(s) for s in hand.states()])
    same(found.log_z, math.log(hand.flow(0)))
    moves = hand.table(found)
    for s in hand.inner():
        same([moves[s, c] for c in hand.ends(s)], hand.policy(s))


@settings(max_examples=40)
@given(env=random_games())
def test_a_flow_is_the_reward_expected_by_who_moves_evenly(env: TableEnvironment) -> None:
    """T2.2: F = E[R_1 | own moves even, the opponent's by their policy], and 1 / F likewise."""
    hand = ByHand(env)
    moves = hand.table(adversarial_flows(hand.graph))

    @cache
    def expected(s: int, me: int) -> float:
        if hand.over(s):
            reward = float(hand.reward[s if s >= 0 else -1 - s][0])
            return reward if me == 1 else 1 / reward
        ends = hand.ends(s)
        mine = hand.mover[s] == me
        share = [1 / len(ends) if mine else moves[s, c] for c in ends]
        return sum(p * expected(c, me) for p, c in zip(share, ends, strict=True))

    same([expected(s, 1) for s in hand.states()], [hand.flow(s) for s in hand.states()])
    same([expected(s, -1) for s in hand.states()], [1 / hand.flow(s) for s in hand.states()])


@pytest.mark.slow
@settings(max_examples=40)
@given(env=random_games())
def test_players_who_change_places_invert_the_flow(env: TableEnvironment) -> None:
    """T2.2: movers and rewards turned round, F becomes 1 / F and the policies stay."""
    turned = TableEnvironment(
        env._children,
        -env._log_rewards,
        env._stops,
        movers=-env._movers,  # type: ignore[operator]
    )
    one = adversarial_flows(enumerate_states(env))
    other = adversarial_flows(enumerate_states(turned))
    same(other.log_flow, -one.log_flow)
    same(other.log_pf, one.log_pf)
    same(other.log_stop, one.log_stop)


# ---------------------------------------------------------------------- a flow for each


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data(), players=st.integers(2, 4), chance=st.booleans())
def test_every_player_has_the_flow_of_the_definition(
    data: st.DataObject, players: int, chance: bool
) -> None:
    """T2.3: sums at own states, means by the mover's policy, or by chance, at others'."""
    hand = ByHand(data.draw(random_games(players, chance)))
    found = player_flows(hand.graph)
    assert found.log_flow.shape == (len(hand.graph), players)
    same(found.log_flow.exp(), [hand.flows(s) for s in hand.states()])
    moves = hand.table(found)
    for s in hand.inner():
        same([moves[s, c] for c in hand.ends(s)], hand.shares(s))


def even_game(branching: list[int], movers: list[int], seed: int) -> TableEnvironment:
    """A tree in which all states of one depth have the same mover and number of children."""
    children: list[list[int]] = [[]]
    who, layer = [movers[0]], [0]
    for depth, count in enumerate(branching):
        following: list[int] = []
        for s in layer:
            new = range(len(children), len(children) + count)
            children[s] = list(new)
            following += new
            children += [[] for _ in new]
            who += [movers[depth + 1]] * count
        layer = following
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(len(children), generator=generator, dtype=torch.float64) * 2
    return TableEnvironment(children, value, movers=who)


@settings(max_examples=20)
@given(
    branching=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    movers=st.lists(st.sampled_from([1, -1]), min_size=5, max_size=5),
    seed=st.integers(0, 1000),
)
def test_on_even_trees_the_two_solutions_agree(
    branching: list[int], movers: list[int], seed: int
) -> None:
    """T2.3: F_1 = A_1 F and F_2 = A_2 / F, A_i the product of player i's branchings below."""
    graph = enumerate_states(even_game(branching, movers, seed))
    one, both = adversarial_flows(graph), player_flows(graph)
    same(both.log_pf, one.log_pf)
    for player, sign in enumerate((1, -1)):
        below = [
            sum(math.log(b) for b, m in zip(branching[d:], movers[d:], strict=False) if m == sign)
            for d in graph.depth.tolist()
        ]
        same(both.log_flow[:, player], torch.tensor(below) + sign * one.log_flow)


def test_on_uneven_trees_they_differ() -> None:
    """T2.3: player 1 moves twice on one side, and a flow of their own counts its three leaves."""
    graph = enumerate_states(UNEVEN)
    one, both = adversarial_flows(graph), player_flows(graph)
    left, right = [math.exp(v) for v in (1.0, -1.0, 0.5)], math.exp(0.2)
    even = sum(left) / 3
    same(one.log_pf[0].exp(), even / (even + right))
    same(both.log_pf[0].exp(), sum(left) / (sum(left) + right))
    assert float((one.log_pf.exp() - both.log_pf.exp())[0].abs()) > 0.2


# ---------------------------------------------------------------------- perfect play


@settings(max_examples=60)
@given(env=random_games(chance=True))
def test_minimax_is_the_best_of_the_children_for_who_moves(env: TableEnvironment) -> None:
    """The agent's and player 1's best is the greatest, player -1's the least, chance's the mean."""
    hand = ByHand(env)
    ends = torch.tensor([hand.reward[s][0] for s in hand.states()], dtype=torch.float64).log()

    @cache
    def value(s: int) -> float:
        if hand.over(s):
            return math.log(hand.reward[s if s >= 0 else -1 - s][0])
        ahead = [value(c) for c in hand.ends(s)]
        if hand.mover[s] == CHANCE:
            return sum(p * v for p, v in zip(hand.chance(s), ahead, strict=True))
        return min(ahead) if hand.mover[s] == -1 else max(ahead)

    found = minimax(hand.graph, ends)
    same(found, [value(s) for s in hand.states()])
    best = optimal_actions(hand.graph, found, ends)
    names = hand.states()
    for row, s in enumerate(names):
        kept = [
            -1 - s if a == env.stop_action else int(env._children[s, a])
            for a in best[row].nonzero().flatten().tolist()
        ]
        fair = hand.mover[s] != CHANCE
        assert set(kept) == {c for c in hand.ends(s) if fair and abs(value(c) - value(s)) < 1e-12}


def test_results_are_judged_by_the_sign_of_the_reward() -> None:
    graph = enumerate_states(MICRO)
    same(minimax(graph), [1, 0, 1, 1, 0, 1, 1])
    assert optimal_moves(graph, minimax(graph)).tolist() == [False, True, False, True, True, True]


def test_equivalent_actions_are_optimal_together() -> None:
    """Action 1 of state 0 does what action 0 does, and both are shown."""
    graph = enumerate_states(STOPPING)
    found = minimax(graph)
    same(found, [1, -1, 1, 1])
    table = optimal_actions(graph, found)
    assert table.tolist() == [
        [False, False, True, True],
        [False, False, False, True],
        [True, False, False, False],
        [False, False, False, False],
    ]
    same(minimax(graph, torch.tensor([0.0, 1, 1, 1])), [1, 1, 1, 1])
    assert optimal_actions(graph, torch.ones(4), torch.tensor([0.0, 1, 1, 1]))[0, :3].all()


@settings(max_examples=40)
@given(env=random_games(max_states=9), scale=st.sampled_from([1.0, 10.0, 1000.0]))
def test_flows_are_within_the_log_of_branching_of_minimax(
    env: TableEnvironment, scale: float
) -> None:
    """T2.4: |V / lambda - minimax| <= sum log b / lambda; greedy play is perfect in the limit."""
    hand = ByHand(TableEnvironment(
        env._children, env._log_rewards * scale, env._stops, movers=env._movers
    ))  # fmt: skip
    graph = hand.graph
    result = hand.env._log_rewards[graph.states] / scale
    value = minimax(graph, result)
    flows = adversarial_flows(graph)

    @cache
    def slack(s: int) -> float:
        if hand.over(s):
            return 0.0
        return math.log(len(hand.ends(s))) + max(slack(c) for c in hand.ends(s))

    bound = torch.tensor([slack(s) for s in hand.states()]) / scale
    assert bool(((flows.log_flow / scale - value).abs() <= bound + 1e-12).all())
    if scale == 1000:
        best = flows.log_pf.exp() > 0.5
        gap = (value[graph.child] - value[graph.parent]).abs()
        assert bool((gap[best] <= 2 * float(bound.max()) + 1e-12).all())


# ---------------------------------------------------------------------- refusals


def test_one_flow_refuses_chance_and_says_why() -> None:
    env = TableEnvironment([[1, 2], [3, 4], [], [], []], [0.0] * 5, movers=[1, CHANCE, -1, 1, 1])
    with pytest.raises(IncompatibleError, match=r"E\[F\] and 1 / E\[1/F\] differ.*player_flows"):
        adversarial_flows(enumerate_states(env))


def test_two_play_where_one_flow_and_minimax_are_asked_for() -> None:
    env = TableEnvironment([[1, 2], [], []], torch.zeros(3, 3), movers=[1, 2, 3])
    graph = enumerate_states(env)
    for solve in (adversarial_flows, minimax):
        with pytest.raises(IncompatibleError, match=r"two, \+1 and -1.*\[1, 2, 3\]"):
            solve(graph)


def test_values_of_ends_are_one_number_a_state() -> None:
    with pytest.raises(ShapeError, match=r"\(7,\), got \(3,\)"):
        minimax(enumerate_states(MICRO), torch.zeros(3))


def test_results_of_zero_reward_have_no_flow() -> None:
    env = TableEnvironment([[1, 2], [], []], [0.0, -math.inf, 0.0], movers=[-1, 1, 1])
    for solve in (adversarial_flows, player_flows):
        with pytest.raises(RewardError, match="not finite|-inf"):
            solve(enumerate_states(env))
    same(minimax(enumerate_states(env)), [-1, -1, 0])


def test_an_agent_alone_plays_as_player_one() -> None:
    """Without players minimax is the best reward in reach, and no state is anyone else's."""
    graph = enumerate_states(HyperGrid(2, 3))
    reward = graph.log_reward()
    assert bool((graph.movers == AGENT).all())
    assert minimax(graph, reward)[0] == reward.max()

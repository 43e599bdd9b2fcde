"""Real games solved exactly: the golden table of tic-tac-toe, symmetries, small boards."""

from functools import cache

import pytest
import torch
from torch import Tensor

from gflow import Sampler, TabularPolicy, enumerate_states
from gflow.envs.games import Connect4, Game, Nim, Pig, TicTacToe
from gflow.exact import (
    StateGraph,
    adversarial_flows,
    minimax,
    optimal_actions,
    optimal_moves,
    player_flows,
)
from gflow.exact.graph import ExactFlows
from gflow.objectives import OBJECTIVES, AdversarialExpectedDetailedBalance
from gflow.testing import check_objective

GOLDEN = {
    0.5: (0.136165, 98.274, 0.6552, 6.8722, 5.5775, 95.354),
    1: (0.268960, 99.469, 0.7341, 6.9877, 5.4620, 98.142),
    2: (0.592175, 99.823, 0.8624, 7.2451, 5.2046, 99.823),
    5: (1.783100, 100, 0.9871, 8.3405, 4.1092, 100),
    10: (2.140596, 100, 0.9999, 8.7355, 3.7142, 100),
    50: (2.143859, 100, 1.0000, 8.7393, 3.7103, 100),
}
"""By lambda: log Z, greedy share, mass on optimal moves; log F_1, log F_2, greedy share of two."""


@cache
def tictactoe(scale: float = 10) -> StateGraph[Tensor]:
    return enumerate_states(TicTacToe(scale=scale))


@cache
def solved(scale: float = 10) -> ExactFlows:
    return adversarial_flows(tictactoe(scale))


def shares(graph: StateGraph[Tensor], flows: ExactFlows) -> tuple[float, float]:
    """Percent of positions whose likeliest move is optimal, and mean mass on optimal moves."""
    value = minimax(graph)
    moving = graph.env.forward_mask(graph.states).any(1)
    table = torch.full((len(graph), graph.env.num_actions), -torch.inf)
    table[graph.parent, graph.action] = flows.log_pf
    best = optimal_actions(graph, value)
    greedy = best.gather(1, table.argmax(1, keepdim=True)).squeeze(1)
    mass = (table.exp() * best).sum(1)
    return 100 * float(greedy[moving].double().mean()), float(mass[moving].mean())


@pytest.mark.parametrize("scale", GOLDEN)
def test_tictactoe_has_the_golden_solution(scale: float) -> None:
    """T2.5: log Z, shares of optimal moves and the flows of both players at six lambda."""
    log_z, greedy, mass, first, second, greedy_of_two = GOLDEN[scale]
    graph, one = tictactoe(scale), solved(scale)
    assert one.log_z == pytest.approx(log_z, abs=1e-6)
    found = shares(graph, one)
    assert found[0] == pytest.approx(greedy, abs=5e-4)
    assert found[1] == pytest.approx(mass, abs=5.1e-5)
    two = player_flows(graph)
    assert two.log_flow[0].tolist() == pytest.approx([first, second], abs=5.1e-5)
    assert shares(graph, two)[0] == pytest.approx(greedy_of_two, abs=5e-4)


def test_the_first_moves_of_tictactoe() -> None:
    """T2.5: centre, corner and edge at lambda = 10; games of the policy against itself."""
    graph, flows = tictactoe(), solved()
    first = {int(graph.action[e]): int(e) for e in (graph.parent == 0).nonzero().squeeze(1)}
    for cell, flow, share in (
        (4, 2.9498, 0.24956),
        (0, 2.2582, 0.12498),
        (1, 1.5673, 0.06263),
    ):
        edge = first[cell]
        assert float(flows.log_flow[graph.child[edge]]) == pytest.approx(flow, abs=5.1e-5)
        assert float(flows.log_pf[edge].exp()) == pytest.approx(share, abs=5.1e-6)
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    reward = graph.log_reward()[graph.objects].sign()
    ends = [float(law[reward == u].sum()) for u in (1, 0, -1)]
    assert ends == pytest.approx([0.003612, 0.996031, 0.000357], abs=5.1e-7)


def test_an_even_mover_of_tictactoe_is_right_in_58_percent() -> None:
    """T2.5: 4,520 positions, 2,423 with X to move; the share of optimal moves among the legal."""
    graph = tictactoe()
    moving = graph.env.forward_mask(graph.states).any(1)
    assert (int(moving.sum()), int((graph.movers[moving] == 1).sum())) == (4520, 2423)
    best = torch.zeros(len(graph)).index_add(
        0, graph.parent, optimal_moves(graph, minimax(graph)).double()
    )
    legal = graph.env.forward_mask(graph.states).sum(1)
    assert float((best[moving] / legal[moving]).mean()) == pytest.approx(0.579650, abs=1e-6)


@pytest.mark.parametrize("scale", [1, 10])
def test_symmetric_positions_have_equal_flows(scale: float) -> None:
    """T2.5: all eight images of every position, the flows of both players too."""
    graph = tictactoe(scale)
    game = TicTacToe(scale=scale)
    one, two = solved(scale).log_flow, player_flows(graph).log_flow
    assert float(one.std()) > 0.1
    for which in range(8):
        image = graph.rows(game.image(graph.states, which))
        torch.testing.assert_close(one[image], one, atol=1e-12, rtol=0)
        torch.testing.assert_close(two[image], two, atol=1e-12, rtol=0)


def test_flows_of_tictactoe_are_near_perfect_play() -> None:
    """T2.4: the largest |log F / lambda - minimax| is 0.3404 at lambda = 10, within its bound."""
    graph = tictactoe()
    value, log_flow = minimax(graph), solved().log_flow
    gap = (log_flow / 10 - value).abs()
    assert float(gap.max()) == pytest.approx(0.3404, abs=5.1e-5)
    slack = torch.zeros(len(graph))
    branching = torch.bincount(graph.parent, minlength=len(graph)).clamp(min=1).double().log()
    for edges in reversed(graph.levels):
        below = slack[graph.child[edges]] + branching[graph.parent[edges]]
        slack.scatter_reduce_(0, graph.parent[edges], below, "amax")
    assert bool((gap <= slack / 10 + 1e-12).all())
    assert (int(value[0]), int(minimax(enumerate_states(TicTacToe(3, 3, 2)))[0])) == (0, 1)


@pytest.mark.slow
def test_small_boards_of_connect_three_and_four() -> None:
    """T2.5: the first player wins connect-three on 4 x 4; connect-four there is a draw."""
    for line, size, log_z, value in ((3, 41750, 7.924042, 1), (4, 161029, -0.799155, 0)):
        graph = enumerate_states(Connect4(4, 4, line))
        assert len(graph) == size
        assert adversarial_flows(graph).log_z == pytest.approx(log_z, abs=1e-6)
        assert int(minimax(graph)[0]) == value


@pytest.mark.parametrize("last_loses", [False, True])
def test_nim_is_won_by_whom_theory_says(last_loses: bool) -> None:
    """Uneven branching: minimax agrees with the exclusive or of the heaps at every position."""
    game = Nim((1, 2, 3), last_loses)
    graph = enumerate_states(game)
    wins = torch.where(game.winning(graph.states), graph.movers, -graph.movers)
    moving = game.forward_mask(graph.states).any(1)
    assert torch.equal(minimax(graph)[moving], wins[moving].double())


def test_a_die_is_averaged_over() -> None:
    """Pig: the value of a roll is the mean over its faces, and no player answers for it."""
    game = Pig(target=3, sides=2, turns=1)
    graph = enumerate_states(game)
    value, flows = minimax(graph), player_flows(graph)
    assert flows.log_flow.shape == (len(graph), 2)
    roll = graph.child[graph.parent == 0]
    assert len(roll) == 1
    faces = graph.child[graph.parent == roll]
    assert len(faces) == 2
    assert float(value[faces].std()) > 0.1
    assert float(value[roll]) == pytest.approx(float(value[faces].mean()))
    mean = flows.log_flow[faces].exp().mean(0).log()
    torch.testing.assert_close(flows.log_flow[int(roll)], mean, atol=1e-12, rtol=0)
    assert not optimal_moves(graph, value)[graph.parent == roll].any()


@pytest.mark.slow
def test_a_flow_for_each_is_learned_where_dice_fall() -> None:
    """T2.7: a table trained on games of even players and a die finds the flows of both."""
    game = Pig(target=3, sides=2, turns=1, scale=2.0)
    graph = enumerate_states(game)
    exact = player_flows(graph)
    objective, generator = AdversarialExpectedDetailedBalance(), torch.Generator().manual_seed(0)
    policy, even = TabularPolicy(graph, flows=2), TabularPolicy(graph)
    steps = 250
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.2)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.02 ** (t / steps))
    for _ in range(steps):
        batch = Sampler(game).forward(even, 64, generator=generator)
        loss = objective(objective.evaluate(game, policy, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    source = policy.flow_table[0].detach()
    assert float(exact.log_flow[0].min()) > 1  # far from where the table began
    torch.testing.assert_close(source, exact.log_flow[0], atol=1e-2, rtol=0)
    found = graph.log_pf(policy)[0].exp()
    torch.testing.assert_close(found, exact.log_pf.exp(), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("atb", Nim((1, 2))),
        ("adb", Nim((1, 2), last_loses=True, scale=2.0)),
        ("asubtb", TicTacToe(2, 2, 2, scale=1.0)),
        ("aedb", Pig(target=3, sides=2, turns=1, scale=2.0)),
    ],
    ids=["atb", "adb", "asubtb", "aedb"],
)
def test_objectives_keep_their_contract_on_real_games(name: str, game: Game[Tensor]) -> None:
    """Without moves back, with policies that are as good as certain, and with a die."""
    assert check_objective(OBJECTIVES[name], game).environments == 1

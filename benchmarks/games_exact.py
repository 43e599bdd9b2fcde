"""Games solved exactly: what adversarial flows converge to.

    python benchmarks/games_exact.py          # tic-tac-toe, connect-k on 4 x 4: seconds
    python benchmarks/games_exact.py --large  # and connect-four on 4 x 5, 3.9 million positions

A table by lambda (log R = lambda u): log Z of the branch-adjusted solution, the share of its
greedy moves that keep the value of perfect play, the mass of its policy on such moves, each a mean
over positions, how far log F / lambda is from perfect play at most, and log Z of both players in
the general solution with its greedy share. Then, at lambda = 10, the first moves, how games of the
policy against itself end, and whether the greedy policy ever loses to a best response.
"""

import argparse
import time
from dataclasses import replace

import torch
from torch import Tensor

from gflow import enumerate_states
from gflow.envs.games import Connect4, RowGame, TicTacToe
from gflow.exact import StateGraph, adversarial_flows, minimax, optimal_moves, player_flows

SCALES = (0.5, 1, 2, 5, 10, 50)
HEAD = ("lambda", "log Z", "greedy %", "mass", "gap", "log F_1", "log F_2", "greedy %")


def greedy(graph: StateGraph[Tensor], log_pf: Tensor) -> Tensor:
    """(E,) bool: of each position the first of its likeliest moves."""
    best = log_pf.new_full((len(graph),), -torch.inf)
    best = best.scatter_reduce(0, graph.parent, log_pf, "amax")
    likeliest = (log_pf == best[graph.parent]).nonzero().squeeze(1)
    rank = torch.full((len(graph),), len(log_pf))
    rank = rank.scatter_reduce(0, graph.parent[likeliest], likeliest, "amin")
    chosen = torch.zeros(len(log_pf), dtype=torch.bool)
    chosen[rank[rank < len(log_pf)]] = True
    return chosen


def share(graph: StateGraph[Tensor], weight: Tensor, optimal: Tensor) -> float:
    """The weight (E,) of the moves of a position that is on optimal ones, a mean over positions."""
    positions = len(torch.unique(graph.parent))
    return float(weight.double()[optimal].sum()) / positions


def row(game: RowGame) -> tuple[float, ...]:
    """One line of the table."""
    graph = enumerate_states(game)
    value = minimax(graph)
    optimal = optimal_moves(graph, value)
    one, both = adversarial_flows(graph), player_flows(graph)
    return (
        game.scale,
        one.log_z,
        100 * share(graph, greedy(graph, one.log_pf), optimal),
        share(graph, one.log_pf.exp(), optimal),
        float((one.log_flow / game.scale - value).abs().max()),
        *both.log_flow[0].tolist(),
        100 * share(graph, greedy(graph, both.log_pf), optimal),
    )


def against_the_best(graph: StateGraph[Tensor], log_pf: Tensor, player: int) -> int:
    """The result for player 1 when `player` plays greedily and the other as well as possible."""
    keep = greedy(graph, log_pf) | (graph.movers[graph.parent] != player)
    rest = replace(
        graph,
        parent=graph.parent[keep],
        child=graph.child[keep],
        action=graph.action[keep],
        backward_action=graph.backward_action[keep],
    )
    return int(minimax(rest)[0])


def first_moves(game: RowGame) -> None:
    """The flows after the first move, the policy there, and the ends of games."""
    graph = enumerate_states(game)
    flows = adversarial_flows(graph)
    print(f"\nlambda = {game.scale:g}: first moves, log F after them, their probability")
    for edge in (graph.parent == 0).nonzero().squeeze(1).tolist():
        child = int(graph.child[edge])
        name = game.show(graph.states[child : child + 1])[0]
        print(f"  {name}  {flows.log_flow[child]:.4f}  {flows.log_pf[edge].exp():.5f}")
    law = graph.terminal_log_prob(flows.log_pf, flows.log_stop).exp()
    result = game.result(graph.states[graph.objects])
    ends = [float(law[result == u].sum()) for u in (1, 0, -1)]
    print("the policy against itself: first wins {:.6f}, draw {:.6f}, second {:.6f}".format(*ends))
    for scale in (1, 2, 5, 10):
        each = enumerate_states(TicTacToe(scale=scale))
        log_pf = adversarial_flows(each).log_pf
        found = [against_the_best(each, log_pf, player) for player in (1, -1)]
        print(f"greedy at lambda {scale} against a best response, as first and second: {found}")


def boards(sizes: list[tuple[int, int, int]]) -> None:
    """Boards of connect-k by rows, columns and k, at lambda = 10."""
    for rows, columns, line in sizes:
        start = time.perf_counter()
        game = Connect4(rows, columns, line)
        graph = enumerate_states(game, limit=5_000_000)
        value, flows = minimax(graph), adversarial_flows(graph)
        optimal = optimal_moves(graph, value)
        kept = 100 * share(graph, greedy(graph, flows.log_pf), optimal)
        took = time.perf_counter() - start
        print(
            f"connect-{line} on {rows} x {columns}: {len(graph):,} positions, "
            f"value {int(value[0])}, log Z {flows.log_z:.6f}, greedy {kept:.3f} %, {took:.1f} s"
        )


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--large", action="store_true", help="solve connect-four on 4 x 5 too")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    graph = enumerate_states(TicTacToe())
    moving = len(torch.unique(graph.parent))
    even = torch.bincount(graph.parent, minlength=len(graph)).double().reciprocal()[graph.parent]
    optimal = optimal_moves(graph, minimax(graph))
    print(f"tic-tac-toe: {len(graph):,} positions, in {moving:,} of which somebody moves")
    print(f"even moves are optimal with probability {share(graph, even, optimal):.6f}\n")
    print("".join(f"{name:>11}" for name in HEAD))
    for scale in SCALES:
        values = row(TicTacToe(scale=scale))
        digits = (1, 6, 3, 4, 4, 4, 4, 3)
        print("".join(f"{v:>11.{d}f}" for v, d in zip(values, digits, strict=True)))
    first_moves(TicTacToe())
    print()
    boards([(4, 4, 3), (4, 4, 4), *([(4, 5, 4)] if options.large else [])])


if __name__ == "__main__":
    main()

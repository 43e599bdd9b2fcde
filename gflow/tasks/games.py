"""Metrics of games: how good the moves of a policy are, and how far from the exact solution."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.environment.movers import CHANCE
from gflow.exact.games import minimax, optimal_actions
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.metrics import log_z_error, total_variation
from gflow.objective import Solution
from gflow.policies.base import Policy

GAMES = (Solution.ADVERSARIAL, Solution.EQUILIBRIUM)
"""Solutions in which players have rewards of their own."""


@dataclass(frozen=True)
class SolvedGame:
    """A game of which all is known.

    Attributes:
        graph: All states.
        flows: The solution; `log_z` is the first player's.
        ends: (X,) log-probability with which play at the solution ends in each finished state.
        rows: (M,) int64 states in which a player moves.
        optimal: (M, A) bool their moves that keep the value of perfect play.
    """

    graph: StateGraph[Any]
    flows: ExactFlows
    ends: Tensor
    rows: Tensor
    optimal: Tensor

    @staticmethod
    def of(graph: StateGraph[Any], flows: ExactFlows) -> "SolvedGame":
        """Beside the solution of an objective (`Objective.exact_flows`), what perfect play does."""
        optimal = optimal_actions(graph, minimax(graph))
        stuck = graph.env.is_terminal(graph.states)
        rows = (~stuck & (graph.movers != CHANCE)).nonzero().squeeze(1)
        ends = graph.terminal_log_prob(flows.log_pf, flows.log_stop)
        return SolvedGame(graph, flows, ends, rows, optimal[rows])

    def move_probabilities(self, states: Any) -> Tensor:
        """(B, A) float64 probabilities of the next move at the solution, 0 for illegal ones."""
        graph, rows = self.graph, self.graph.rows(states)
        table = torch.zeros(len(rows), graph.env.num_actions, dtype=torch.float64)
        for place, row in enumerate(rows.tolist()):
            edges = (graph.parent == row).nonzero().squeeze(1)
            table[place, graph.action[edges]] = self.flows.log_pf[edges].exp()
        return table

    def numbers(self, policy: Policy, log_z: float) -> dict[str, float]:
        """`optimal`, `log_z_error`, and `tv` between ends of games as learned and at the solution.

        `optimal` is the share of all states with a player to move in which the likeliest move keeps
        what perfect play is worth there: a win, a draw or a loss, however soon.
        """
        env = self.graph.env
        log_pf, log_stop = self.graph.log_pf(policy)
        table = torch.full((len(self.graph), env.num_actions), -torch.inf, dtype=torch.float64)
        table[self.graph.parent, self.graph.action] = log_pf
        if env.stop_action is not None:
            table[:, env.stop_action] = log_stop
        kept = self.optimal.gather(1, table[self.rows].argmax(1, keepdim=True))
        learned = self.graph.terminal_log_prob(log_pf, log_stop)
        return {
            "optimal": float(kept.double().mean()),
            "log_z_error": float(log_z_error(log_z, self.flows.log_z)),
            "tv": float(total_variation(learned, self.ends)),
        }


def against_uniform(
    env: Any, policy: Policy, games: int, generator: torch.Generator
) -> dict[str, float]:
    """Shares of games won, drawn and lost by the likeliest moves against uniform ones.

    Args:
        env: A game of two.
        policy: It speaks for whoever is to move.
        games: How many, from each side.
        generator: Source of all randomness.

    Returns:
        `first_wins`, `first_draws`, `first_losses`, and the same for the second player's side.
    """
    from gflow.arena import PolicyPlayer, UniformPlayer, play

    seats = torch.tensor([[0, 1], [1, 0]]).repeat_interleave(games, 0)
    players = [PolicyPlayer(policy, "policy", temperature=0.0), UniformPlayer()]
    played = play(env, players, seats, torch.zeros(2 * games, 0, dtype=torch.int64), generator)
    numbers = {}
    for side, score in zip(("first", "second"), played.score_of(0).split(games), strict=True):
        for name, sign in (("wins", 1), ("draws", 0), ("losses", -1)):
            numbers[f"{side}_{name}"] = float((score == sign).double().mean())
    return numbers

"""Every move of a graph, stops included, level by level from the ends to the source."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gflow.exact.expected import chance_moves
from gflow.exact.graph import StateGraph


@dataclass(frozen=True)
class Level:
    """The moves out of the states of one depth.

    Attributes:
        moves: (K,) int64 rows of `Moves`.
        parents: (P,) int64 the states that they leave, each once.
        group: (K,) int64 which of `parents` each leaves.
        to: (K,) int64 what each reaches.
    """

    moves: Tensor
    parents: Tensor
    group: Tensor
    to: Tensor


class Moves:
    """The M = E + S moves of a graph: its E transitions, then one stop for each state that has one.

    A stop leads to an end of its own: what it reaches is numbered N + s, behind the N states, so
    that values of ends are values of states like others and one recursion serves both.

    Args:
        graph: All states and transitions.

    Attributes:
        parent: (M,) int64 state that is left.
        to: (M,) int64 what is reached: below N a state, else the stopped state plus N.
        count: (N,) int64 number of moves out of each state.
    """

    def __init__(self, graph: StateGraph[Any]) -> None:
        self.graph, size = graph, len(graph)
        stops = torch.zeros(0, dtype=torch.int64)
        if graph.env.stop_action is not None:
            legal = graph.env.forward_mask(graph.states)[:, graph.env.stop_action]
            stops = (legal & graph.can_end).nonzero().squeeze(1)
        self.stops = stops
        self.parent = torch.cat([graph.parent, stops])
        self.to = torch.cat([graph.child, stops + size])
        self.count = torch.bincount(self.parent, minlength=size)

    def levels(self) -> Iterator[Level]:
        """Levels from the deepest states to the source."""
        at = self.graph.depth[self.parent]
        order = torch.argsort(at, stable=True)
        for moves in reversed(order.split(torch.bincount(at).tolist())):
            if len(moves):
                parents, group = torch.unique(self.parent[moves], return_inverse=True)
                yield Level(moves, parents, group, self.to[moves])

    def ends(self, values: Tensor) -> Tensor:
        """(2 N, ...) room for the values of all that moves reach, filled where objects end.

        Args:
            values: (N, ...) values of objects; others are overwritten or never read.
        """
        return torch.cat([values, values])

    def split(self, log_prob: Tensor) -> tuple[Tensor, Tensor]:
        """(E,) log-probabilities of transitions and (N,) of ending, from (M,) of all moves."""
        edges = len(self.graph.parent)
        log_stop = log_prob.new_full((len(self.graph),), -torch.inf)
        log_stop[self.stops] = log_prob[edges:]
        if self.graph.env.has_forced_terminals:
            forced = self.graph.env.is_terminal(self.graph.states)
            log_stop = log_stop.masked_fill(forced, 0.0)
        return log_prob[:edges], log_stop

    def log_chance(self) -> Tensor:
        """(M,) float64 log-probabilities of the moves of chance, 0 for those of others."""
        log_prob, log_stop = chance_moves(self.graph)
        return torch.cat([log_prob, log_stop[self.stops]])

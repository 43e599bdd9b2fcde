"""Expected detailed balance of games: a flow for each player."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.environment.movers import CHANCE, player_index
from gflow.exact.games import player_flows
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.objective import Objective, Solution
from gflow.terms import FlowTerms, Needs


class AdversarialExpectedDetailedBalance(Objective):
    r"""Detailed balance on average, of a flow for each player: one residual per move and player.

    .. math:: \delta_i(s \to s') = \log F_i(s) + \log P_i(s' \mid s) - \log F_i(s')
              \text{ where player } i \text{ moves,}
    .. math:: \delta_i(s) = \log F_i(s) - \log \sum_{s'} P_j(s' \mid s) F_i(s')
              \text{ where player } j \text{, or chance, does,}

    with F_i(x) = R_i(x), the reward of player i, where a game ends. The sum goes over all children,
    visited or not, and P_j is not taught by it: each player answers to what the others do. At the
    solution player i chooses in proportion to the reward that they expect. Any number of players
    may play, their rewards need not be opposite, and some moves may be chance's.

    Reference:
        Jiralerspong et al., Expected flow networks in stochastic environments and two-player
        zero-sum games, 2024, https://arxiv.org/abs/2310.02779
    """

    name = "aedb"
    needs = Needs(
        log_flow=True,
        player_flow=True,
        children="all",
        mover=True,
        log_pb=False,
        whole=False,
        from_source=False,
    )
    solution = Solution.EQUILIBRIUM

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Refuse what is no game."""
        if env.num_players == 1:
            return (
                "it has a flow for each player of a game, and here is one agent. Use edb for an "
                "agent and chance, or tb, db and subtb for an agent alone."
            )
        return super().refusal(env)

    def exact_flows(self, graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
        """The flows of all players, whatever P_B is."""
        return player_flows(graph)

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T, n) one per transition and player."""
        flow = terms.log_flow
        assert flow is not None
        before, after = flow[:, :-1], flow[:, 1:]
        own = before + terms.log_pf[:, :, None] - after
        others = before - self._expected(terms)
        exists = terms.mask[:, :, None]
        return torch.where(self._moves(terms, flow.shape[2]), own, others).where(exists, 0.0)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T, n) equal weights of all transitions and players in the batch."""
        assert terms.log_flow is not None
        players = terms.log_flow.shape[2]
        exists = terms.mask[:, :, None].to(terms.log_pf.dtype).expand(-1, -1, players)
        return exists / (terms.length.sum().clamp(min=1) * players)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source for the first player; others are in `metrics`."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0, 0]

    def metrics(self, terms: FlowTerms) -> dict[str, Tensor]:
        """`log_z_2`, ...: the log-flow of the source for each other player."""
        assert terms.log_flow is not None
        source = terms.log_flow[:, 0].detach().mean(0)
        return {f"log_z_{i + 1}": source[i] for i in range(1, len(source))}

    @staticmethod
    def _moves(terms: FlowTerms, players: int) -> Tensor:
        """(B, T, n) bool: it is the turn of player i."""
        assert terms.mover is not None  # some moves are players'
        mover = terms.mover[:, :, None]
        turn = torch.arange(players, device=mover.device) == player_index(mover)
        return turn & (mover != CHANCE)

    @staticmethod
    def _expected(terms: FlowTerms) -> Tensor:
        """(B, T, n) log of the flow that each player expects after the move, whoever makes it."""
        flow, log_prob = terms.child_log_flow, terms.child_log_prob
        assert flow is not None
        assert log_prob is not None
        ahead = log_prob.detach()[..., None] + flow  # (B, T, A, n)
        return ahead.masked_fill(~terms.mask[:, :, None, None], 0.0).logsumexp(2)

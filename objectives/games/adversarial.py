"""What the branch-adjusted objectives of two-player zero-sum games share."""

from typing import Any

import torch
from torch import Tensor

from gflow.environment.base import Environment
from gflow.exact.games import adversarial_flows
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.objective import Objective, Solution
from gflow.terms import FlowTerms


class Adversarial(Objective):
    r"""One flow for both players of a zero-sum game: the reward of player 1 on one side of balance.

    F(s) is the mean of the children's flows where player 1 moves, and their harmonic mean where
    player -1 does; each chooses in proportion to F, or to 1 / F, of the children. So a move
    multiplies the flow by

    .. math:: \exp c_t, \quad c_t = \sigma_t \left[\log P(s_{t+1} \mid s_t) + \log b(s_t)\right]

    with sigma = 1 for player 1 and -1 for player -1, and b(s) the number of moves that differ in
    what they lead to, a stop included.
    """

    solution = Solution.ADVERSARIAL
    for_parts = "AdversarialDetailedBalance or AdversarialSubTrajectoryBalance"

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Refuse what is no game of two without chance, and say what would work."""
        if env.num_players == 1:
            return (
                "it is for games of two players, and here is one agent. Of an agent alone it would "
                "make a sampler of R times the probability under even moves, not of R. Use tb, db "
                "or subtb."
            )
        if env.num_players > 2:
            return (
                f"one flow serves two players whose rewards are R and 1/R, and here are "
                f"{env.num_players}. Use aedb, which has a flow for each."
            )
        if env.has_chance:
            return (
                "some moves here are chance's, and one flow cannot serve both players then: E[F] "
                "and 1 / E[1/F] differ. Use aedb, which has a flow for each."
            )
        if not env.numbered:
            return "it counts legal moves, and here they form a continuum. Nothing here plays that."
        return super().refusal(env)

    def exact_flows(self, graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
        """Means and harmonic means of children, whatever P_B is."""
        return adversarial_flows(graph)

    @staticmethod
    def steps(terms: FlowTerms) -> Tensor:
        """(B, T) c_t of each transition, 0 after the end."""
        assert terms.log_branching is not None
        chosen = terms.log_pf + terms.log_branching
        if terms.mover is not None:
            chosen = torch.where(terms.mover == -1, -chosen, chosen)
        return chosen.where(terms.mask, 0.0)

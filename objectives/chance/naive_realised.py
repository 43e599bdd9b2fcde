"""A GFlowNet that takes what happened for what the agent chose."""

from dataclasses import replace
from typing import Any, NoReturn

from torch import Tensor

from gflow.deferred import require
from gflow.environment.base import Environment
from gflow.errors import IncompatibleError
from gflow.exact.graph import ExactFlows, StateGraph
from gflow.exact.noisy import realised_flows
from gflow.objectives.chance.across import across, even
from gflow.objectives.chance.base import ChanceObjective, chance_turns
from gflow.objectives.chance.successors import log_pb_of_agent
from gflow.policies.base import Policy
from gflow.terms import FlowTerms, Needs
from gflow.trajectories import Trajectories


class NaiveRealised(ChanceObjective):
    r"""Detailed balance of the environment without its noise, on what happened in spite of it.

    .. math:: \delta(s \to s') = \log F(s) + \log P_F(a' \mid s) - \log F(s') - \log P_B(s \mid s')

    with F(x) = R(x) at finished objects, and a' the action that would have led from s to s' had
    chance not interfered: the number of chance's own move. It wants an environment in which these
    numbers mean the same (noise that replaces an action by another, `WithNoise`), and in which
    chance moves once after each of the agent's. Without chance it is detailed balance.

    **What it converges to.** The ordinary GFlowNet of the noise-free environment
    (`gflow.exact.realised_flows`): residuals vanish there. Its choices are corrupted only when they
    are carried out, so that objects are *not* sampled in proportion to the reward: with tokens that
    are replaced by uniform ones with probability alpha the next is b with (1 - alpha) rho_b + alpha
    / V, rho_b the share of the noise-free flow.

    Args:
        regression: How residuals are punished.

    Reference:
        Pan et al., Stochastic Generative Flow Networks, 2023, https://arxiv.org/abs/2302.09465
    """

    name = "naive_realised"
    needs = Needs(log_flow=True, mover=True, whole=False, from_source=False)

    @classmethod
    def refusal(cls, env: Environment[Any]) -> str | None:
        """Chance that adds moves of its own is refused; see `Objective.refusal`."""
        if env.has_chance and env.chance_adds:
            return (
                "it takes a move of chance for the agent's before it, carried out, and here chance "
                "adds moves of its own. Use edb or sgfn."
            )
        return super().refusal(env)

    def exact_flows(self, graph: StateGraph[Any], log_pb: Tensor | None = None) -> ExactFlows:
        """Those of `gflow.exact.realised_flows`."""
        return realised_flows(graph, log_pb) if graph.env.has_chance else graph.exact_flows(log_pb)

    def evaluate(
        self, env: Environment[Any], policy: Policy, trajectories: Trajectories[Any]
    ) -> FlowTerms:
        """The flow terms, with the log P_F of what was carried out where it was meant."""
        chance = chance_turns(env, trajectories)
        if chance is None:
            return super().evaluate(env, policy, trajectories)
        twice = chance[:, 1:] & chance[:, :-1]

        def complain() -> NoReturn:
            raise IncompatibleError(
                f"NaiveRealised on {env.name}: chance moves twice in a row, so that there is no "
                f"one action that was carried out. Use edb or sgfn."
            )

        require(~twice, complain, "one move of chance after each of the agent's")
        next_is = chance[:, 1:-1]  # (B, T - 1): what follows the move at t is chance's
        done = trajectories.actions.clone()
        done[:, :-1] = done[:, 1:].where(next_is, done[:, :-1])
        terms = super().evaluate(env, policy, replace(trajectories, actions=done))
        log_pf = terms.log_pf.masked_fill(chance[:, :-1], 0.0)
        log_pb = log_pb_of_agent(env, policy, trajectories, chance)
        return replace(terms, log_pf=log_pf, log_pb=log_pb.to(log_pf.dtype))

    def residual(self, terms: FlowTerms) -> Tensor:
        """(B, T) one for each move of the agent; 0 where it is chance's turn."""
        return across(terms, terms.log_pf)

    def weight(self, terms: FlowTerms) -> Tensor:
        """(B, T) equal weights of all moves of the agent in the batch."""
        return even(terms)

    def log_z_estimate(self, terms: FlowTerms) -> Tensor:
        """(B,) the log-flow of the source."""
        assert terms.log_flow is not None
        return terms.log_flow[:, 0]
